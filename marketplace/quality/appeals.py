"""Appeals: a worker objects to a rejection, a person of the operator decides, and what was wrong is put right."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import tuple_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.outbox import emit
from marketplace.core.paging import Page, PageQuery, decode_cursor, encode_cursor, read_page
from marketplace.core.settings import Settings
from marketplace.core.states import check_step
from marketplace.quality.cases import load_rules
from marketplace.quality.errors import (
    AppealDecided,
    AppealNotPossible,
    AppealTooLate,
    AppealUnknown,
    JudgedBefore,
    OwnAppeal,
    VerdictUnknown,
)
from marketplace.quality.models import Appeal, Verdict
from marketplace.quality.process.brake import is_reviewed
from marketplace.quality.process.errors import UnderReview
from marketplace.quality.schemas import AppealDecision, AppealIn, AppealView, VerdictView
from marketplace.quality.service import take
from marketplace.quality.states import (
    APPEAL_STEPS,
    VERDICT_STEPS,
    AppealState,
    Outcome,
    ReasonCode,
    VerdictState,
)
from marketplace.tasks.queries import claim_sheet


def can_appeal(verdict: Verdict, moment: datetime) -> bool:
    """Return whether the worker may still object: to a rejection, once, within the window."""
    open_to_appeal = verdict.outcome is Outcome.REJECTED and verdict.state is VerdictState.GIVEN
    return open_to_appeal and moment < verdict.final_at


def verdict_view(verdict: Verdict) -> VerdictView:
    """Return a verdict for showing."""
    return VerdictView.model_validate({**verdict.model_dump(), "can_appeal": can_appeal(verdict, now())})


async def verdicts_of_worker(session: AsyncSession, worker_id: UUID, query: PageQuery) -> Page[VerdictView]:
    """Return a page of the verdicts on a worker's submissions, newest first."""
    found, cursor = await read_page(session, select(Verdict).where(Verdict.worker_id == worker_id), Verdict.id, query)
    return Page(items=[verdict_view(verdict) for verdict in found], next_cursor=cursor)


async def verdict_of_claim(session: AsyncSession, actor: Actor, request_id: UUID, claim_id: UUID) -> VerdictView:
    """Return the newest verdict on a claim, to its worker or to the operator.

    Raises:
        VerdictUnknown: there is none yet, or the claim is somebody else's.
        UnderReview: it is the actor's, and a person decides on it.
    """
    statement = select(Verdict).where(Verdict.request_id == request_id, Verdict.claim_id == claim_id)
    if not actor.is_operator and await is_reviewed(session, request_id, claim_id, actor.id):
        raise UnderReview
    found = (await session.exec(statement.order_by(col(Verdict.revision).desc()).limit(1))).first()
    if found is None or not (actor.is_operator or found.worker_id == actor.id):
        raise VerdictUnknown
    return verdict_view(found)


async def _locked_verdict(session: AsyncSession, request_id: UUID, verdict_id: UUID) -> Verdict:
    statement = select(Verdict).where(Verdict.request_id == request_id, Verdict.id == verdict_id).with_for_update()
    found = (await session.exec(statement)).one_or_none()
    if found is None:
        raise VerdictUnknown
    return found


async def appeal(
    session: AsyncSession, actor: Actor, settings: Settings, request_id: UUID, verdict_id: UUID, command: AppealIn
) -> AppealView:
    """Object to a rejection of one's own work; a person owes an answer within the operator's days.

    Raises:
        VerdictUnknown: there is no such verdict on the actor's work.
        AppealNotPossible: it is no rejection, or was appealed before.
        AppealTooLate: its window has ended.
    """
    verdict = await _locked_verdict(session, request_id, verdict_id)
    if verdict.worker_id != actor.id:
        raise VerdictUnknown
    if verdict.outcome is not Outcome.REJECTED or verdict.state not in {VerdictState.GIVEN, VerdictState.FINAL}:
        raise AppealNotPossible
    if not can_appeal(verdict, now()):
        raise AppealTooLate(f"It could be appealed until {verdict.final_at.isoformat()}.")
    _move(verdict, VerdictState.APPEALED)
    made = Appeal(
        request_id=request_id,
        verdict_id=verdict.id,
        worker_id=actor.id,
        text=command.text,
        answer_due_at=now() + timedelta(days=settings.appeal_answer_days),
    )
    session.add_all([verdict, made])
    await session.flush()
    record(session, actor, "verdict.appealed", f"verdict:{verdict.id}", request=str(request_id))
    return _view(made, verdict)


