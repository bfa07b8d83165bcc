"""Testing a request's workers for fraud on all that they submitted, accepted or not, and storing what was found.

Only kinds with classes are tested (choices, preferences, sets of options as one class each): the tests compare classes.
Findings accuse nobody by themselves: control rules and people act on them.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import gold_truths
from marketplace.catalog.schemas import QualityPlan
from marketplace.catalog.states import LabelKind
from marketplace.core.clock import now
from marketplace.quality.cases import load_rules
from marketplace.quality.fraud.copying import Pair, find_copiers
from marketplace.quality.fraud.models import WorkerIntegrity
from marketplace.quality.fraud.patterns import FAST_RUN, PatternFinding, find_pattern, longest_fast_run
from marketplace.quality.fraud.spammers import FALSE_ALARMS, SpammerFinding, find_spammers
from marketplace.quality.fraud.votes import Fit, Vote, Votes, encode, fit
from marketplace.quality.spec import CHOICE_KINDS, LabelSpec
from marketplace.tasks.policy import gold_of_worker, seat_order

TESTED_KINDS: Final = CHOICE_KINDS | {LabelKind.MULTIPLE_CHOICE}
MOST_ANSWERS: Final = 200_000
"""The newest answers that a test looks at; the tests know enough of a worker long before."""
_SUBMITTED: Final = text(
    """
    SELECT c.id AS claim_id, c.worker_id, c.gold_start, c.gold_count, b.task_ids,
           extract(epoch FROM c.submitted_at)::float8 AS moment,
           jsonb_object_agg(a.task_id, jsonb_build_object('value', a.value, 'seconds', a.seconds)) AS answers
    FROM (SELECT * FROM claim WHERE request_id = :request AND state IN ('submitted', 'rework', 'accepted', 'rejected')
            AND revision > 0 ORDER BY id DESC LIMIT :most) c
    JOIN bundle b ON b.request_id = c.request_id AND b.id = c.bundle_id
    JOIN answer a ON a.request_id = c.request_id AND a.claim_id = c.id AND a.revision = c.revision
    GROUP BY c.id, c.worker_id, c.gold_start, c.gold_count, b.task_ids, c.submitted_at ORDER BY c.id
    """
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One submitted bundle: its answers in the order in which the worker saw the tasks."""

    worker: UUID
    tasks: list[UUID]
    labels: list[str]
    seconds: list[float]
    moment: float


@dataclass(frozen=True, slots=True)
class Findings:
    """What the three tests say of one worker."""

    spammer: SpammerFinding
    pair: Pair | None
    with_whom: UUID | None
    is_copier: bool
    pattern: PatternFinding
    fast_run: int


async def check_request(session: AsyncSession, request_id: UUID) -> int:
    """Test the workers of a request and store the findings; return how many were tested, 0 for kinds without classes.

    A finding that was raised before keeps the moment at which it first was (`flagged_at`).
    """
    request = await session.get_one(DatasetRequest, request_id)
    rules = await load_rules(session, request_id)
    if rules.spec.kind not in TESTED_KINDS:
        return 0
    sheets = await _sheets(session, request, rules.spec)
    if not sheets:
        return 0
    truths = {task: _label(rules.spec, value) for task, value in (await gold_truths(session, request_id)).items()}
    floor = QualityPlan.model_validate(request.quality_plan).min_seconds_per_task
    found = await asyncio.to_thread(examine, sheets, truths, floor, request.seed)
    await _store(session, request_id, found)
    return len(found)


def examine(sheets: list[Sheet], truths: dict[UUID, str], floor: float, seed: int) -> dict[UUID, Findings]:
    """Run all tests on these sheets; pure, and deterministic for a seed."""
    votes = encode(
        (
            Vote(task, sheet.worker, label, sheet.moment)
            for sheet in sheets
            for task, label in zip(sheet.tasks, sheet.labels, strict=True)
        ),
        truths,
    )
    fitted = fit(votes)
    spammers = find_spammers(votes, fitted, seed & 0x7FFFFFFF)
    worst = _worst_pairs(find_copiers(votes, fitted))
    by_worker: dict[UUID, list[Sheet]] = defaultdict(list)
    for sheet in sheets:
        by_worker[sheet.worker].append(sheet)
    codes = _codes(votes)
    place = {task: number for number, task in enumerate(votes.tasks)}
    found = {}
    for number, worker in enumerate(votes.workers):
        pair = worst.get(number)
        other = None if pair is None else votes.workers[pair.other if pair.one == number else pair.one]
        found[worker] = Findings(
            spammers[number],
            pair,
            other,
            pair is not None and pair.is_copied and pair.later in {None, number},
            _pattern(by_worker[worker], codes[number], place, fitted),
            max(longest_fast_run(sheet.seconds, floor) for sheet in by_worker[worker]),
        )
    return found


