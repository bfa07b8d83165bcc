"""What people decide on gold: doubts, with what follows for those who were judged by it, and new gold."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.models import Gold, Item
from marketplace.catalog.queries import items_by_ids, request_of
from marketplace.catalog.states import RequestState
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.settings import Settings
from marketplace.core.states import check_step
from marketplace.quality.cases import Rules, load_rules
from marketplace.quality.gold.errors import CandidateUnknown, GoldNotInDoubt, GoldUnknown, TruthNeeded
from marketplace.quality.gold.models import GoldCandidate, GoldItem
from marketplace.quality.gold.queries import show
from marketplace.quality.gold.schemas import CandidateDecision, GoldDecision, GoldView
from marketplace.quality.gold.states import GOLD_STEPS, CandidateState, GoldState
from marketplace.quality.gold.watch import lock_gold
from marketplace.quality.models import Verdict
from marketplace.quality.similarity import same
from marketplace.quality.states import Outcome, ReasonCode, VerdictState
from marketplace.tasks.dealing import EFFECT_DELAY
from marketplace.tasks.gold_models import GoldAddition, GoldPause

_JUDGED: Final = text(
    """
    SELECT a.worker_id, a.claim_id, a.value FROM answer a
    WHERE a.request_id = :request AND a.task_id = :item AND a.is_gold AND (
        EXISTS (SELECT 1 FROM verdict v
                WHERE v.request_id = a.request_id AND v.claim_id = a.claim_id AND v.revision = a.revision
                  AND v.created_at < :until)
        OR EXISTS (SELECT 1 FROM held_verdict h
                   WHERE h.request_id = a.request_id AND h.claim_id = a.claim_id AND h.revision = a.revision
                     AND h.created_at < :until))
    """
)
_RECORDS: Final = text(
    """
    WITH change AS (
        SELECT * FROM unnest(CAST(:workers AS uuid[]), CAST(:rights AS int[]), CAST(:seens AS int[]))
            AS change (worker_id, right_more, seen_more)
    ), locked AS (
        SELECT worker_id FROM worker_gold WHERE request_id = :request AND worker_id = ANY(:workers)
        ORDER BY worker_id FOR UPDATE
    )
    UPDATE worker_gold w
    SET "right" = least(greatest(w."right" + change.right_more, 0), greatest(w.seen + change.seen_more, 0)),
        seen = greatest(w.seen + change.seen_more, 0)
    FROM change JOIN locked USING (worker_id) WHERE w.request_id = :request AND w.worker_id = change.worker_id
    """
)
_MET: Final = text(
    """
    SELECT t.id, coalesce(array_agg(w.worker_id) FILTER (WHERE w.worker_id IS NOT NULL), '{}') AS met
    FROM task t LEFT JOIN request_worker w ON w.request_id = t.request_id AND t.block = ANY(w.seen_blocks)
    WHERE t.request_id = :request AND t.id = ANY(:tasks) GROUP BY t.id
    """
)
APPEAL_ANEW: Final = "A hidden check of this bundle was found wrong; you may appeal anew."


async def decide_doubt(
    session: AsyncSession, actor: Actor, settings: Settings, request_id: UUID, item_id: UUID, command: GoldDecision
) -> GoldView:
    """Keep, correct or retire gold in doubt. Corrected or retired, whoever was marked wrong by it is put right.

    Their records lose the mark, and rejections for gold in which it counted can be appealed for a whole window again.

    Raises:
        RequestNotFound, GoldUnknown: there is none of the actor's.
        GoldNotInDoubt: nobody doubts it, or it was decided.
        TruthNeeded: a correction without a valid answer.
    """
    request = await request_of(session, actor, request_id)
    await lock_gold(session, request_id)
    gold = await session.get(Gold, (request_id, item_id), populate_existing=True)
    if gold is None:
        raise GoldUnknown
    row = await session.get(GoldItem, (request_id, item_id), populate_existing=True)
    if row is None or row.state is not GoldState.IN_DOUBT:
        raise GoldNotInDoubt
    rules = await load_rules(session, request_id)
    truth = _truth(rules, command)
    check_step(GOLD_STEPS, row.state, command.decision)
    row.state, row.reason, row.decided_by, row.decided_at = command.decision, command.reason, actor.principal, now()
    session.add(row)
    if command.decision is not GoldState.KEPT:
        is_open = request.state not in {RequestState.SETTLED, RequestState.CLOSED}
        await _put_right(session, settings, rules, gold, truth, row.changed_at, reopen=is_open)
    if truth is not None:
        gold.truth = truth
        session.add(gold)
    if command.decision is not GoldState.RETIRED:
        await _resume(session, request_id, item_id)
    await session.flush()
    record(
        session, actor, f"gold.{command.decision}", f"request:{request_id}", item=str(item_id), reason=command.reason
    )
    return (await show(session, request_id, [gold]))[0]


def _truth(rules: Rules, command: GoldDecision) -> dict[str, Any] | None:
    if command.decision is not GoldState.CORRECTED:
        return None
    if command.truth is None or rules.validator.validate(command.truth):
        raise TruthNeeded
    return command.truth


async def _resume(session: AsyncSession, request_id: UUID, item_id: UUID) -> None:
    statement = select(GoldPause).where(GoldPause.request_id == request_id, GoldPause.item_id == item_id)
    for pause in (await session.exec(statement.where(col(GoldPause.until_at).is_(None)))).all():
        pause.until_at = max(now() + EFFECT_DELAY, pause.from_at)
        session.add(pause)


async def _put_right(
    session: AsyncSession, settings: Settings, rules: Rules, gold: Gold, truth: Any, until: datetime, *, reopen: bool
) -> None:
    """Take back what a wrong truth (None: without another one) did to records, and let rejections be appealed anew."""
    rows = await session.execute(_JUDGED, {"request": gold.request_id, "item": gold.item_id, "until": until})
    changes: dict[UUID, tuple[int, int]] = {}
    wronged: set[UUID] = set()
    for row in rows:
        was = _agrees(rules, row.value, gold.truth)
        right = 0 if truth is None else int(_agrees(rules, row.value, truth))
        have = changes.get(row.worker_id, (0, 0))
        changes[row.worker_id] = have[0] + right - int(was), have[1] - (1 if truth is None else 0)
        if not was:
            wronged.add(row.claim_id)
    names = {
        "request": gold.request_id,
        "workers": list(changes),
        "rights": [change[0] for change in changes.values()],
        "seens": [change[1] for change in changes.values()],
    }
    await session.execute(_RECORDS, names)
    if reopen:
        await _reopen(session, settings, gold.request_id, wronged)


def _agrees(rules: Rules, value: Any, truth: Any) -> bool:
    return not rules.validator.validate(value) and same(rules.spec, rules.spec.main(value), rules.spec.main(truth))


async def _reopen(session: AsyncSession, settings: Settings, request_id: UUID, claims: set[UUID]) -> None:
    statement = select(Verdict).where(
        Verdict.request_id == request_id,
        col(Verdict.claim_id).in_(claims),
        col(Verdict.outcome) == Outcome.REJECTED,
        col(Verdict.reason_code) == ReasonCode.GOLD_ACCURACY,
        col(Verdict.state).in_((VerdictState.GIVEN, VerdictState.FINAL)),
    )
    locked = statement.order_by(col(Verdict.id)).with_for_update()
    for verdict in (await session.exec(locked.execution_options(populate_existing=True))).all():
        verdict.state = VerdictState.GIVEN
        verdict.final_at = now() + timedelta(seconds=settings.appeal_window_seconds)
        verdict.evidence = verdict.evidence | {"appeal_anew": APPEAL_ANEW}
        session.add(verdict)


async def decide_candidates(session: AsyncSession, actor: Actor, request_id: UUID, command: CandidateDecision) -> int:
    """Make candidates gold, or decline them; return how many. Gold is a copy of the task, for those who never met it.

    Raises:
        RequestNotFound: it is not the actor's.
        CandidateUnknown: some are no open candidates.
    """
    request = await request_of(session, actor, request_id, lock=True)
    await lock_gold(session, request_id)
    wanted = set(command.task_ids)
    statement = select(GoldCandidate).where(
        GoldCandidate.request_id == request_id,
        col(GoldCandidate.task_id).in_(wanted),
        col(GoldCandidate.state) == CandidateState.PROPOSED,
    )
    found = (await session.exec(statement.order_by(col(GoldCandidate.task_id)))).all()
    if len(found) != len(wanted):
        raise CandidateUnknown
    for candidate in found:
        candidate.state, candidate.decided_by = command.decision, actor.principal
        session.add(candidate)
    if command.decision is CandidateState.CONFIRMED:
        await _make_gold(session, request_id, list(found))
        request.gold_count += len(found)
        session.add(request)
    await session.flush()
    record(session, actor, f"gold_candidates.{command.decision}", f"request:{request_id}", count=len(found))
    return len(found)


async def _make_gold(session: AsyncSession, request_id: UUID, candidates: list[GoldCandidate]) -> None:
    tasks = [each.task_id for each in candidates]
    met = {row.id: row.met for row in await session.execute(_MET, {"request": request_id, "tasks": tasks})}
    items = await items_by_ids(session, request_id, tasks)
    moment = now()
    for each in candidates:
        item, copy = items[each.task_id], new_id()
        session.add(
            Item(
                request_id=request_id, id=copy, external_id=f"gold:{item.id}", position=-1, data=item.data,
                media_key=item.media_key,
            )
        )  # fmt: skip
        session.add(Gold(request_id=request_id, item_id=copy, truth=each.value))
        addition = GoldAddition(request_id=request_id, item_id=copy, origin_id=item.id, met=met[item.id])
        addition.created_at = moment
        session.add(addition)
