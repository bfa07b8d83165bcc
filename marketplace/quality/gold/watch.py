"""The rules' look at a request's gold after each fit: what is in doubt, what was seen too often, what could be gold."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import gold_truths
from marketplace.catalog.states import RequestState
from marketplace.core.actor import SYSTEM
from marketplace.core.clock import now
from marketplace.core.states import check_step
from marketplace.quality.cases import Rules, load_rules
from marketplace.quality.gold.models import GoldCandidate, GoldItem
from marketplace.quality.gold.policy import (
    ADJUDICATED_ANSWERS,
    CONFIDENT_ANSWERS,
    CONFIDENT_FROM,
    KNOWN_WIDTH,
    LEAST_ACTIVE,
    LEAST_SCALE,
    MOST_PROPOSED,
    GoldTally,
    is_doubtful,
    is_overexposed,
)
from marketplace.quality.gold.queries import states_of, tallies
from marketplace.quality.gold.states import DISAGREEMENT, EXPOSURE, GOLD_STEPS, CandidateSource, GoldState
from marketplace.quality.similarity import same
from marketplace.tasks.dealing import EFFECT_DELAY
from marketplace.tasks.gold_models import GoldPause

_BATCH: Final = 500
_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtextextended('gold:' || :request, 0))")
_CONFIDENT: Final = text(
    """
    SELECT c.task_id, c.value, c.confidence, c.answers FROM consensus c
    WHERE c.request_id = :request AND c.done AND c.confidence >= :confidence AND c.answers >= :answers
      AND NOT EXISTS (SELECT 1 FROM gold_candidate g WHERE g.request_id = c.request_id AND g.task_id = c.task_id)
    ORDER BY c.confidence DESC, c.task_id LIMIT :most
    """
)
_ADJUDICATED: Final = text(
    """
    SELECT c.task_id, c.value, c.confidence, c.answers, a.value AS given FROM appeal p
    JOIN verdict v ON v.request_id = p.request_id AND v.id = p.verdict_id
    JOIN answer a ON a.request_id = v.request_id AND a.claim_id = v.claim_id AND a.revision = v.revision
    JOIN consensus c ON c.request_id = a.request_id AND c.task_id = a.task_id
    WHERE p.request_id = :request AND p.state = 'overturned' AND NOT a.is_gold AND c.done AND c.answers >= :answers
      AND NOT EXISTS (SELECT 1 FROM gold_candidate g WHERE g.request_id = c.request_id AND g.task_id = c.task_id)
    ORDER BY c.task_id LIMIT :most
    """
)
_WAITING: Final = text("SELECT count(*) FROM gold_candidate WHERE request_id = :request AND state = 'proposed'")

# Rows that a claim holds are left for the next time; nothing waits, so nothing can wait for another in a circle.
_SCALES: Final = text(
    """
    WITH wanted AS (
        SELECT worker_id, least(greatest((high - low) / :width, :least), 1) AS scale FROM request_skill
        WHERE request_id = :request
    ), changed AS (
        SELECT w.worker_id, wanted.scale FROM request_worker w JOIN wanted USING (worker_id)
        WHERE w.request_id = :request AND abs(w.gold_scale - wanted.scale) > 0.01
        FOR UPDATE OF w SKIP LOCKED
    )
    UPDATE request_worker w SET gold_scale = changed.scale FROM changed
    WHERE w.request_id = :request AND w.worker_id = changed.worker_id
    """
)


async def lock_gold(session: AsyncSession, request_id: UUID) -> None:
    """Let changes of a request's gold follow each other."""
    await session.execute(_LOCK, {"request": str(request_id)})


async def watch(session: AsyncSession, request_id: UUID) -> None:
    """Take gold out of use that is in doubt or was seen too often, propose new gold, and deal less to those known."""
    request = await session.get_one(DatasetRequest, request_id)
    if request.state is not RequestState.IN_PRODUCTION:
        return
    await lock_gold(session, request_id)
    rules = await load_rules(session, request_id)
    truths = await gold_truths(session, request_id)
    states = await states_of(session, request_id, truths)
    counts = await _counts(session, request_id, rules, truths)
    active = {item: _state(states.get(item)) for item in truths}
    active = {item: state for item, state in active.items() if state not in {GoldState.IN_DOUBT, GoldState.RETIRED}}
    for item, state in list(active.items()):
        if state is not GoldState.KEPT and is_doubtful(counts[item]):
            await _take_out(session, request_id, item, states.get(item), GoldState.IN_DOUBT, counts[item])
            del active[item]
    seen = sorted((item for item in active if is_overexposed(counts[item])), key=lambda item: -counts[item].workers)
    for item in seen[: max(0, len(active) - LEAST_ACTIVE)]:
        await _take_out(session, request_id, item, states.get(item), GoldState.RETIRED, counts[item])
    await _propose(session, request_id, rules)
    await session.execute(_SCALES, {"request": request_id, "width": KNOWN_WIDTH, "least": LEAST_SCALE})


def _state(row: GoldItem | None) -> GoldState:
    return row.state if row else GoldState.ACTIVE


async def _counts(
    session: AsyncSession, request_id: UUID, rules: Rules, truths: Mapping[UUID, Any]
) -> dict[UUID, GoldTally]:
    items, counts = list(truths), dict[UUID, GoldTally]()
    for start in range(0, len(items), _BATCH):
        batch = {item: truths[item] for item in items[start : start + _BATCH]}
        counts |= await tallies(session, request_id, rules.spec, batch)
    return counts


async def _take_out(
    session: AsyncSession, request_id: UUID, item: UUID, row: GoldItem | None, target: GoldState, tally: GoldTally
) -> None:
    """Stop dealing a gold item; claims that hold it keep it."""
    check_step(GOLD_STEPS, _state(row), target)
    why = DISAGREEMENT if target is GoldState.IN_DOUBT else EXPOSURE
    row = row or GoldItem(request_id=request_id, item_id=item, state=target, why=why, figures={}, changed_at=now())
    row.state, row.why, row.figures, row.changed_at = target, why, asdict(tally), now()
    session.add_all([row, GoldPause(request_id=request_id, item_id=item, from_at=now() + EFFECT_DELAY)])
    await session.flush()
    record(session, SYSTEM, f"gold.{target}", f"request:{request_id}", item=str(item), why=why, **asdict(tally))


async def _propose(session: AsyncSession, request_id: UUID, rules: Rules) -> None:
    room = MOST_PROPOSED - (await session.execute(_WAITING, {"request": request_id})).scalar_one()
    if room <= 0:
        return
    names = {"request": request_id, "most": room, "answers": ADJUDICATED_ANSWERS}
    found = {
        row.task_id: _candidate(request_id, row, CandidateSource.ADJUDICATED)
        for row in await session.execute(_ADJUDICATED, names)
        if same(rules.spec, rules.spec.main(row.given), rules.spec.main(row.value))
    }
    names |= {"answers": CONFIDENT_ANSWERS, "confidence": CONFIDENT_FROM}
    for row in await session.execute(_CONFIDENT, names):
        found.setdefault(row.task_id, _candidate(request_id, row, CandidateSource.CONFIDENT))
    rows = list(found.values())[:room]
    if rows:
        await session.execute(insert(GoldCandidate).values(rows).on_conflict_do_nothing())


def _candidate(request_id: UUID, row: Any, source: CandidateSource) -> dict[str, Any]:
    told = {"task_id": row.task_id, "value": row.value, "confidence": row.confidence, "answers": row.answers}
    return {"request_id": request_id, **told, "source": source}
