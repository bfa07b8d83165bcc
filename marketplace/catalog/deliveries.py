"""Deliveries and exports: what the enterprise gets, decides on, and takes home."""

from typing import Any
from uuid import UUID

from obstore.store import ObjectStore
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.delivery_schemas import DeliveryView, ExportDraft, ExportView
from marketplace.catalog.errors import DeliveryDecided, DeliveryNotFound, ExportNotFound, NothingToExport
from marketplace.catalog.exports import Written
from marketplace.catalog.models import DatasetRequest, Delivery, Export
from marketplace.catalog.policy import HAS_RESULTS
from marketplace.catalog.queries import request_of
from marketplace.catalog.service import move
from marketplace.catalog.states import EXPORT_STEPS, REQUEST_STEPS, ExportFormat, ExportState, RequestState
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from marketplace.core.paging import Page, PageQuery, read_page
from marketplace.core.settings import Settings
from marketplace.core.states import check_step
from marketplace.core.storage import signed_url


async def find_delivery(session: AsyncSession, request_id: UUID, *, lock: bool = False) -> Delivery | None:
    """Return the delivery of a request, if there is one yet."""
    statement = select(Delivery).where(Delivery.request_id == request_id)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return (await session.exec(statement)).first()


async def delivery_of(session: AsyncSession, request_id: UUID, *, lock: bool = False) -> Delivery:
    """Return the delivery of a request, or raise `DeliveryNotFound`."""
    delivery = await find_delivery(session, request_id, lock=lock)
    if delivery is None:
        raise DeliveryNotFound
    return delivery


async def put_delivery(session: AsyncSession, request_id: UUID, report: dict[str, Any]) -> Delivery:
    """Write the quality report that the enterprise will decide on; a new one replaces it until it is accepted."""
    delivery = await find_delivery(session, request_id, lock=True)
    if delivery is None:
        delivery = Delivery(request_id=request_id, id=new_id(), report=report)
    elif delivery.accepted_at is not None:
        raise DeliveryDecided("The delivery has been accepted; its report stays.")
    delivery.report = report
    session.add(delivery)
    await session.flush()
    return delivery


async def show_delivery(session: AsyncSession, actor: Actor, request_id: UUID) -> DeliveryView:
    """Return the delivery of a request of the actor's own organisation."""
    await request_of(session, actor, request_id)
    return delivery_view(await delivery_of(session, request_id))


def delivery_view(delivery: Delivery) -> DeliveryView:
    """Return a delivery for showing."""
    return DeliveryView.model_validate(delivery.model_dump())


async def accept_delivery(session: AsyncSession, actor: Actor, request_id: UUID) -> Delivery:
    """Accept the delivery; what is left of the reserve goes back when the request is closed.

    Raises:
        TransitionRefused: the request is not in acceptance.
        DeliveryNotFound: there is no delivery yet.
    """
    request, delivery = await _undecided(session, actor, request_id)
    await _deliver(session, request, delivery)
    record(session, actor, "delivery.accepted", f"request:{request_id}", delivery=str(delivery.id))
    return delivery


async def _undecided(session: AsyncSession, actor: Actor, request_id: UUID) -> tuple[DatasetRequest, Delivery]:
    """Return a request in acceptance and its delivery, both locked."""
    request = await request_of(session, actor, request_id, lock=True)
    check_step(REQUEST_STEPS, request.state, RequestState.DELIVERED)
    return request, await delivery_of(session, request_id, lock=True)


async def _deliver(session: AsyncSession, request: DatasetRequest, delivery: Delivery) -> None:
    delivery.accepted_at = now()
    session.add(delivery)
    await move(session, request, RequestState.DELIVERED)
    emit(session, "settlement.close", {"request_id": str(request.id)})


async def dispute_delivery(session: AsyncSession, actor: Actor, request_id: UUID, reason: str) -> Delivery:
    """Say what is wrong with the delivery, for the operator's arbitrator; it can still be accepted afterwards.

    Raises:
        TransitionRefused: the request is not in acceptance.
        DeliveryDecided: it was disputed before.
    """
    _, delivery = await _undecided(session, actor, request_id)
    if delivery.disputed_at is not None:
        raise DeliveryDecided("The delivery was disputed before; the arbitrator has the reason.")
    delivery.disputed_at, delivery.dispute_reason = now(), reason
    session.add(delivery)
    record(session, actor, "delivery.disputed", f"request:{request_id}", delivery=str(delivery.id), reason=reason)
    return delivery


