"""What an export holds: one row an item with its label, streamed in the order of ids, gold left out.

With the single answers each row has them all in one column, under aliases of workers that hold in this request only.
"""

from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

from obstore.store import ObjectStore
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.deliveries import export_key, export_ready, find_delivery, get_export
from marketplace.catalog.exports import Column, ColumnKind, write_export
from marketplace.catalog.label_schemas import read_definition
from marketplace.catalog.models import DatasetRequest, Export
from marketplace.catalog.queries import guideline, label_schema, request_of
from marketplace.catalog.states import ExportFormat, ExportState, LabelKind
from marketplace.core.actor import Actor
from marketplace.quality.aliases import worker_alias
from marketplace.quality.completion import deliver
from marketplace.quality.delivery_report.service import write_evidence
from marketplace.quality.report import make_report
from marketplace.quality.schemas import DatasetCard, QualityReport
from marketplace.quality.spec import LabelSpec, read_spec
from marketplace.tasks.queries import accepted_answers

BATCH: Final = 1_000
METHOD: Final = (
    "Each label is the consensus of its accepted answers: a vote weighted by each worker's accuracy on hidden gold "
    "tasks and with the other workers; `confidence` is the posterior probability that the label is right."
)
_ITEMS: Final = text(
    """
    SELECT i.id, i.external_id, i.data, i.media_key, k.value, k.confidence, k.distribution, k.answers, k.done
    FROM item i LEFT JOIN consensus k ON k.request_id = i.request_id AND k.task_id = i.id
    WHERE i.request_id = :request AND i.position >= 0 AND i.id > :after ORDER BY i.id LIMIT :batch
    """
)
_LABEL_COLUMN: Final = {
    LabelKind.SINGLE_CHOICE: ColumnKind.TEXT,
    LabelKind.PAIRWISE_PREFERENCE: ColumnKind.TEXT,
    LabelKind.FREE_TEXT: ColumnKind.TEXT,
    LabelKind.NUMERIC_SCALE: ColumnKind.NUMBER,
}


async def write_file(session: AsyncSession, store: ObjectStore, request_id: UUID, export_id: UUID) -> Export:
    """Write the file that an export asks for; a second run finds it written."""
    export = await get_export(session, request_id, export_id)
    if export.state is not ExportState.WAITING:
        return export
    key = export_key(export)
    if export.format is ExportFormat.EVIDENCE:
        await deliver(session, request_id)  # what an appeal has changed since comes into report and evidence alike
        return await export_ready(session, export, key, await write_evidence(session, store, request_id, key))
    request = await session.get_one(DatasetRequest, request_id)
    spec = await _spec(session, request)
    rows = export_rows(session, request_id, spec, with_answers=export.with_answers)
    written = await write_export(store, key, export.format, rows, columns(spec, with_answers=export.with_answers))
    return await export_ready(session, export, key, written)


async def _spec(session: AsyncSession, request: DatasetRequest) -> LabelSpec:
    stored = await label_schema(session, request.id, request.label_schema_version)
    return read_spec(read_definition(stored.definition))


def columns(spec: LabelSpec, *, with_answers: bool) -> list[Column]:
    """Return the columns of an export: the label as plain text or number where it is one, else as JSON."""
    named = [
        Column("id"),
        Column("external_id"),
        Column("data", ColumnKind.JSON),
        Column("media_key"),
        Column("label", _LABEL_COLUMN.get(spec.kind, ColumnKind.JSON)),
        Column("confidence", ColumnKind.NUMBER),
        Column("distribution", ColumnKind.JSON),
        Column("answers", ColumnKind.INTEGER),
        Column("is_done", ColumnKind.BOOLEAN),
    ]
    return [*named, Column("given", ColumnKind.JSON)] if with_answers else named


async def export_rows(
    session: AsyncSession, request_id: UUID, spec: LabelSpec, *, with_answers: bool
) -> AsyncIterator[dict[str, Any]]:
    """Yield the rows, holding one batch of items at a time."""
    after = UUID(int=0)
    while True:
        found = await session.execute(_ITEMS, {"request": request_id, "after": after, "batch": BATCH})
        items = found.all()
        given = await _given(session, request_id, [item.id for item in items]) if with_answers else {}
        for item in items:
            yield {
                "id": item.id,
                "external_id": item.external_id,
                "data": item.data,
                "media_key": item.media_key,
                "label": None if item.value is None else spec.main(item.value),
                "confidence": item.confidence,
                "distribution": item.distribution,
                "answers": item.answers or 0,
                "is_done": bool(item.done),
                "given": given.get(item.id, []),
            }
        if len(items) < BATCH:
            return
        after = items[-1].id


async def _given(session: AsyncSession, request_id: UUID, task_ids: list[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    given: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for answer in await accepted_answers(session, request_id, task_ids):
        alias = worker_alias(request_id, answer.worker_id)
        given[answer.task_id].append({"worker": alias, "value": answer.value, "seconds": answer.seconds})
    return given


async def dataset_card(session: AsyncSession, actor: Actor, request_id: UUID) -> DatasetCard:
    """Return what a user of the labels must know: what was asked, how, of whom, and how good the labels are."""
    request = await request_of(session, actor, request_id)
    schema = await label_schema(session, request_id, request.label_schema_version or None)
    instructions = await guideline(session, request_id, request.guideline_version or None)
    return DatasetCard(
        title=request.title,
        description=request.description,
        subject=request.subject,
        languages=request.languages,
        data_class=str(request.data_class),
        residency=request.residency,
        items=request.item_count,
        label_kind=str(schema.kind),
        label_definition=schema.definition,
        answer_schema=schema.json_schema,
        guideline_version=instructions.version,
        guideline=instructions.body,
        quality_plan=request.quality_plan,
        method=METHOD,
        report=await _report(session, request),
    )


async def _report(session: AsyncSession, request: DatasetRequest) -> QualityReport:
    """Return the report of the delivery, or how things stand while there is none."""
    delivery = await find_delivery(session, request.id)
    return await make_report(session, request) if delivery is None else QualityReport.model_validate(delivery.report)
