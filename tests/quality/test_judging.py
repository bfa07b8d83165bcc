"""Judging with real commits: what a verdict does to claim, seat, record, consensus and pay."""

from uuid import UUID

import pytest
from sqlalchemy import func
from sqlmodel import col, select

from marketplace.core.db import Database
from marketplace.core.outbox import Outbox
from marketplace.core.settings import Settings
from marketplace.quality.models import WorkerGold
from marketplace.quality.states import Outcome, ReasonCode
from marketplace.tasks.claims import HeldClaim, held_claim
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


async def test_good_work_is_accepted_when_gold_is_right(work: Work) -> None:
    worker = await work.worker()
    verdict = await work.do(worker, work.right)
    assert (verdict.outcome, verdict.reason_code) == (Outcome.ACCEPTED, ReasonCode.PASSED)
    assert (await work.claim_row(verdict.claim_id)).state is ClaimState.ACCEPTED
    assert await outbox_count(work, "settlement.accrue", verdict.claim_id) == 1
    consensus = await work.consensus()
    assert len(consensus) == 6
    assert all(row.value == work.truth[task] and row.answers == 1 and not row.done for task, row in consensus.items())


async def test_verdict_is_given_once_when_the_job_runs_twice(work: Work) -> None:
    verdict = await work.do(await work.worker(), work.right)
    again = await work.judge(verdict.claim_id, verdict.revision)
    assert again is not None
    assert again.id == verdict.id
    assert await outbox_count(work, "settlement.accrue") == 1
    async with work.database.sessions() as session:
        record = await session.get_one(WorkerGold, (work.request.id, verdict.worker_id))
    assert (record.right, record.seen) == (2, 2)


async def test_nothing_is_judged_when_nothing_was_submitted(work: Work) -> None:
    claim = await work.claim(await work.worker())
    assert await work.judge(claim.id, 1) is None


async def test_fast_work_goes_back_once_and_then_is_rejected_and_its_seat_reissued(work: Work) -> None:
    worker = await work.worker()
    verdict = await work.do(worker, work.right, seconds=0.1)
    assert (verdict.outcome, verdict.reason_code) == (Outcome.REWORK, ReasonCode.TOO_FAST)
    row = await work.claim_row(verdict.claim_id)
    assert row.state is ClaimState.REWORK
    assert row.lease_expires_at.isoformat() == verdict.evidence["rework_until"]
    claim = await held(work, row.id, worker)
    revision = await work.submit(claim, worker, work.right, seconds=0.1)
    second = await work.judge(row.id, revision)
    assert second is not None
    assert (second.outcome, second.reason_code) == (Outcome.REJECTED, ReasonCode.TOO_FAST)
    async with work.database.sessions() as session:
        seats = (await session.exec(select(OpenSeat).where(OpenSeat.request_id == work.request.id))).all()
    assert row.seat_id in {seat.seat_id for seat in seats}
    assert await outbox_count(work, "settlement.accrue") == 0


async def held(work: Work, claim_id: UUID, worker: UUID) -> HeldClaim:
    async with work.database.hot.acquire() as connection:
        return await held_claim(connection, work.request.id, claim_id, worker)
