"""Postings by hand: an operator proposes one, another operator approves or rejects it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, status

from api.auth import Allow
from api.idempotency import OnceOnly
from api.routes.money import Paging
from api.session import Session
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.paging import Page
from marketplace.settlement.manual import queries, service
from marketplace.settlement.manual.schemas import DecidePosting, ManualPostingView, ProposePosting
from marketplace.settlement.manual.states import ProposalState

router = APIRouter(prefix="/v1/operator/manual-postings", tags=["Money"])

Reader = Annotated[Actor, Allow(Scope.MONEY_READ, Role.OPERATOR_FINANCE, Role.ADMIN, kind=OrganisationKind.OPERATOR)]
Finance = Annotated[Actor, Allow(Scope.MONEY_WRITE, Role.OPERATOR_FINANCE, Role.ADMIN, kind=OrganisationKind.OPERATOR)]


@router.post("", status_code=status.HTTP_201_CREATED)
async def propose_manual_posting(
    actor: Finance, session: Session, once: OnceOnly, body: ProposePosting
) -> ManualPostingView:
    """ProposePosting a posting; it is checked now, and posted when another operator approves it."""

    async def command() -> ManualPostingView:
        return queries.view(await service.propose(session, actor, body))

    return await once.run(ManualPostingView, command)


@router.get("")
async def list_manual_postings(
    _actor: Reader, session: Session, query: Paging, state: Annotated[ProposalState | None, Query()] = None
) -> Page[ManualPostingView]:
    """List the proposals, in one state or in all, newest first."""
    return await queries.proposals(session, query, state)


@router.get("/{proposal_id}")
async def get_manual_posting(_actor: Reader, session: Session, proposal_id: UUID) -> ManualPostingView:
    """Return a proposal and what became of it."""
    return queries.view(await queries.proposal_of(session, proposal_id))


@router.post("/{proposal_id}/approve")
async def approve_manual_posting(
    actor: Finance, session: Session, once: OnceOnly, proposal_id: UUID, body: DecidePosting
) -> ManualPostingView:
    """Approve what another operator proposed, and post it, by the books as they are now."""

    async def command() -> ManualPostingView:
        return queries.view(await service.approve(session, actor, proposal_id, body.reason))

    return await once.run(ManualPostingView, command)


@router.post("/{proposal_id}/reject")
async def reject_manual_posting(
    actor: Finance, session: Session, once: OnceOnly, proposal_id: UUID, body: DecidePosting
) -> ManualPostingView:
    """Reject a proposal, or withdraw one's own."""

    async def command() -> ManualPostingView:
        return queries.view(await service.reject(session, actor, proposal_id, body.reason))

    return await once.run(ManualPostingView, command)
