"""Judging with real commits: what a verdict does to claim, seat, record, consensus and pay."""

import asyncio
import random
from uuid import UUID

import pytest
from sqlalchemy import func
from sqlmodel import col, select

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.schemas import QualityPlan
from marketplace.core.db import Database
from marketplace.core.outbox import Outbox
from marketplace.core.settings import Settings
from marketplace.quality.cases import fix_gates
from marketplace.quality.gates.runner import define_gates, version_of
from marketplace.quality.models import WorkerGold
from marketplace.quality.queries import Revision, gate_set_of, lock_accepted
from marketplace.quality.states import Outcome, ReasonCode
from marketplace.tasks.models import OpenSeat
from marketplace.tasks.states import ClaimState
from tests.quality.work import Work, make_work


@pytest.fixture
async def work(database: Database, settings: Settings) -> Work:
    return await make_work(database, settings)


async def outbox_count(work: Work, kind: str, claim_id: UUID | None = None) -> int:
    async with work.database.sessions() as session:
        statement = select(func.count()).select_from(Outbox).where(Outbox.kind == kind)
        if claim_id is not None:
            statement = statement.where(col(Outbox.payload).contains({"claim_id": str(claim_id)}))
        return (await session.exec(statement)).one()


async def record_of(work: Work, worker: UUID) -> WorkerGold:
    async with work.database.sessions() as session:
        return await session.get_one(WorkerGold, (work.request.id, worker))


async def open_seats(work: Work) -> set[UUID]:
    async with work.database.sessions() as session:
        return set((await session.exec(select(OpenSeat.seat_id).where(OpenSeat.request_id == work.request.id))).all())


async def test_good_work_is_accepted_when_gold_is_right(work: Work) -> None:
    verdict = await work.do(await work.worker(), work.right)
    assert (verdict.outcome, verdict.reason_code) == (Outcome.ACCEPTED, ReasonCode.PASSED)
    assert (await work.claim_row(verdict.claim_id)).state is ClaimState.ACCEPTED
    assert await outbox_count(work, "settlement.accrue", verdict.claim_id) == 1
    consensus = await work.consensus()
    assert len(consensus) == 6
    assert all(row.value == work.truth[task] and row.answers == 1 and not row.done for task, row in consensus.items())
    assert {task.answered for task in (await work.tasks()).values()} == {1}


async def test_verdict_is_given_once_when_the_job_runs_twice(work: Work) -> None:
    verdict = await work.do(await work.worker(), work.right)
    again = await work.judge(verdict.claim_id, verdict.revision)
    assert again is not None
    assert again.id == verdict.id
    assert await outbox_count(work, "settlement.accrue") == 1
    record = await record_of(work, verdict.worker_id)
    assert (record.right, record.seen) == (2, 2)


async def test_verdict_is_given_once_when_two_jobs_run_at_a_time(work: Work) -> None:
    worker = await work.worker()
    claim = await work.claim(worker)
    revision = await work.submit(claim, worker, work.right)
    verdicts = await asyncio.gather(*(work.judge(claim.id, revision) for _ in range(4)))
    assert len({verdict.id for verdict in verdicts if verdict}) == 1
    assert await outbox_count(work, "settlement.accrue") == 1


async def test_nothing_is_judged_when_nothing_was_submitted(work: Work) -> None:
    claim = await work.claim(await work.worker())
    assert await work.judge(claim.id, 1) is None


async def test_fast_work_is_paid_and_meets_more_gold_next_time_when_its_gold_is_right(
    database: Database, settings: Settings
) -> None:
    work = await make_work(database, settings, items=18)
    worker = await work.worker()
    verdict = await work.do(worker, work.right, seconds=0.1)
    assert (verdict.outcome, verdict.reason_code) == (Outcome.ACCEPTED, ReasonCode.PASSED)
    rows = {row["gate"]: row for row in verdict.evidence["gates"]}
    assert rows["minimum_time"]["too_fast"] is True
    assert await outbox_count(work, "settlement.accrue", verdict.claim_id) == 1
    counts = []
    for _ in range(2):
        claim = await work.claim(worker)
        counts.append(claim.gold_count)
        await work.submit(claim, worker, work.right)
        await work.judge(claim.id)
    assert counts == [4, 2]


async def test_fast_and_wrong_work_goes_back_once_and_is_rejected_and_reissued_when_it_stays_so(work: Work) -> None:
    worker = await work.worker()
    half = work.one_gold_wrong()
    verdict = await work.do(worker, half, seconds=0.1)
    assert (verdict.outcome, verdict.reason_code) == (Outcome.REWORK, ReasonCode.TOO_FAST)
    row = await work.claim_row(verdict.claim_id)
    assert row.state is ClaimState.REWORK
    assert row.lease_expires_at.isoformat() == verdict.evidence["rework_until"]
    assert row.seat_id not in await open_seats(work)
    second = await work.redo(row.id, worker, half, seconds=0.1)
    assert (second.outcome, second.reason_code) == (Outcome.REJECTED, ReasonCode.TOO_FAST)
    assert row.seat_id in await open_seats(work)
    assert await outbox_count(work, "settlement.accrue") == 0
    assert await work.consensus() == {}


