"""The evidence of a request, read from the database in one pass over each table."""

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import label_schema
from marketplace.core.clock import now
from marketplace.quality.aliases import worker_alias
from marketplace.quality.annotators.predicting import stream_models
from marketplace.quality.annotators.service import annotators_of
from marketplace.quality.annotators.states import AnnotatorState
from marketplace.quality.delivery_report.evidence import (
    NONE,
    Appeal,
    Builder,
    Evidence,
    Header,
    Model,
    Review,
    Sampling,
    Verdict,
)
from marketplace.quality.queries import gate_set_of, request_model
from marketplace.quality.sampling.queries import newest_lot, reviewed_labels

FETCHED: Final = 5_000
_ITEMS: Final = """
    SELECT i.id, g.truth, k.value AS label, k.confidence, t.done
    FROM item i
    LEFT JOIN gold g ON g.request_id = i.request_id AND g.item_id = i.id
    LEFT JOIN task t ON t.request_id = i.request_id AND t.id = i.id
    LEFT JOIN consensus k ON k.request_id = i.request_id AND k.task_id = i.id
    WHERE i.request_id = :request AND (g.item_id IS NOT NULL OR t.id IS NOT NULL)
    ORDER BY i.id
"""
_CLAIMS: Final = "SELECT id, worker_id, state, revision FROM claim WHERE request_id = :request ORDER BY id"
_ANSWERS: Final = """
    SELECT task_id, worker_id, claim_id, revision, value, seconds, is_gold FROM answer WHERE request_id = :request
    ORDER BY task_id, worker_id, revision
"""
_VERDICTS: Final = """
    SELECT claim_id, revision, outcome, reason_code, evidence->'gates' AS gates FROM verdict
    WHERE request_id = :request ORDER BY claim_id, revision
"""
_APPEALS: Final = """
    SELECT v.claim_id, v.revision, a.state FROM appeal a
    JOIN verdict v ON v.request_id = a.request_id AND v.id = a.verdict_id
    WHERE a.request_id = :request ORDER BY v.claim_id, v.revision
"""


async def load_evidence(session: AsyncSession, request: DatasetRequest) -> Evidence:
    """Return the evidence of a request as things stand in this transaction."""
    builder = Builder()
    builder.header = await _header(session, request)
    async for row in _rows(session, _ITEMS, request.id):
        builder.add_item(row.id, dict(row._mapping))  # noqa: SLF001  # its documented name
    claims = [row async for row in _rows(session, _CLAIMS, request.id)]
    for worker in sorted({row.worker_id for row in claims}):
        builder.add_worker(worker_alias(request.id, worker))
    number = {row.id: place for place, row in enumerate(claims)}
    claim_of = {row.id: row for row in claims}
    names = {row.worker_id: worker_alias(request.id, row.worker_id) for row in claims}
    async for row in _rows(session, _ANSWERS, request.id):
        counts = _counts(claim_of[row.claim_id], row)
        builder.add_answer(
            row.task_id, names[row.worker_id],
            {**row._mapping, "claim": number[row.claim_id], "counts": counts},  # noqa: SLF001  # its documented name
        )  # fmt: skip
    await _add_models(session, request.id, builder)
    async for row in _rows(session, _VERDICTS, request.id):
        gates = [[each["gate"], each["outcome"]] for each in row.gates or []]
        worker = names[claims[number[row.claim_id]].worker_id]
        builder.verdicts.append(
            Verdict(number[row.claim_id], row.revision, worker, row.outcome, row.reason_code, gates)
        )
    builder.model = await _model(session, request.id)
    async for row in _rows(session, _APPEALS, request.id):
        builder.appeals.append(Appeal(number[row.claim_id], row.revision, row.state))
    builder.reviews += [Review(each.item_id, each.right) for each in await reviewed_labels(session, request.id)]
    lot = await newest_lot(session, request.id)
    if lot is not None:
        builder.sampling = Sampling(lot.plan, str(lot.state))
    return builder.build()


async def _add_models(session: AsyncSession, request_id: UUID, builder: Builder) -> None:
    """Add what models say as answers of no claim: the labels rest on them, but no figure counts them."""
    numbers: dict[UUID, str] = {}
    for annotator in await annotators_of(session, request_id):
        if annotator.state is not AnnotatorState.STOPPED:
            numbers[annotator.id] = f"model {len(numbers) + 1}"
            builder.add_worker(numbers[annotator.id])
    async for row in stream_models(session, request_id):
        if row.annotator_id in numbers:  # else it was connected since the line above was read
            said = {"claim": NONE, "revision": 0, "value": row.value, "seconds": 0.0, "counts": False}
            builder.add_answer(row.task_id, numbers[row.annotator_id], said)


def _counts(claim: Row[Any], answer: Row[Any]) -> bool:
    """Return whether a fit rests on this answer: the same rule as `tasks.queries.stream_answers`."""
    if answer.is_gold:
        return bool(answer.revision == 1 and claim.state in {"accepted", "rejected"})
    return bool(claim.state == "accepted" and answer.revision == claim.revision)


async def _header(session: AsyncSession, request: DatasetRequest) -> Header:
    schema = await label_schema(session, request.id, request.label_schema_version or None)
    gates = await gate_set_of(session, request.id)
    return Header(
        request_id=request.id,
        made_at=now().isoformat(),
        label_kind=str(schema.kind),
        label_definition=schema.definition,
        label_schema_version=schema.version,
        guideline_version=request.guideline_version,
        quality_plan=request.quality_plan,
        gate_set_version=gates.version if gates else None,
        gate_set=gates.definition if gates else None,
        seed=request.seed,
    )


async def _model(session: AsyncSession, request_id: UUID) -> Model | None:
    stored = await request_model(session, request_id)
    if stored is None:
        return None
    record, calibration = stored.record, stored.calibration
    return Model(
        record["model"], record["iterations"], record["converged"], list(record["log_likelihood"]),
        calibration["method"], list(calibration["parameters"]), calibration["samples"],
    )  # fmt: skip


async def _rows(session: AsyncSession, statement: str, request_id: UUID) -> AsyncIterator[Row[Any]]:
    """Stream the rows, some thousand at a time."""
    found = await session.stream(text(statement), {"request": request_id}, execution_options={"yield_per": FETCHED})
    async for row in found:
        yield row