def _move(verdict: Verdict, target: VerdictState) -> None:
    check_step(VERDICT_STEPS, verdict.state, target)
    verdict.state = target


async def open_appeals(session: AsyncSession, query: PageQuery, state: AppealState) -> Page[AppealView]:
    """Return a page of appeals in a state with their verdicts: open ones by when they are due, others newest first."""
    if state is AppealState.OPEN:
        found, cursor = await _by_due_date(session, query)
    else:
        found, cursor = await read_page(session, select(Appeal).where(col(Appeal.state) == state), Appeal.id, query)
    verdicts = await session.exec(select(Verdict).where(col(Verdict.id).in_([each.verdict_id for each in found])))
    by_id = {verdict.id: verdict for verdict in verdicts.all()}
    return Page(items=[_view(each, by_id[each.verdict_id]) for each in found], next_cursor=cursor)


async def _by_due_date(session: AsyncSession, query: PageQuery) -> tuple[list[Appeal], str | None]:
    """Return a page of open appeals, the longest overdue first; the cursor's appeal may be decided meanwhile."""
    order = (col(Appeal.answer_due_at), col(Appeal.id))
    statement = select(Appeal).where(col(Appeal.state) == AppealState.OPEN)
    if query.cursor is not None:
        last = decode_cursor(query.cursor)
        due = select(Appeal.answer_due_at).where(Appeal.id == last).scalar_subquery()
        statement = statement.where(tuple_(*order) > tuple_(due, last))
    rows = list((await session.exec(statement.order_by(*order).limit(query.limit + 1))).all())
    more = len(rows) > query.limit
    return rows[: query.limit], encode_cursor(rows[query.limit - 1].id) if more else None


async def decide(
    session: AsyncSession, actor: Actor, request_id: UUID, appeal_id: UUID, command: AppealDecision
) -> AppealView:
    """Decide an appeal. Overturned, the work counts and is paid, also when its seat has gone to somebody else.

    Locks claim, then appeal and verdict, then the tasks: the order of a judgement.

    Raises:
        AppealUnknown: there is no such appeal.
        OwnAppeal: the actor is the worker.
        JudgedBefore: the actor gave the verdict, confirmed it, or found the work wrong in a dispute.
        AppealDecided: somebody decided it before.
    """
    seen = await session.get(Appeal, (request_id, appeal_id))
    if seen is None:
        raise AppealUnknown
    if seen.worker_id == actor.id:
        raise OwnAppeal
    verdict = await session.get_one(Verdict, (request_id, seen.verdict_id))
    sheet = await claim_sheet(session, request_id, verdict.claim_id, lock=True)
    locked = await session.get_one(Appeal, (request_id, appeal_id), with_for_update=True, populate_existing=True)
    verdict = await session.get_one(
        Verdict, (request_id, seen.verdict_id), with_for_update=True, populate_existing=True
    )
    if locked.state is not AppealState.OPEN:
        raise AppealDecided(f"It was {locked.state}.", state=str(locked.state))
    if verdict.decided_by == actor.principal:
        raise JudgedBefore
    check_step(APPEAL_STEPS, locked.state, command.decision)
    locked.answered_at = now()
    locked.state, locked.answer, locked.decided_by = command.decision, command.answer, actor.principal
    _move(verdict, VerdictState(command.decision))
    if command.decision is AppealState.OVERTURNED:
        if verdict.reason_code is ReasonCode.DISPUTED:  # it was paid before, and its pay was taken back
            payload = {"request_id": str(request_id), "claim_id": str(verdict.claim_id), "revision": verdict.revision}
            emit(session, "settlement.accrue_again", payload)
        verdict.outcome, verdict.reason_code = Outcome.ACCEPTED, ReasonCode.OVERTURNED
        verdict.decided_by = actor.principal
        session.add(verdict)
        await session.flush()
        await take(session, sheet, await load_rules(session, request_id))
        emit(session, "quality.deliver", {"request_id": str(request_id)})
    session.add_all([locked, verdict])
    await session.flush()
    emit(session, "quality.conduct", {"request_id": str(request_id)})
    record(session, actor, f"appeal.{command.decision}", f"verdict:{verdict.id}", request=str(request_id))
    return _view(locked, verdict)


def _view(made: Appeal, verdict: Verdict) -> AppealView:
    return AppealView.model_validate({
        **made.model_dump(),
        "claim_id": verdict.claim_id,
        "is_overdue": made.state is AppealState.OPEN and made.answer_due_at < now(),
        "outcome": verdict.outcome,
        "reason_code": verdict.reason_code,
        "evidence": verdict.evidence,
    })  # fmt: skip
