"""Connecting a model to a request, and letting it label the request's items batch by batch."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.label_schemas import ImageShapes, ShapeType
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.policy import residency_allows
from marketplace.catalog.queries import request_of, validator_of
from marketplace.catalog.states import RequestState
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.outbox import emit
from marketplace.core.sealed import seal_text
from marketplace.core.settings import Settings
from marketplace.core.states import check_step
from marketplace.quality.annotators.backend import check_address
from marketplace.quality.annotators.errors import (
    AnnotatorsFull,
    AnnotatorUnknown,
    DataMayNotLeave,
    KindNotPredictable,
    NothingToPredict,
)
from marketplace.quality.annotators.models import Annotator
from marketplace.quality.annotators.schemas import AnnotatorView, ConnectAnnotator
from marketplace.quality.annotators.states import ANNOTATOR_STEPS, AnnotatorState
from marketplace.quality.queries import request_skills

JOB: Final = "quality.predict"
MAX_ANNOTATORS: Final = 5
SEALED_FOR: Final = "kapok model token v1"
TAKES_MODELS: Final = frozenset({
    RequestState.DRAFT, RequestState.FUNDED, RequestState.OPEN, RequestState.AWARDED, RequestState.IN_PRODUCTION,
})  # fmt: skip


async def connect(
    session: AsyncSession, actor: Actor, settings: Settings, request_id: UUID, command: ConnectAnnotator
) -> AnnotatorView:
    """Connect a model to the actor's request; a job reaches it, and it labels all items, gold among them.

    Raises:
        RequestNotFound: the request is not the actor's.
        NothingToPredict: it has no label schema yet, or its production has ended.
        DataMayNotLeave: its residency does not allow where the model runs.
        AnnotatorsFull, KindNotPredictable, BackendAddressRefused.
    """
    request = await request_of(session, actor, request_id, lock=True)
    await _check(session, request, command)
    await check_address(command.url, settings)
    made = Annotator(request_id=request_id, name=command.name, url=command.url, place=command.place)
    if command.token is not None:
        secret = settings.secret_key.get_secret_value()
        made.token = seal_text(secret, SEALED_FOR, made.id, command.token.get_secret_value())
    session.add(made)
    await session.flush()
    ask(session, made)
    record(session, actor, "annotator.connect", f"annotator:{made.id}", request=str(request_id), url=command.url)
    return view_of(made)


async def _check(session: AsyncSession, request: DatasetRequest, command: ConnectAnnotator) -> None:
    if request.state not in TAKES_MODELS or not request.label_schema_version:
        raise NothingToPredict
    if not residency_allows(request.residency, command.place.partition("-")[0], command.place):
        raise DataMayNotLeave(f"The request allows {', '.join(request.residency) or 'no place'}, not {command.place}.")
    definition = (await validator_of(session, request.id, request.label_schema_version)).definition
    if isinstance(definition, ImageShapes) and ShapeType.MASK in definition.shapes:
        raise KindNotPredictable
    held = [each for each in await annotators_of(session, request.id) if each.state is not AnnotatorState.STOPPED]
    if len(held) >= MAX_ANNOTATORS:
        raise AnnotatorsFull(f"It has {len(held)}.")


def ask(session: AsyncSession, annotator: Annotator, *, tries: int = 0, wait: timedelta = timedelta()) -> None:
    """Ask for the next batch of a model, after a wait."""
    payload = {"request_id": str(annotator.request_id), "annotator_id": str(annotator.id), "tries": tries}
    emit(session, JOB, payload, due_at=now() + wait)


async def shown(session: AsyncSession, actor: Actor, request_id: UUID) -> list[AnnotatorView]:
    """Show the models of the actor's request, oldest first, with the quality that the newest fit measured."""
    await request_of(session, actor, request_id)
    skills = await request_skills(session, request_id)
    views = [view_of(each) for each in await annotators_of(session, request_id)]
    for view in views:
        skill = skills.get(view.id)
        if skill is not None:
            view.accuracy, view.accuracy_low, view.accuracy_high = skill.accuracy, skill.low, skill.high
    return views


async def annotators_of(session: AsyncSession, request_id: UUID) -> list[Annotator]:
    """Return the models of a request, oldest first."""
    found = await session.exec(select(Annotator).where(Annotator.request_id == request_id).order_by(col(Annotator.id)))
    return list(found.all())


async def stop(session: AsyncSession, actor: Actor, request_id: UUID, annotator_id: UUID) -> AnnotatorView:
    """Stop a model: it labels no more, and what it said counts no more. Its token is forgotten.

    Raises:
        NothingToPredict: production has ended; the labels that were delivered rest on what it said.
    """
    request = await request_of(session, actor, request_id, lock=True)
    if request.state not in TAKES_MODELS:
        raise NothingToPredict
    annotator = await _own(session, actor, request_id, annotator_id)
    if annotator.state is not AnnotatorState.STOPPED:
        _move(annotator, AnnotatorState.STOPPED)
        annotator.token = None
        record(session, actor, "annotator.stop", f"annotator:{annotator.id}", request=str(request_id))
        session.add(annotator)
    return view_of(annotator)


async def retry(session: AsyncSession, actor: Actor, request_id: UUID, annotator_id: UUID) -> AnnotatorView:
    """Try a model again that had failed."""
    annotator = await _own(session, actor, request_id, annotator_id)
    _move(annotator, AnnotatorState.CONNECTING)
    annotator.problem = None
    session.add(annotator)
    ask(session, annotator)
    record(session, actor, "annotator.retry", f"annotator:{annotator.id}", request=str(request_id))
    return view_of(annotator)


async def _own(session: AsyncSession, actor: Actor, request_id: UUID, annotator_id: UUID) -> Annotator:
    await request_of(session, actor, request_id)
    return await locked_annotator(session, request_id, annotator_id)


async def locked_annotator(session: AsyncSession, request_id: UUID, annotator_id: UUID) -> Annotator:
    """Return a model locked until the transaction ends; raise `AnnotatorUnknown` without one."""
    statement = select(Annotator).where(Annotator.request_id == request_id, Annotator.id == annotator_id)
    found = await session.exec(statement.with_for_update().execution_options(populate_existing=True))
    annotator = found.one_or_none()
    if annotator is None:
        raise AnnotatorUnknown
    return annotator


def _move(annotator: Annotator, target: AnnotatorState) -> None:
    check_step(ANNOTATOR_STEPS, annotator.state, target)
    annotator.state = target


def view_of(annotator: Annotator) -> AnnotatorView:
    """Show a model, without its token and before its quality is known."""
    return AnnotatorView.model_validate(annotator.model_dump(exclude={"token"}))
