"""Dataset requests: draft, describe, publish, cancel; and the published ones for everybody who may work on them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, status

from api.auth import Allow
from api.idempotency import OnceOnly
from api.session import Session, Shared
from marketplace.catalog import queries, service
from marketplace.catalog.label_schemas import Definition
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.schemas import (
    GuidelineDraft,
    GuidelineView,
    LabelSchemaView,
    OpenRequestView,
    Reason,
    RequestDraft,
    RequestPatch,
    RequestView,
)
from marketplace.catalog.states import RequestState
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.paging import Page, PageQuery
from marketplace.settlement import minimum_pay
from marketplace.settlement.pay_rules import Estimate, minimum_table
from marketplace.tasks import finishing

router = APIRouter(prefix="/v1/requests", tags=["Dataset requests"])

Author = Annotated[Actor, Allow(Scope.REQUESTS_WRITE, kind=OrganisationKind.ENTERPRISE)]
Reader = Annotated[Actor, Allow(Scope.REQUESTS_READ)]
Anyone = Annotated[Actor, Allow(Scope.PROFILE, Scope.REQUESTS_READ)]
Operator = Annotated[Actor, Allow(Scope.OPERATE, Role.ADMIN, Role.ARBITRATOR, kind=OrganisationKind.OPERATOR)]
Paging = Annotated[PageQuery, Query()]
Version = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Leave out for the newest")]


class RequestWithPay(RequestView):
    """A dataset request, and what an hour of its work brings beside the minima that the operator has set."""

    minimum_pay: list[Estimate]


async def _with_pay(shared: Shared, session: Session, request: DatasetRequest) -> RequestWithPay:
    table, fee_bps = minimum_table(shared.settings), shared.settings.platform_fee_bps
    found = await minimum_pay.estimates(session, table, request, fee_bps)
    return RequestWithPay(**queries.request_view(request).model_dump(), minimum_pay=found)


@router.post("", status_code=status.HTTP_201_CREATED, summary="Draft a dataset request")
async def create_request(
    actor: Author, shared: Shared, session: Session, once: OnceOnly, draft: RequestDraft
) -> RequestWithPay:
    """Describe what you want labeled, how well, by when, and for how much at most.

    The draft may already hold the label schema and the guideline; data follow by an upload. Nothing costs anything
    until you fund it.
    """

    async def command() -> RequestWithPay:
        return await _with_pay(shared, session, await service.create_request(session, actor, draft))

    return await once.run(RequestWithPay, command)


@router.get("", summary="List your dataset requests")
async def list_requests(
    actor: Reader, session: Session, paging: Paging, state: RequestState | None = None
) -> Page[RequestView]:
    """Return your organisation's requests, newest first (all of them, for the operator)."""
    return await queries.requests_of(session, actor, paging, state)


@router.get("/open", summary="List the requests that are open")
async def list_open_requests(
    _actor: Anyone, session: Session, paging: Paging, wanted: Annotated[queries.OpenFilter, Query()]
) -> Page[OpenRequestView]:
    """Return the published requests that take bids or are worked on, newest first; budgets are not shown."""
    return await queries.open_requests(session, paging, wanted)


@router.get("/{request_id}", summary="Show a dataset request of yours")
async def get_request(actor: Reader, shared: Shared, session: Session, request_id: UUID) -> RequestWithPay:
    """Return one request with its budget and the estimate of what it will cost."""
    return await _with_pay(shared, session, await queries.request_of(session, actor, request_id))


@router.get("/{request_id}/public", summary="Show a published dataset request")
async def get_open_request(_actor: Anyone, session: Session, request_id: UUID) -> OpenRequestView:
    """Return one published request as vendors and workers see it."""
    return await queries.open_request(session, request_id)


@router.patch("/{request_id}", summary="Edit a draft")
async def edit_request(
    actor: Author, shared: Shared, session: Session, request_id: UUID, patch: RequestPatch
) -> RequestWithPay:
    """Change the fields that you send; only a draft can be edited."""
    return await _with_pay(shared, session, await service.edit_request(session, actor, request_id, patch))


