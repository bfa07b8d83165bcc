"""The job that lets a model label the next items of its request, and the rows it adds to a consensus."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from obstore.store import ObjectStore
from sqlalchemy import Row, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.answers import AnswerValidator
from marketplace.catalog.label_schemas import Definition
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import locked, validator_of
from marketplace.core.clock import now
from marketplace.core.sealed import unseal_text
from marketplace.core.settings import Settings
from marketplace.core.states import check_step
from marketplace.core.storage import signed_url
from marketplace.quality.annotators import label_studio
from marketplace.quality.annotators.backend import Backend, Prediction, check_address
from marketplace.quality.annotators.errors import BackendAddressRefused, BackendAnswerInvalid, BackendUnreachable
from marketplace.quality.annotators.models import Annotator, AnnotatorLabel
from marketplace.quality.annotators.service import SEALED_FOR, TAKES_MODELS, ask, locked_annotator
from marketplace.quality.annotators.states import ANNOTATOR_STEPS, AnnotatorState
from marketplace.quality.consensus.engine import AnswerRow

BATCH: Final = 200
CALL: Final = 20
"""How many tasks go in one call; Label Studio's own server sends that many or fewer."""
MAX_TRIES: Final = 6
STREAMED: Final = 5_000
_AT_WORK: Final = frozenset({AnnotatorState.CONNECTING, AnnotatorState.LABELING})
Streamed = tuple[UUID, UUID, str]
"""A task, whose answer it is, and the answer as JSON."""
_NEXT: Final = text(
    """
    SELECT i.id, i.data, i.media_key FROM item i
    WHERE i.request_id = :request AND i.id > coalesce((
        SELECT l.task_id FROM annotator_label l
        WHERE l.request_id = :request AND l.annotator_id = :annotator AND l.created_at >= (
            SELECT created_at FROM label_schema WHERE request_id = :request AND version = :version)
        ORDER BY l.task_id DESC LIMIT 1), '00000000-0000-0000-0000-000000000000')
    ORDER BY i.id LIMIT :batch
    """
)
_LEARNED_FROM: Final = text(
    """
    SELECT l.task_id, l.annotator_id, l.value, l.value::text AS text FROM annotator_label l
    JOIN annotator a ON a.request_id = l.request_id AND a.id = l.annotator_id AND a.state <> 'stopped'
    JOIN dataset_request r ON r.id = l.request_id
    JOIN label_schema s ON s.request_id = r.id AND s.version = r.label_schema_version AND s.created_at <= l.created_at
    WHERE l.request_id = :request AND l.problem IS NULL AND (
        EXISTS (SELECT 1 FROM task t WHERE t.request_id = l.request_id AND t.id = l.task_id AND t.answered > 0)
        OR EXISTS (SELECT 1 FROM gold g WHERE g.request_id = l.request_id AND g.item_id = l.task_id))
    ORDER BY l.task_id, l.annotator_id
    """
)
_BEHIND: Final = text(
    """
    SELECT a.request_id, a.id FROM annotator a JOIN dataset_request r ON r.id = a.request_id
    WHERE a.state = 'done' AND r.state = ANY(:states)
      AND (a.items_seen <> r.item_count + r.gold_count OR a.schema_version <> r.label_schema_version)
    ORDER BY a.request_id, a.id LIMIT 100
    """
)
_ROWS: Final = text(
    """
    SELECT l.task_id, l.annotator_id, l.value FROM annotator_label l
    JOIN annotator a ON a.request_id = l.request_id AND a.id = l.annotator_id AND a.state <> 'stopped'
    JOIN dataset_request r ON r.id = l.request_id
    JOIN label_schema s ON s.request_id = r.id AND s.version = r.label_schema_version AND s.created_at <= l.created_at
    WHERE l.request_id = :request AND l.task_id = ANY(:tasks) AND l.problem IS NULL
    ORDER BY l.task_id, l.annotator_id
    """
)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one run of the job sends: items with their addresses, and what an answer to them is by which schema."""

    version: int
    items: Sequence[Row[Any]]
    tasks: list[dict[str, Any]]
    validator: AnswerValidator
    config: str


@dataclass(frozen=True, slots=True)
class _Said:
    """What the model answered: a prediction for each item, and its version."""

    predictions: list[Prediction]
    version: str | None


async def predict_next(
    session: AsyncSession, settings: Settings, store: ObjectStore, request_id: UUID, annotator_id: UUID, tries: int
) -> None:
    """Let a model label its next items; asks for the batch after, or tries again later when it is not reached.

    No transaction is open while the model is called.
    """
    annotator = await locked_annotator(session, request_id, annotator_id)
    request = await session.get_one(DatasetRequest, request_id)
    if annotator.state not in _AT_WORK or request.state not in TAKES_MODELS:
        return
    batch = await _next_batch(session, settings, store, request, annotator)
    token = None
    if annotator.token is not None:
        token = unseal_text(settings.secret_key.get_secret_value(), SEALED_FOR, annotator.id, annotator.token)
    address = annotator.url
    session.expunge_all()
    await session.rollback()
    try:
        said = await _call(settings, address, token, str(request_id), batch)
    except (BackendUnreachable, BackendAnswerInvalid, BackendAddressRefused) as error:
        await _postpone(session, request_id, annotator_id, error, tries)
        return
    await _store(session, request_id, annotator_id, batch, said)


async def _next_batch(
    session: AsyncSession, settings: Settings, store: ObjectStore, request: DatasetRequest, annotator: Annotator
) -> _Batch:
    names = {"request": request.id, "annotator": annotator.id, "batch": BATCH, "version": request.label_schema_version}
    items = (await session.execute(_NEXT, names)).all()
    validator = await validator_of(session, request.id, request.label_schema_version)
    tasks = []
    for item in items:
        url = None if item.media_key is None else await signed_url(settings, store, "GET", item.media_key)
        tasks.append(label_studio.task_of(item.id, item.data, url))
    field = _field(validator.definition, items)
    config = label_studio.labeling_config(validator.definition, field)
    return _Batch(request.label_schema_version, items, tasks, validator, config)


def _field(definition: Definition, items: Sequence[Row[Any]]) -> str:
    """Return what is labeled where the schema does not name it: the item's file, else `text`, else its first text."""
    if not items:
        return label_studio.source_of(definition, "text")
    first = items[0]
    if first.media_key is not None:
        return label_studio.MEDIA
    texts = [name for name, value in first.data.items() if isinstance(value, str)]
    return "text" if "text" in texts or not texts else texts[0]


