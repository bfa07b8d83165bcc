"""What comes twice, too late or at the same time as something else: nothing is lost, and nothing counts twice."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.matching.states import ContractState
from marketplace.tasks import bundles, claims, feed, submissions
from marketplace.tasks.errors import AnswersInvalid, NothingOpen
from marketplace.tasks.models import ContractPlan
from marketplace.tasks.reservations import reserve
from marketplace.tasks.schemas import ReservationCreate
from tests.factories.identity import make_approved_vendor
from tests.factories.work import RIGHT, answers_for, claim_and_submit, committed_work, make_work


async def _claimed(connection, work, worker, *, lease_seconds=600):
    claim = await claims.claim_seat(connection, work.command(worker, lease_seconds=lease_seconds))
    return claim, work.submission(worker, claim, await answers_for(connection, work, worker, claim))


async def _expire(database):
    async with database.sessions() as session:
        await claims.expire_claims(session)
        await session.commit()


async def _finish(database, work):
    async with database.sessions() as session:
        await bundles.finish_contract(session, work.request.id, work.contract.id)
        await session.commit()


async def _send_to_rework(connection, claim):
    until = now() + timedelta(hours=24)
    await connection.execute("UPDATE claim SET state = 'rework', lease_expires_at = $2 WHERE id = $1", claim.id, until)
    await connection.execute("UPDATE seat SET state = 'rework' WHERE id = (SELECT seat_id FROM claim WHERE id = $1)",
                             claim.id)  # fmt: skip
    return until


async def test_resent_submission_counts_once_when_it_has_gone_to_rework(database):
    work = await committed_work(database)
    async with database.hot.acquire() as connection:
        claim, submission = await _claimed(connection, work, work.workers[0])
        first = await submissions.submit(connection, submission)
        await _send_to_rework(connection, claim)
        assert await submissions.submit(connection, submission) == first
        assert await connection.fetchval("SELECT state FROM claim WHERE id = $1", claim.id) == "rework"
        assert await connection.fetchval("SELECT count(*) FROM outbox WHERE kind = 'quality.judge'") == 1
        again = await submissions.submit(connection, replace(submission, submission_id=new_id()))
        assert again == submissions.Acknowledged("submitted", 2)


async def test_heartbeat_never_shortens_a_lease_when_work_came_back(database):
    work = await committed_work(database)
    async with database.hot.acquire() as connection:
        claim, submission = await _claimed(connection, work, work.workers[0])
        await submissions.submit(connection, submission)
        until = await _send_to_rework(connection, claim)
        keys = (work.request.id, claim.id, submission.worker_id)
        assert await claims.renew(connection, *keys, lease_seconds=60) == until


async def test_late_submission_is_kept_when_its_worker_took_the_bundle_again(database):
    work = await committed_work(database, tasks=10)
    slow, other = work.workers
    async with database.hot.acquire() as connection:
        late, submission = await _claimed(connection, work, slow, lease_seconds=-1)
        await _expire(database)
        taken, _ = await _claimed(connection, work, other)
        again, second = await _claimed(connection, work, slow)
        assert late.task_ids == taken.task_ids == again.task_ids
        await claims.return_claim(connection, work.request.id, taken.id, other.actor.id)
        assert (await submissions.submit(connection, submission)).state == "kept"
        assert (await submissions.submit(connection, second)).state == "submitted"


async def test_late_submission_is_acknowledged_alike_when_it_comes_twice_at_once(database):
    work = await committed_work(database)
    async with database.hot.acquire() as connection:
        _, submission = await _claimed(connection, work, work.workers[0], lease_seconds=-1)
    await _expire(database)

    async def send():
        async with database.hot.acquire() as connection:
            return await submissions.submit(connection, submission)

    assert {(each.state, each.revision) for each in await asyncio.gather(*(send() for _ in range(4)))} == {
        ("submitted", 1)
    }
    async with database.hot.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM late_submission") == 0


async def test_reserved_items_stay_met_when_the_reserved_claim_is_returned(database):
    async with database.sessions() as session:
        vendor = await make_approved_vendor(session)
        work = await make_work(session, tasks=20, gold=0, workers=1, vendor=vendor)
        chosen = await session.execute(
            text("SELECT external_id FROM item JOIN task USING (request_id, id) WHERE block = 1 LIMIT 2")
        )
        command = ReservationCreate(worker_id=work.workers[0].actor.id, external_ids=list(chosen.scalars()))
        await reserve(session, vendor.actor, work.request.id, work.contract.id, command)
        await session.commit()
    seen = "SELECT seen_blocks FROM request_worker WHERE worker_id = $1"
    async with database.hot.acquire() as connection:
        claim, _ = await _claimed(connection, work, work.workers[0])
        assert len(claim.task_ids) == 2
        await claims.return_claim(connection, work.request.id, claim.id, work.workers[0].actor.id)
        assert await connection.fetchval(seen, work.workers[0].actor.id) == [1]


async def test_repeated_claim_finds_the_first_when_it_filled_the_last_place(database):
    work = await committed_work(database, tasks=100, workers=1)

    async def attempt(key):
        async with database.hot.acquire() as connection:
            return await claims.claim_seat(connection, work.command(work.workers[0], key))

    await attempt("the first key")
    await attempt("the second key")
    found = await asyncio.gather(*(attempt("the third key") for _ in range(5)))
    assert len({claim.id for claim in found}) == 1


async def test_seat_stays_claimed_when_its_contract_is_finished_at_the_same_time(database):
    work = await committed_work(database, tasks=10, workers=1, quality_plan={"overlap_min": 1})
    async with database.hot.acquire() as connection:
        async with connection.transaction():
            claim, submission = await _claimed(connection, work, work.workers[0])
            finishing = asyncio.create_task(_finish(database, work))
            await asyncio.sleep(0.3)
        await finishing
        state = "SELECT seat.state FROM seat JOIN claim ON claim.seat_id = seat.id WHERE claim.id = $1"
        assert await connection.fetchval(state, claim.id) == "claimed"
        assert (await submissions.submit(connection, submission)).state == "submitted"


async def test_nothing_is_open_when_a_seat_came_back_to_a_finished_contract(database):
    work = await committed_work(database, tasks=10, workers=2, quality_plan={"overlap_min": 1})
    async with database.hot.acquire() as connection:
        claim, _ = await _claimed(connection, work, work.workers[0])
        async with connection.transaction():
            await claims.return_claim(connection, work.request.id, claim.id, work.workers[0].actor.id)
            await _finish(database, work)
        with pytest.raises(NothingOpen):
            await claims.claim_seat(connection, work.command(work.workers[1]))
        completed = "SELECT state FROM contract WHERE id = $1"
        assert await connection.fetchval(completed, work.contract.id) == ContractState.COMPLETED


async def test_plan_is_read_as_it_is_when_it_is_locked(database):
    work = await committed_work(database)
    key = (work.request.id, work.contract.id)
    async with database.sessions() as session:
        stale = await session.get(ContractPlan, key)
        async with database.hot.acquire() as connection:
            await connection.execute("UPDATE contract_plan SET planned_units = 7")
        assert stale is not None
        locked = await bundles.lock_plan(session, *key)
        assert locked is not None
        assert locked.planned_units == 7


@pytest.mark.parametrize("value", [{"choice": "a\x00b"}, {"choice": float("nan")}, {"choice": "\ud800"}])
async def test_draft_is_refused_when_a_value_cannot_be_kept(database, value):
    work = await committed_work(database)
    async with database.hot.acquire() as connection:
        claim, submission = await _claimed(connection, work, work.workers[0])
        keys = (work.request.id, claim.id, submission.worker_id)
        wrong = replace(submission.answers[0], value=value)
        with pytest.raises(AnswersInvalid) as refused:
            await submissions.save_draft(connection, *keys, [wrong])
        assert refused.value.fields[0].field == f"answers.{wrong.task_id}"


async def test_draft_is_refused_when_it_names_a_task_of_another_claim(database):
    work = await committed_work(database)
    async with database.hot.acquire() as connection:
        claim, submission = await _claimed(connection, work, work.workers[0])
        foreign = submissions.GivenAnswer(new_id(), RIGHT, 1.0)
        with pytest.raises(AnswersInvalid):
            await submissions.save_draft(connection, work.request.id, claim.id, submission.worker_id, [foreign])


async def test_feed_is_shown_when_somebody_claims_to_have_worked_in_no_time(database):
    work = await committed_work(database)
    async with database.hot.acquire() as connection:
        _, submission = await _claimed(connection, work, work.workers[0])
        instant = [replace(answer, seconds=1e-320) for answer in submission.answers]
        await submissions.submit(connection, replace(submission, answers=instant))
    async with database.sessions() as session:
        shown = await feed.read_feed(session, work.workers[1].actor.id)
    assert shown.entries[0].pay_per_hour_minor is not None


async def test_submission_of_another_worker_stays_apart_when_a_bundle_is_done_twice(database):
    work = await committed_work(database, tasks=10)
    for worker in work.workers:
        await claim_and_submit(database, work, worker)
    async with database.hot.acquire() as connection:
        counted = await connection.fetch(
            "SELECT task_id, count(DISTINCT worker_id) AS workers FROM answer WHERE NOT is_gold GROUP BY task_id"
        )
    assert {row["workers"] for row in counted} == {2}
