"""Proposing a posting, and deciding on what somebody else proposed."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.states import check_step
from marketplace.identity.models import Person
from marketplace.identity.queries import contexts_of, person_of_actor
from marketplace.ledger import service as ledger
from marketplace.settlement.manual.drafting import entry_of
from marketplace.settlement.manual.errors import (
    AlreadyClawedBack,
    ProposalDecided,
    ProposalExpired,
    ProposalUnknown,
    SecondOperatorNeeded,
)
from marketplace.settlement.manual.models import ManualPosting
from marketplace.settlement.manual.policy import check_not_own
from marketplace.settlement.manual.schemas import ClawBack, ProposePosting
from marketplace.settlement.manual.states import PROPOSAL_STEPS, ProposalState

# Long enough for a holiday, short enough that the second pair of eyes sees the books that the first one saw.
PROPOSAL_LIFE: Final = timedelta(days=7)
_ONE_AT_A_TIME: Final = text("SELECT pg_advisory_xact_lock(hashtext('manual_posting'))")


async def propose(session: AsyncSession, actor: Actor, command: ProposePosting) -> ManualPosting:
    """Propose a posting; it is checked as if it were posted now, and nothing moves.

    Raises:
        PersonsOnly: an API key calls; four eyes are those of people.
        InOwnFavour: it is on the proposer's own account, or on that of a company they act for.
        DomainError: whatever `entry_of` refuses.
    """
    person = await person_of_actor(session, actor)
    proposal = ManualPosting(
        kind=command.terms.kind, terms=command.terms.model_dump(mode="json"), reason=command.reason,
        proposed_by=actor.principal, expires_at=now() + PROPOSAL_LIFE,
    )  # fmt: skip
    if isinstance(command.terms, ClawBack):
        proposal.request_id, proposal.claim_id = command.terms.request_id, command.terms.claim_id
        proposal.revision = command.terms.revision
        await _check_first_claw_back(session, proposal)
    check_not_own((await entry_of(session, proposal)).legs, await _own(session, person))
    session.add(proposal)
    await session.flush()
    _record(session, actor, "proposed", proposal, command.reason)
    return proposal


async def approve(session: AsyncSession, actor: Actor, proposal_id: UUID, reason: str) -> ManualPosting:
    """Approve what another operator proposed, and post it.

    Approvals are made one at a time, so that each sees what the one before it posted.

    Raises:
        ProposalUnknown, ProposalDecided, ProposalExpired: it is not there to be decided.
        SecondOperatorNeeded: the actor proposed it.
        PersonsOnly, InOwnFavour: as for a proposal.
        InsufficientFunds: a guarded account would go negative.
        DomainError: whatever `entry_of` refuses by now.
    """
    person = await person_of_actor(session, actor)
    await session.execute(_ONE_AT_A_TIME)
    proposal = await _to_decide(session, proposal_id)
    if proposal.proposed_by == actor.principal:
        raise SecondOperatorNeeded
    await _check_first_claw_back(session, proposal)
    entry = await entry_of(session, proposal)
    check_not_own(entry.legs, await _own(session, person))
    [txn] = await ledger.post_many(session, [entry])
    proposal.txn_id = txn.id
    await _decide(session, actor, proposal, ProposalState.APPROVED, reason)
    return proposal


async def reject(session: AsyncSession, actor: Actor, proposal_id: UUID, reason: str) -> ManualPosting:
    """Reject a proposal, or withdraw one's own; nothing moves. Raises as `approve` for what cannot be decided."""
    await person_of_actor(session, actor)
    proposal = await _to_decide(session, proposal_id)
    await _decide(session, actor, proposal, ProposalState.REJECTED, reason)
    return proposal


async def _own(session: AsyncSession, person: Person) -> set[UUID]:
    """Return whose accounts are the person's own: theirs, and those of companies that they act for."""
    return {person.id, *await contexts_of(session, person.id)}


async def _to_decide(session: AsyncSession, proposal_id: UUID) -> ManualPosting:
    proposal = await session.get(ManualPosting, proposal_id, with_for_update=True, populate_existing=True)
    if proposal is None:
        raise ProposalUnknown
    if proposal.state is not ProposalState.PROPOSED:
        raise ProposalDecided(f"It was {proposal.state}.", state=str(proposal.state))
    if proposal.expires_at <= now():
        raise ProposalExpired
    return proposal


async def _decide(
    session: AsyncSession, actor: Actor, proposal: ManualPosting, target: ProposalState, reason: str
) -> None:
    check_step(PROPOSAL_STEPS, proposal.state, target)
    proposal.state, proposal.decided_by, proposal.decided_at = target, actor.principal, now()
    proposal.decision_reason = reason
    await session.flush()
    _record(session, actor, target.value, proposal, reason)


async def _check_first_claw_back(session: AsyncSession, proposal: ManualPosting) -> None:
    if proposal.claim_id is None:
        return
    found = await session.exec(
        select(ManualPosting.id).where(
            ManualPosting.request_id == proposal.request_id,
            col(ManualPosting.claim_id) == proposal.claim_id,
            ManualPosting.revision == proposal.revision,
            ManualPosting.state == ProposalState.APPROVED,
        )
    )
    if found.first() is not None:
        raise AlreadyClawedBack


def _record(session: AsyncSession, actor: Actor, act: str, proposal: ManualPosting, reason: str) -> None:
    record(
        session, actor, f"manual_posting.{act}", f"manual_posting:{proposal.id}",
        kind=proposal.kind.value, terms=proposal.terms, proposed_by=proposal.proposed_by, reason=reason,
        txn=None if proposal.txn_id is None else str(proposal.txn_id),
    )  # fmt: skip