async def dismiss_dispute(session: AsyncSession, actor: Actor, request_id: UUID, reason: str) -> Delivery:
    """End a dispute by accepting the delivery in the enterprise's place, so that pay is not held up without end.

    The arbitrator's act (the route checks the role); the reason is shown to the enterprise.

    Raises:
        TransitionRefused: the request is not in acceptance.
        DeliveryDecided: nobody disputes it.
    """
    request, delivery = await _undecided(session, actor, request_id)
    if delivery.disputed_at is None:
        raise DeliveryDecided("The delivery is not disputed; its enterprise decides.")
    delivery.dismissal_reason = reason
    await _deliver(session, request, delivery)
    record(
        session, actor, "delivery.dispute_dismissed", f"request:{request_id}",
        organisation_id=request.organisation_id, delivery=str(delivery.id), reason=reason,
    )  # fmt: skip
    return delivery


async def create_export(session: AsyncSession, actor: Actor, request_id: UUID, draft: ExportDraft) -> Export:
    """Ask for a file of the results; a job writes it.

    Raises:
        NothingToExport: the request has no results yet.
    """
    request = await request_of(session, actor, request_id)
    if request.state not in HAS_RESULTS:
        raise NothingToExport(f"It is {request.state!s}; results can be exported once it is in acceptance.")
    export = Export(request_id=request_id, id=new_id(), format=draft.format, with_answers=draft.with_answers)
    session.add(export)
    await session.flush()
    emit(session, "quality.export", {"request_id": str(request_id), "export_id": str(export.id)})
    record(
        session, actor, "export.created", f"request:{request_id}",
        export=str(export.id), format=str(draft.format), with_answers=draft.with_answers,
    )  # fmt: skip
    return export


def export_key(export: Export) -> str:
    """Return the key under which an export's file is written."""
    ending = "evidence.jsonl" if export.format is ExportFormat.EVIDENCE else str(export.format)
    return f"exports/{export.request_id}/{export.id}.{ending}"


async def get_export(session: AsyncSession, request_id: UUID, export_id: UUID) -> Export:
    """Return an export, locked, for the job that writes it; raise `ExportNotFound` without it."""
    statement = select(Export).where(Export.request_id == request_id, Export.id == export_id).with_for_update()
    export = (await session.exec(statement.execution_options(populate_existing=True))).first()
    if export is None:
        raise ExportNotFound
    return export


async def export_ready(session: AsyncSession, export: Export, key: str, written: Written) -> Export:
    """Say that an export's file is written."""
    check_step(EXPORT_STEPS, export.state, ExportState.READY)
    export.state = ExportState.READY
    export.object_key = key
    export.rows, export.size_bytes, export.sha256 = written
    session.add(export)
    await session.flush()
    return export


async def export_failed(session: AsyncSession, export: Export) -> Export:
    """Say that an export's file could not be written."""
    check_step(EXPORT_STEPS, export.state, ExportState.FAILED)
    export.state = ExportState.FAILED
    session.add(export)
    await session.flush()
    return export


async def show_exports(
    session: AsyncSession, settings: Settings, store: ObjectStore, actor: Actor, request_id: UUID, query: PageQuery
) -> Page[ExportView]:
    """Return a page of a request's exports, newest first, with signed addresses of those that are ready."""
    await request_of(session, actor, request_id)
    statement = select(Export).where(col(Export.request_id) == request_id)
    rows, cursor = await read_page(session, statement, Export.id, query)
    return Page(items=[await export_view(settings, store, row) for row in rows], next_cursor=cursor)


async def export_view(settings: Settings, store: ObjectStore, export: Export) -> ExportView:
    """Return an export for showing, with a signed address when it is ready."""
    ready = export.state is ExportState.READY and export.object_key is not None
    url = await signed_url(settings, store, "GET", str(export.object_key)) if ready else None
    return ExportView.model_validate({**export.model_dump(), "url": url})