async def _call(settings: Settings, address: str, token: str | None, project: str, batch: _Batch) -> _Said:
    await check_address(address, settings)
    said: list[Prediction] = []
    async with Backend(address, token) as backend:
        version = await backend.set_up(project, batch.config, settings.base_url)
        for start in range(0, len(batch.tasks), CALL):
            said += await backend.predict(project, batch.config, batch.tasks[start : start + CALL])
    versions = [each.model_version for each in said if each.model_version]
    return _Said(said, versions[-1] if versions else version)


async def _postpone(session: AsyncSession, request_id: UUID, annotator_id: UUID, error: Exception, tries: int) -> None:
    """Try again later, twice as late each time; give up when it does not help or cannot."""
    annotator = await locked_annotator(session, request_id, annotator_id)
    if annotator.state not in _AT_WORK:
        return
    annotator.problem = str(error)
    if isinstance(error, BackendUnreachable) and tries + 1 < MAX_TRIES:
        ask(session, annotator, tries=tries + 1, wait=timedelta(seconds=2**tries))
    else:
        check_step(ANNOTATOR_STEPS, annotator.state, AnnotatorState.FAILED)
        annotator.state = AnnotatorState.FAILED
    session.add(annotator)


async def _store(session: AsyncSession, request_id: UUID, annotator_id: UUID, batch: _Batch, said: _Said) -> None:
    request = await locked(session, request_id)
    annotator = await locked_annotator(session, request_id, annotator_id)
    if annotator.state not in _AT_WORK or request.state not in TAKES_MODELS:
        return
    if batch.version != request.label_schema_version:  # it changed while the model answered: what it said is of the old
        ask(session, annotator)
        return
    if annotator.schema_version != batch.version:
        annotator.schema_version, annotator.labeled, annotator.refused = batch.version, 0, 0
    names = {"request_id": request_id, "annotator_id": annotator_id}
    pairs = zip(batch.items, said.predictions, strict=True)
    rows = [names | _label(item, batch.validator, each) for item, each in pairs]
    if rows:
        put = insert(AnnotatorLabel).values([{**row, "created_at": now()} for row in rows])
        changed = {name: put.excluded[name] for name in ("value", "score", "problem", "created_at")}
        await session.execute(
            put.on_conflict_do_update(index_elements=["request_id", "annotator_id", "task_id"], set_=changed)
        )
    refused = sum(row["problem"] is not None for row in rows)
    annotator.labeled += len(rows) - refused
    annotator.refused += refused
    annotator.problem = None
    annotator.model_version = said.version or annotator.model_version
    if annotator.state is AnnotatorState.CONNECTING:
        annotator.state = AnnotatorState.LABELING
    if len(batch.items) == BATCH:
        ask(session, annotator)
    else:
        annotator.state, annotator.items_seen = AnnotatorState.DONE, request.item_count + request.gold_count
    session.add(annotator)


