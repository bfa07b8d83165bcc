"""Reads of proposals, and the check that every posting by hand had four eyes."""

from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.paging import Page, PageQuery, read_page
from marketplace.ledger.verify import MAX_BREAKS_NAMED, Check
from marketplace.settlement.manual.errors import ProposalUnknown
from marketplace.settlement.manual.models import ManualPosting
from marketplace.settlement.manual.schemas import ManualPostingView
from marketplace.settlement.manual.states import ProposalState

_BREAKS: Final = text(
    """
    SELECT 'proposal ' || m.id || ' is approved without its posting' AS what FROM manual_posting m
    LEFT JOIN txn t ON t.id = m.txn_id AND t.key = 'manual:' || m.id WHERE m.state = 'approved' AND t.id IS NULL
    UNION ALL
    SELECT t.key || ' was posted without two people' FROM txn t
    WHERE t.key LIKE 'manual:%' AND NOT EXISTS (
        SELECT 1 FROM manual_posting m
        WHERE m.txn_id = t.id AND m.state = 'approved' AND m.decided_by <> m.proposed_by)
    UNION ALL
    SELECT 'claim ' || m.claim_id || ' revision ' || m.revision || ': more was clawed back than released'
    FROM manual_posting m JOIN posting p ON p.txn_id = m.txn_id
    JOIN account a ON a.id = p.account_id AND split_part(a.path, ':', 1) = 'org_cash'
    LEFT JOIN accrual r ON r.request_id = m.request_id AND r.claim_id = m.claim_id AND r.revision = m.revision
        AND r.state = 'released'
    WHERE m.kind = 'claw_back' AND -p.amount_minor > coalesce(r.amount_minor, 0)
    ORDER BY what LIMIT :limit
    """
)


def view(proposal: ManualPosting) -> ManualPostingView:
    """Return a proposal for showing; one whose time is over without a decision is shown as expired."""
    shown = ManualPostingView.model_validate(proposal)
    if proposal.state is ProposalState.PROPOSED and proposal.expires_at <= now():
        shown.state = ProposalState.EXPIRED
    return shown


async def proposals(session: AsyncSession, query: PageQuery, state: ProposalState | None) -> Page[ManualPostingView]:
    """Return a page of the proposals, in one state or in all, newest first."""
    chosen = select(ManualPosting)
    if state is not None:
        stored = ProposalState.PROPOSED if state is ProposalState.EXPIRED else state
        chosen = chosen.where(ManualPosting.state == stored)
    if state is ProposalState.EXPIRED:
        chosen = chosen.where(col(ManualPosting.expires_at) <= now())
    if state is ProposalState.PROPOSED:
        chosen = chosen.where(col(ManualPosting.expires_at) > now())
    rows, cursor = await read_page(session, chosen, ManualPosting.id, query)
    return Page(items=[view(row) for row in rows], next_cursor=cursor)


async def proposal_of(session: AsyncSession, proposal_id: UUID) -> ManualPosting:
    """Return a proposal, or raise `ProposalUnknown`."""
    proposal = await session.get(ManualPosting, proposal_id)
    if proposal is None:
        raise ProposalUnknown
    return proposal


async def four_eyes(session: AsyncSession) -> Check:
    """Check that what was posted by hand is what somebody else approved, and took back no more than was given."""
    breaks = list((await session.execute(_BREAKS, {"limit": MAX_BREAKS_NAMED})).scalars())
    approved = select(func.count()).where(col(ManualPosting.state) == ProposalState.APPROVED)
    figures = {"postings by hand": (await session.exec(approved)).one()}
    return Check("manual_postings", "a posting by hand was approved by a second person, once", figures, breaks)
