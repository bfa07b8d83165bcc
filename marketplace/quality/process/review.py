"""Held verdicts: a person of the operator confirms the rejection or accepts the work."""

from datetime import timedelta
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.paging import Page, PageQuery, read_page
from marketplace.core.settings import Settings
from marketplace.core.states import check_step
from marketplace.quality.cases import load_rules
from marketplace.quality.models import Verdict
from marketplace.quality.process.errors import HeldDecided, HeldUnknown, OwnHeldWork
from marketplace.quality.process.models import HeldVerdict
from marketplace.quality.process.schemas import HeldDecision, HeldView, UnderReviewView
from marketplace.quality.process.states import HELD_STEPS, HeldState
from marketplace.quality.service import follow
from marketplace.quality.states import Outcome, ReasonCode
from marketplace.tasks.queries import claim_sheet


async def held_verdicts(session: AsyncSession, query: PageQuery, state: HeldState) -> Page[HeldView]:
    """Return a page of held verdicts in a state, newest first, for those who decide."""
    statement = select(HeldVerdict).where(col(HeldVerdict.state) == state)
    found, cursor = await read_page(session, statement, HeldVerdict.id, query)
    return Page(items=[_view(each) for each in found], next_cursor=cursor)


async def under_review(session: AsyncSession, worker_id: UUID, query: PageQuery) -> Page[UnderReviewView]:
    """Return a page of a worker's submissions that a person is reviewing, without what the gates said."""
    mine = select(HeldVerdict).where(HeldVerdict.worker_id == worker_id, col(HeldVerdict.state) == HeldState.WAITING)
    found, cursor = await read_page(session, mine, HeldVerdict.id, query)
    return Page(items=[UnderReviewView.model_validate(each.model_dump()) for each in found], next_cursor=cursor)


async def decide_held(
    session: AsyncSession, actor: Actor, settings: Settings, request_id: UUID, held_id: UUID, command: HeldDecision
) -> HeldView:
    """Decide on a held verdict: it is given now, as a rejection or as an acceptance, by this person.

    Locks as a judgement does: the claim, then what is held, the seat, the tasks by id.

    Raises:
        HeldUnknown: there is none.
        OwnHeldWork: the actor is the worker.
        HeldDecided: somebody decided it before.
    """
    seen = await session.get(HeldVerdict, (request_id, held_id))
    if seen is None:
        raise HeldUnknown
    if seen.worker_id == actor.id:
        raise OwnHeldWork
    sheet = await claim_sheet(session, request_id, seen.claim_id, lock=True)
    held = await session.get_one(HeldVerdict, (request_id, held_id), with_for_update=True, populate_existing=True)
    if held.state is not HeldState.WAITING:
        raise HeldDecided(f"It was {held.state}.", state=str(held.state))
    check_step(HELD_STEPS, held.state, command.decision)
    held.state, held.decided_by, held.decided_at = command.decision, actor.principal, now()
    held.reason = command.reason
    verdict = _given(held, settings)
    session.add_all([held, verdict])
    await session.flush()
    await follow(session, sheet, await load_rules(session, request_id), verdict, settings)
    record(
        session, actor, f"held_verdict.{command.decision}", f"verdict:{verdict.id}",
        request=str(request_id), claim=str(held.claim_id), reason=command.reason,
    )  # fmt: skip
    return _view(held)


def _given(held: HeldVerdict, settings: Settings) -> Verdict:
    """Return the verdict that was held as this person gives it: dated now, with a whole window to appeal."""
    verdict = Verdict.model_validate(held.verdict)
    verdict.created_at = held.decided_at or now()
    verdict.final_at = verdict.created_at + timedelta(seconds=settings.appeal_window_seconds)
    verdict.decided_by = str(held.decided_by)
    verdict.evidence = verdict.evidence | {"review": held.reason}
    if held.state is HeldState.ACCEPTED:
        verdict.outcome, verdict.reason_code = Outcome.ACCEPTED, ReasonCode.OVERTURNED
    return verdict


def _view(held: HeldVerdict) -> HeldView:
    told = {"reason_code": held.verdict["reason_code"], "evidence": held.verdict["evidence"]}
    return HeldView.model_validate({**held.model_dump(), **told})