def _worst_pairs(pairs: list[Pair]) -> dict[int, Pair]:
    """Return each worker's most suspicious pair: one that stands, in which they are the later, comes first."""
    worst: dict[int, Pair] = {}
    for pair in pairs:
        for worker in (pair.one, pair.other):
            rank = (pair.is_copied and pair.later in {None, worker}, pair.is_copied, -pair.p_value, pair.z)
            held = worst.get(worker)
            if held is None or rank > (
                held.is_copied and held.later in {None, worker}, held.is_copied, -held.p_value, held.z,
            ):  # fmt: skip
                worst[worker] = pair
    return worst


def _codes(votes: Votes) -> list[dict[UUID, int]]:
    codes: list[dict[UUID, int]] = [{} for _ in votes.workers]
    for task, worker, label in zip(votes.task.tolist(), votes.worker.tolist(), votes.label.tolist(), strict=True):
        codes[worker][votes.tasks[task]] = label
    return codes


def _pattern(sheets: list[Sheet], codes: dict[UUID, int], place: dict[UUID, int], fitted: Fit) -> PatternFinding:
    labels: list[npt.NDArray[np.int64]] = []
    honest = []
    for sheet in sheets:
        labels.append(np.array([codes[task] for task in sheet.tasks], dtype=np.int64))
        honest.append(fitted.posterior[[place[task] for task in sheet.tasks]] @ fitted.pooled)
    return find_pattern(labels, honest)


async def _sheets(session: AsyncSession, request: DatasetRequest, spec: LabelSpec) -> list[Sheet]:
    pool = list(await gold_truths(session, request.id))
    plan = QualityPlan.model_validate(request.quality_plan)
    most = MOST_ANSWERS // max(plan.bundle_max_tasks, 1)
    rows = (await session.execute(_SUBMITTED, {"request": request.id, "most": most})).all()
    orders: dict[UUID, list[UUID]] = {}
    sheets = []
    for row in rows:
        if row.worker_id not in orders:
            orders[row.worker_id] = gold_of_worker(request.seed, row.worker_id, pool)
        gold = orders[row.worker_id][row.gold_start : row.gold_start + row.gold_count]
        seen = [
            (task, row.answers[str(task)])
            for task in seat_order(request.seed, row.claim_id, row.task_ids, gold)
            if str(task) in row.answers
        ]
        readable = [(task, given) for task, given in seen if _is_readable(spec, given["value"])]
        sheets.append(
            Sheet(
                row.worker_id,
                [task for task, _ in readable],
                [_label(spec, given["value"]) for _, given in readable],
                [float(given["seconds"]) for _, given in readable],
                row.moment or 0.0,
            )
        )
    return [sheet for sheet in sheets if sheet.tasks]


def _is_readable(spec: LabelSpec, value: Any) -> bool:
    return isinstance(value, dict) and spec.member in value


def _label(spec: LabelSpec, value: Any) -> str:
    main = spec.main(value)
    return main if isinstance(main, str) else msgspec.json.encode(sorted(main, key=str)).decode()


async def _store(session: AsyncSession, request_id: UUID, found: dict[UUID, Findings]) -> None:
    moment = now()
    known = await session.exec(select(WorkerIntegrity).where(WorkerIntegrity.request_id == request_id))
    before = {row.worker_id: row.flagged_at for row in known.all()}
    for worker, each in found.items():
        flagged = each.spammer.is_spammer or each.is_copier or each.pattern.is_bot
        row = WorkerIntegrity(
            request_id=request_id,
            worker_id=worker,
            labels=each.spammer.labels,
            spammer_score=each.spammer.score,
            spammer_p=each.spammer.p_value,
            is_spammer=each.spammer.is_spammer,
            copy_z=each.pair.z if each.pair else None,
            copy_p=each.pair.p_value if each.pair else None,
            copied_with=each.with_whom,
            common_tasks=each.pair.common if each.pair else 0,
            is_copier=each.is_copier,
            pattern_period=each.pattern.period if each.pattern.is_bot else None,
            pattern_p=each.pattern.p_value,
            is_bot=each.pattern.is_bot,
            fast_run=each.fast_run if each.fast_run >= FAST_RUN else 0,
            false_alarm_rate=FALSE_ALARMS,
            flagged_at=(before.get(worker) or moment) if flagged else None,
            made_at=moment,
        )
        await session.merge(row)
    await session.flush()
