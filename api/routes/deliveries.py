"""The delivery of a dataset request: accept or dispute it, and take the results home."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, status

from api.auth import Allow
from api.idempotency import OnceOnly
from api.session import Session, Shared
from marketplace.catalog import deliveries
from marketplace.catalog.delivery_schemas import DeliveryView, ExportDraft, ExportView
from marketplace.catalog.schemas import Reason
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.paging import Page, PageQuery
from marketplace.settlement import disputes
from marketplace.settlement.schemas import UpheldDisputeView, UpholdDispute

router = APIRouter(prefix="/v1/requests/{request_id}", tags=["Delivery"])

Author = Annotated[Actor, Allow(Scope.REQUESTS_WRITE, kind=OrganisationKind.ENTERPRISE)]
Reader = Annotated[Actor, Allow(Scope.REQUESTS_READ)]
Arbitrator = Annotated[Actor, Allow(Scope.OPERATE, Role.ARBITRATOR, Role.ADMIN, kind=OrganisationKind.OPERATOR)]


@router.get("/delivery", summary="Show the delivery")
async def get_delivery(actor: Reader, session: Session, request_id: UUID) -> DeliveryView:
    """Return the quality report of a finished request, and what was decided on it."""
    return await deliveries.show_delivery(session, actor, request_id)


@router.post("/delivery/accept", summary="Accept the delivery")
async def accept_delivery(actor: Author, session: Session, once: OnceOnly, request_id: UUID) -> DeliveryView:
    """Take the results as they are. The request is settled then, and what is left of its reserve goes back."""

    async def command() -> DeliveryView:
        return deliveries.delivery_view(await deliveries.accept_delivery(session, actor, request_id))

    return await once.run(DeliveryView, command)


@router.post("/delivery/dispute", summary="Dispute the delivery")
async def dispute_delivery(
    actor: Author, session: Session, once: OnceOnly, request_id: UUID, reason: Reason
) -> DeliveryView:
    """Say what is wrong; the operator's arbitrator decides."""

    async def command() -> DeliveryView:
        return deliveries.delivery_view(await deliveries.dispute_delivery(session, actor, request_id, reason.reason))

    return await once.run(DeliveryView, command)


@router.post("/delivery/dismiss", summary="Dismiss a dispute")
async def dismiss_dispute(
    actor: Arbitrator, session: Session, once: OnceOnly, request_id: UUID, reason: Reason
) -> DeliveryView:
    """Decide that a disputed delivery is what was ordered: it counts as accepted, and what was earned is released."""

    async def command() -> DeliveryView:
        return deliveries.delivery_view(await deliveries.dismiss_dispute(session, actor, request_id, reason.reason))

    return await once.run(DeliveryView, command)


@router.post("/delivery/uphold", summary="Uphold a dispute")
async def uphold_dispute(
    actor: Arbitrator, session: Session, shared: Shared, once: OnceOnly, request_id: UUID, body: UpholdDispute
) -> UpheldDisputeView:
    """Decide that a disputed delivery is wrong in the named work: that is rejected, and its pay is reserved again.

    Its workers may appeal. The rest is for the enterprise to accept, or for the arbitrator to dismiss the dispute.
    """

    async def command() -> UpheldDisputeView:
        return await disputes.uphold(session, actor, shared.settings, request_id, body)

    return await once.run(UpheldDisputeView, command)


@router.post("/exports", status_code=status.HTTP_202_ACCEPTED, summary="Ask for an export")
async def create_export(
    actor: Author, session: Session, shared: Shared, once: OnceOnly, request_id: UUID, draft: ExportDraft
) -> ExportView:
    """Have the results written as a file; list the exports to see it ready.

    CSV is UTF-8 with a BOM and holds every value exactly as it is. A text that begins with `=`, `+`, `-` or `@` is a
    formula to a spreadsheet: import such columns as text.
    """

    async def command() -> ExportView:
        export = await deliveries.create_export(session, actor, request_id, draft)
        return await deliveries.export_view(shared.settings, shared.store, export)

    return await once.run(ExportView, command)


@router.get("/exports", summary="List the exports")
async def list_exports(
    actor: Reader, session: Session, shared: Shared, request_id: UUID, paging: Annotated[PageQuery, Query()]
) -> Page[ExportView]:
    """Return the request's exports, newest first, each with a signed address when it is ready."""
    return await deliveries.show_exports(session, shared.settings, shared.store, actor, request_id, paging)
