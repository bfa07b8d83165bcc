"""Invariants 1 and 2 of the domain, under real concurrency with real commits."""

import asyncio
from collections import Counter

from marketplace.core.ids import new_id
from marketplace.tasks import claims, submissions
from marketplace.tasks.errors import NothingOpen, TooManyClaims
from tests.factories.work import answers_for, committed_work


async def _work_until_dry(database, work, worker):
    done = []
    while True:
        async with database.hot.acquire() as connection:
            try:
                claim = await claims.claim_seat(connection, work.command(worker))
            except NothingOpen:
                return done
            submission = work.submission(worker, claim, await answers_for(connection, work, worker, claim))
        taken = await asyncio.gather(*(_submit(database, submission) for _ in range(3)))
        assert {each.state for each in taken} == {"submitted"}
        done.append(claim)


async def _submit(database, submission):
    async with database.hot.acquire() as connection:
        return await submissions.submit(connection, submission)


async def test_seats_are_held_once_and_answers_kept_once_when_many_work_at_once(database):
    work = await committed_work(database, tasks=120, gold=6, workers=6)
    done = await asyncio.gather(*(_work_until_dry(database, work, worker) for worker in work.workers))
    async with database.hot.acquire() as connection:
        seats = await connection.fetch("SELECT seat_id FROM claim WHERE state = 'submitted'")
        assert len(seats) == len({row["seat_id"] for row in seats}) == 24
        answers = await connection.fetch("SELECT task_id, worker_id FROM answer WHERE NOT is_gold")
        per_task = Counter(row["task_id"] for row in answers)
        assert set(per_task.values()) == {2}
        assert len(per_task) == 120
        assert len({(row["task_id"], row["worker_id"]) for row in answers}) == 240
        assert await connection.fetchval("SELECT count(*) FROM outbox WHERE kind = 'quality.judge'") == 24
        assert await connection.fetchval("SELECT sum(held) FROM request_worker") == 0
    assert sum(len(each) for each in done) == 24


async def test_one_claim_is_made_when_a_key_comes_many_times_at_once(database):
    work = await committed_work(database, workers=1)

    async def attempt():
        async with database.hot.acquire() as connection:
            return await claims.claim_seat(connection, work.command(work.workers[0], "one and the same"))

    found = await asyncio.gather(*(attempt() for _ in range(8)))
    assert len({claim.id for claim in found}) == 1
    async with database.hot.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM claim") == 1
        assert await connection.fetchval("SELECT held FROM request_worker") == 1


async def test_limit_of_claims_holds_when_they_come_at_once(database):
    work = await committed_work(database, tasks=100, workers=1)

    async def attempt():
        async with database.hot.acquire() as connection:
            try:
                return await claims.claim_seat(connection, work.command(work.workers[0], str(new_id())))
            except TooManyClaims:
                return None

    found = await asyncio.gather(*(attempt() for _ in range(8)))
    assert sum(claim is not None for claim in found) == 3


async def test_seat_ends_one_way_when_it_expires_and_is_submitted_at_once(database):
    work = await committed_work(database, tasks=30, workers=3, quality_plan={"overlap_min": 1})

    async def expire():
        async with database.sessions() as session:
            await claims.expire_claims(session)
            await session.commit()

    held = []
    async with database.hot.acquire() as connection:
        for worker in work.workers:
            claim = await claims.claim_seat(connection, work.command(worker, lease_seconds=-1))
            held.append(work.submission(worker, claim, await answers_for(connection, work, worker, claim)))
    taken = await asyncio.gather(*(_submit(database, submission) for submission in held), expire(), expire())
    assert [each.state for each in taken[:3]] == ["submitted"] * 3
    async with database.hot.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM claim WHERE state = 'submitted'") == 3
        assert await connection.fetchval("SELECT count(*) FROM open_seat") == 0
        assert await connection.fetchval("SELECT sum(held) FROM request_worker") == 0