def _label(item: Row[Any], validator: AnswerValidator, said: Prediction) -> dict[str, Any]:
    row: dict[str, Any] = {"task_id": item.id, "score": said.score, "value": None, "problem": None}
    try:
        answer = label_studio.answer_of(validator.definition, said.regions)
    except BackendAnswerInvalid as error:
        return row | {"problem": error.detail}
    problems = validator.problems(answer, item.data)
    if problems:
        return row | {"problem": f"{problems[0].field or 'answer'}: {problems[0].reason}"[:300]}
    return row | {"value": answer}


async def wake(session: AsyncSession) -> None:
    """Ask models that were done to go on where items or a label schema have come since."""
    found = await session.execute(_BEHIND, {"states": [str(state) for state in TAKES_MODELS]})
    for row in found.all():
        annotator = await locked_annotator(session, row.request_id, row.id)
        annotator.state = AnnotatorState.LABELING
        session.add(annotator)
        ask(session, annotator)


async def with_models(
    session: AsyncSession, request_id: UUID, people: AsyncIterator[Streamed]
) -> AsyncIterator[Streamed]:
    """Yield people's answers with, after those to a task, what models say of it; both come in the order of the tasks.

    Models are asked about tasks that people have answered, and about gold.
    """
    models = stream_models(session, request_id)
    said = await anext(models, None)
    async for row in people:
        while said is not None and said.task_id < row[0]:
            yield said.task_id, said.annotator_id, said.text
            said = await anext(models, None)
        yield row
    while said is not None:
        yield said.task_id, said.annotator_id, said.text
        said = await anext(models, None)


async def stream_models(session: AsyncSession, request_id: UUID) -> AsyncIterator[Row[Any]]:
    """Yield (task_id, annotator_id, value, text of the value) of what a fit rests on, in the order of the tasks."""
    found = await session.stream(_LEARNED_FROM, {"request": request_id}, execution_options={"yield_per": STREAMED})
    async for row in found:
        yield row


async def annotator_rows(session: AsyncSession, request_id: UUID, task_ids: Collection[UUID]) -> list[AnswerRow]:
    """Return what models that are not stopped say of these tasks, as rows of a consensus."""
    found = await session.execute(_ROWS, {"request": request_id, "tasks": list(task_ids)})
    return [AnswerRow(row.task_id, row.annotator_id, row.value, by_model=True) for row in found]