@router.post("/{request_id}/publish", summary="Publish a funded request")
async def publish_request(
    actor: Author, shared: Shared, session: Session, once: OnceOnly, request_id: UUID
) -> RequestWithPay:
    """Open the request to vendors and workers.

    It must be funded and have data, a label schema, a guideline, a residency, and a budget that pays for the fewest
    answers the quality plan asks for. What is missing is named in `fields`.
    """

    async def command() -> RequestWithPay:
        request = await queries.request_of(session, actor, request_id, lock=True)
        table, fee_bps = minimum_table(shared.settings), shared.settings.platform_fee_bps
        await minimum_pay.check_publishable(session, table, request, fee_bps)
        return await _with_pay(shared, session, await service.publish(session, actor, request_id))

    return await once.run(RequestWithPay, command)


@router.post("/{request_id}/cancel", summary="Cancel a request")
async def cancel_request(actor: Author, session: Session, once: OnceOnly, request_id: UUID) -> RequestView:
    """Give up a request that has not been awarded; money reserved for it goes back."""

    async def command() -> RequestView:
        return queries.request_view(await service.cancel(session, actor, request_id))

    return await once.run(RequestView, command)


@router.post("/{request_id}/finish", summary="End production early")
async def finish_request(actor: Author, session: Session, once: OnceOnly, request_id: UUID) -> RequestView:
    """Stop when I have enough: open seats close, work in hand is still judged and paid, then the delivery follows.

    The same happens by itself when the deadline has passed.
    """

    async def command() -> RequestView:
        await finishing.finish_request(session, actor, request_id)
        return queries.request_view(await queries.request_of(session, actor, request_id))

    return await once.run(RequestView, command)


@router.post("/{request_id}/suspend", summary="Suspend a running request (operator)")
async def suspend_request(actor: Operator, session: Session, request_id: UUID, reason: Reason) -> RequestView:
    """Stop all new work on a request, with a reason that is written down."""
    return queries.request_view(await service.suspend(session, actor, request_id, reason.reason))


@router.post("/{request_id}/resume", summary="Resume a suspended request (operator)")
async def resume_request(actor: Operator, session: Session, request_id: UUID) -> RequestView:
    """Take a suspended request back to the state it was suspended from."""
    return queries.request_view(await service.resume(session, actor, request_id))


@router.put("/{request_id}/label-schema", summary="Set the label schema")
async def set_label_schema(
    actor: Author, session: Session, request_id: UUID, definition: Definition
) -> LabelSchemaView:
    """Say what an answer is; makes a new version, until the award.

    Gold truths that you uploaded before must fit it. `json_schema` of the answer is what each answer is checked by.
    """
    stored = await service.set_label_schema(session, actor, request_id, definition)
    return LabelSchemaView.model_validate(stored.model_dump())


@router.get("/{request_id}/label-schema", summary="Show the label schema")
async def get_label_schema(
    actor: Anyone, session: Session, request_id: UUID, version: Version = None
) -> LabelSchemaView:
    """Return a version of the label schema of a published request, or of one of yours."""
    await queries.readable_request(session, actor, request_id)
    return await queries.label_schema_view(session, request_id, version)


@router.put("/{request_id}/guideline", summary="Set the guideline")
async def set_guideline(actor: Author, session: Session, request_id: UUID, draft: GuidelineDraft) -> GuidelineView:
    """Describe the work in Markdown, with right and wrong examples; makes a new version, until the award."""
    stored = await service.set_guideline(session, actor, request_id, draft)
    return GuidelineView.model_validate(stored.model_dump())


@router.get("/{request_id}/guideline", summary="Show the guideline")
async def get_guideline(actor: Anyone, session: Session, request_id: UUID, version: Version = None) -> GuidelineView:
    """Return a version of the guideline of a published request, or of one of yours."""
    await queries.readable_request(session, actor, request_id)
    return await queries.guideline_view(session, request_id, version)