async def test_rework_is_accepted_and_paid_once_when_it_was_done_with_care(work: Work) -> None:
    worker = await work.worker()
    verdict = await work.do(worker, work.one_gold_wrong(), seconds=0.1)
    assert verdict.outcome is Outcome.REWORK
    async with work.database.hot.acquire() as connection:
        await connection.execute("UPDATE verdict SET created_at = created_at - interval '5 minutes'")
    second = await work.redo(verdict.claim_id, worker, work.right)
    assert (second.outcome, second.revision) == (Outcome.ACCEPTED, 2)
    assert all(row.value == work.truth[task] for task, row in (await work.consensus()).items())
    async with work.database.sessions() as session:
        revisions = [Revision(work.request.id, verdict.claim_id, number) for number in (1, 2)]
        paid = await lock_accepted(session, revisions)
    assert [(key.number, accepted.worker_id) for key, accepted in paid.items()] == [(2, second.worker_id)]


async def test_clicker_is_rejected_when_all_gold_is_wrong(work: Work) -> None:
    verdict = await work.do(await work.worker(), work.wrong)
    assert (verdict.outcome, verdict.reason_code) == (Outcome.REJECTED, ReasonCode.GOLD_ACCURACY)
    shown = str(verdict.evidence)
    assert not any(str(task) in shown for task in work.gold)


async def test_no_answer_is_lost_when_two_judges_share_tasks(database: Database, settings: Settings) -> None:
    plan = {"overlap_min": 4, "overlap_max": 5, "gold_share": 0.2, "bundle_max_tasks": 40}
    work = await make_work(database, settings, items=30, quality_plan=plan)
    held = []
    for _ in range(4):
        worker = await work.worker()
        claim = await work.claim(worker)
        held.append((claim.id, await work.submit(claim, worker, work.right)))
    verdicts = await asyncio.gather(*(work.judge(claim, revision) for claim, revision in held))
    assert {verdict.outcome for verdict in verdicts if verdict} == {Outcome.ACCEPTED}
    assert {row.answers for row in (await work.consensus()).values()} == {4}
    assert {(task.answered, task.done) for task in (await work.tasks()).values()} == {(4, True)}


async def test_one_wish_for_more_answers_waits_when_many_are_judged(work: Work) -> None:
    for _ in range(2):
        await work.do(await work.worker(), work.right)
    assert await outbox_count(work, "quality.extend") == 1


async def test_gates_stay_when_the_plan_is_changed_later(work: Work) -> None:
    await work.do(await work.worker(), work.right)
    async with work.database.sessions() as session:
        request = await session.get_one(DatasetRequest, work.request.id)
        request.quality_plan = {**request.quality_plan, "gold_pass_share": 0.1}
        fixed = await fix_gates(session, request)
    expected = define_gates(QualityPlan.model_validate(work.request.quality_plan), 1)
    assert (fixed.version, fixed.definition) == (version_of(expected), expected)
    async with work.database.sessions() as session:
        found = await gate_set_of(session, work.request.id)
    assert found is not None
    assert found.version == fixed.version


async def test_others_are_compared_when_a_task_has_two_answers(database: Database, settings: Settings) -> None:
    plan = {"overlap_min": 3, "overlap_max": 4, "gold_share": 0.1, "bundle_max_tasks": 12}
    work = await make_work(database, settings, items=12, quality_plan=plan)
    for _ in range(2):
        await work.do(await work.worker(), work.right)
    verdict = await work.do(await work.worker(), work.wrong_but_gold)
    assert (verdict.outcome, verdict.reason_code) == (Outcome.REWORK, ReasonCode.AGREEMENT)
    record = await record_of(work, verdict.worker_id)
    assert (record.agreed, record.compared) == (0, 12)


async def test_others_are_not_compared_when_their_label_is_unsure(database: Database, settings: Settings) -> None:
    plan = {"overlap_min": 3, "overlap_max": 4, "gold_share": 0.1, "bundle_max_tasks": 12}
    work = await make_work(database, settings, items=12, quality_plan=plan)
    await work.do(await work.worker(), work.right)
    await work.do(await work.worker(), work.wrong_but_gold)
    assert all(row.answers == 2 and row.confidence < 0.9 for row in (await work.consensus()).values())
    verdict = await work.do(await work.worker(), work.right)
    assert verdict.outcome is Outcome.ACCEPTED
    assert (await record_of(work, verdict.worker_id)).compared == 0


async def test_clickers_are_kept_out_when_workers_draw_their_answers(database: Database, settings: Settings) -> None:
    plan = {"overlap_min": 3, "overlap_max": 3, "gold_share": 0.3, "bundle_max_tasks": 5, "max_reworks": 0}
    work = await make_work(database, settings, items=60, gold=60, quality_plan=plan)
    draws = random.Random(7)
    good, clickers = [await work.worker() for _ in range(2)], [await work.worker() for _ in range(2)]
    accepted: dict[UUID, int] = dict.fromkeys(good + clickers, 0)
    for _ in range(8):
        for worker in [*good, *clickers]:
            share = 0.95 if worker in good else 0.5
            verdict = await work.do(
                worker, lambda task, p=share: work.right(task) if draws.random() < p else work.wrong(task)
            )
            accepted[worker] += verdict.outcome is Outcome.ACCEPTED
    assert all(accepted[worker] >= 7 for worker in good)
    assert sum(accepted[worker] for worker in clickers) <= 8
