"""From the outbox to the effect, through a real Valkey and arq: once, whatever is repeated, lost or broken."""

import asyncio
from datetime import timedelta

import pytest
from asyncpg import DeadlockDetectedError
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlmodel import select

from marketplace.core.clock import now
from marketplace.core.dead_letters import dead_letters, replay
from marketplace.core.errors import Conflict, RateLimited, Unavailable
from marketplace.core.outbox import DeadLetter, Outbox, Processed, emit
from marketplace.core.schedule import Schedule
from tests.workers.conftest import EFFECT, KIND, ask, standing, work
from workers import main
from workers.handlers import SCHEDULE, Periodic
from workers.main import backoff_seconds, is_passing
from workers.relay import BATCH, Relay, sweep
from workers.session import run_command, run_once


async def _with_effect(context, _payload):
    emit(context.session, EFFECT, {}, due_at=now() + timedelta(days=1))


async def _backdate(shared, seconds):
    async def command(session):
        await session.execute(
            text("UPDATE outbox SET sent_at = now() - make_interval(secs => :s) WHERE sent_at IS NOT NULL"),
            {"s": seconds},
        )

    await run_command(shared.database, command)


async def test_job_has_its_effect_once_when_it_is_delivered_twice(worker_resources, redis, handled):
    handled(_with_effect)
    job = await ask(worker_resources)
    relay = Relay(worker_resources, redis)
    assert await relay.send_due() == 1
    assert await relay.send_due() == 0
    await work(worker_resources, redis)
    assert await standing(worker_resources, KIND) == []
    await redis.enqueue_job("run_job", KIND, {}, {}, _job_id=str(job.id), _queue_name="kapok:bundles")
    await work(worker_resources, redis)
    assert len(await standing(worker_resources, EFFECT)) == 1


async def test_job_has_its_effect_once_when_two_workers_run_it_at_once(worker_resources, handled):
    async def slow(context, payload):
        await _with_effect(context, payload)
        await asyncio.sleep(0.2)

    handled(slow)
    job = await ask(worker_resources)
    await asyncio.gather(*(run_once(worker_resources, job.id, KIND, {}) for _ in range(3)))
    assert len(await standing(worker_resources, EFFECT)) == 1


async def test_job_runs_again_when_it_broke_off_before_its_commit(worker_resources, handled):
    async def broken(context, payload):
        await _with_effect(context, payload)
        await context.session.flush()
        raise asyncio.CancelledError

    handled(broken)
    job = await ask(worker_resources)
    with pytest.raises(asyncio.CancelledError):
        await run_once(worker_resources, job.id, KIND, {})
    assert await standing(worker_resources, EFFECT) == []
    assert len(await standing(worker_resources, KIND)) == 1
    handled(_with_effect)
    await run_once(worker_resources, job.id, KIND, {})
    assert len(await standing(worker_resources, EFFECT)) == 1


async def test_job_is_tried_until_it_passes_when_a_server_is_away(worker_resources, redis, handled, monkeypatch):
    worker_resources.settings.job_max_tries = 1
    monkeypatch.setattr(main, "backoff_seconds", lambda _job_try: 0.05)
    tries = []

    async def away_twice(context, payload):
        tries.append(now())
        if len(tries) < 3:
            raise ConnectionRefusedError
        await _with_effect(context, payload)

    handled(away_twice)
    await ask(worker_resources)
    await Relay(worker_resources, redis).send_due()
    await work(worker_resources, redis)
    assert len(tries) == 3
    assert len(await standing(worker_resources, EFFECT)) == 1


async def test_job_becomes_a_dead_letter_and_can_be_replayed_when_it_fails_for_good(
    worker_resources, redis, handled, monkeypatch
):
    worker_resources.settings.job_max_tries = 2
    monkeypatch.setattr(main, "backoff_seconds", lambda _job_try: 0.05)

    async def poison(_context, _payload):
        raise ZeroDivisionError("poison")

    handled(poison)
    job = await ask(worker_resources)
    relay = Relay(worker_resources, redis)
    await relay.send_due()
    await work(worker_resources, redis)
    async with worker_resources.database.sessions() as session:
        letter = await session.get_one(DeadLetter, job.id)
        assert (letter.kind, letter.tries, letter.resolution) == (KIND, 2, None)
        assert "poison" in letter.error
    await _backdate(worker_resources, 3600)
    await run_command(worker_resources.database, sweep)
    assert await relay.send_due() == 0

    async def again(session):
        await replay(session, await dead_letters(session, job_ids=[job.id]))

    await run_command(worker_resources.database, again)
    handled(_with_effect)
    assert await relay.send_due() == 1
    await work(worker_resources, redis)
    assert await standing(worker_resources, KIND) == []
    assert len(await standing(worker_resources, EFFECT)) == 1


async def test_job_becomes_a_dead_letter_when_it_never_ends(worker_resources, redis, handled, monkeypatch):
    worker_resources.settings.job_max_tries = 2
    monkeypatch.setattr(main, "backoff_seconds", lambda _job_try: 0.05)
    monkeypatch.setattr(main, "JOB_TIMEOUT_SECONDS", 0.1)

    async def endless(_context, _payload):
        await asyncio.sleep(60)

    handled(endless)
    job = await ask(worker_resources)
    await Relay(worker_resources, redis).send_due()
    await work(worker_resources, redis)
    async with worker_resources.database.sessions() as session:
        assert "JobTooLong" in (await session.get_one(DeadLetter, job.id)).error


async def test_job_runs_when_redis_forgot_it(worker_resources, redis, handled):
    handled(_with_effect)
    await ask(worker_resources)
    relay = Relay(worker_resources, redis)
    await relay.send_due()
    await redis.flushdb()
    await run_command(worker_resources.database, sweep)
    assert await relay.send_due() == 0  # it was sent a moment ago and may still be on its way
    await _backdate(worker_resources, 3600)
    await run_command(worker_resources.database, sweep)
    assert await relay.send_due() == 1
    await work(worker_resources, redis)
    assert len(await standing(worker_resources, EFFECT)) == 1


async def test_rows_are_sent_once_when_two_relays_run_at_once(worker_resources, redis):
    async def command(session):
        for _ in range(BATCH + 50):
            emit(session, KIND, {})

    await run_command(worker_resources.database, command)
    relays = [Relay(worker_resources, redis) for _ in range(2)]
    sent = await asyncio.gather(*(relay.send_due() for relay in relays))
    assert sum(sent) == BATCH + 50
    assert await redis.zcard("kapok:bundles") == BATCH + 50


async def test_row_waits_when_it_is_not_due(worker_resources, redis):
    async def command(session):
        emit(session, KIND, {}, due_at=now() + timedelta(minutes=5))

    await run_command(worker_resources.database, command)
    assert await Relay(worker_resources, redis).send_due() == 0


async def test_what_was_done_is_forgotten_after_two_days(worker_resources, handled):
    handled(_with_effect)
    old, fresh = await ask(worker_resources), await ask(worker_resources)
    for job in (old, fresh):
        await run_once(worker_resources, job.id, KIND, {})

    async def command(session):
        (await session.get_one(Processed, old.id)).created_at = now() - timedelta(hours=49)
        await session.flush()
        await sweep(session)
        return list((await session.exec(select(Processed.job_id))).all())

    assert await run_command(worker_resources.database, command) == [fresh.id]


async def test_periodic_job_is_sent_once_a_turn_when_many_processes_ask(worker_resources, redis, monkeypatch):
    monkeypatch.setattr("workers.relay.SCHEDULE", [Periodic(KIND, timedelta(hours=1))])
    relays = [Relay(worker_resources, redis) for _ in range(4)]
    await asyncio.gather(*(relay.keep_schedule() for relay in relays))
    await relays[0].keep_schedule()
    assert len(await standing(worker_resources, KIND)) == 1

    async def command(session):
        (await session.get_one(Schedule, KIND)).next_at = now() - timedelta(seconds=1)

    await run_command(worker_resources.database, command)
    await asyncio.gather(*(relay.keep_schedule() for relay in relays))
    assert len(await standing(worker_resources, KIND)) == 2
    assert SCHEDULE != []


class _Driver(Exception):
    def __init__(self, sqlstate):
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OperationalError("", {}, _Driver("40P01")), True),
        (OperationalError("", {}, _Driver("57P03")), True),
        (OperationalError("", {}, _Driver("53300")), True),
        (OperationalError("", {}, _Driver("08006")), True),
        (DeadlockDetectedError(), True),
        (IntegrityError("", {}, _Driver("23505")), False),
        (Unavailable(), True),
        (RateLimited(), True),
        (Conflict(), False),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (FileNotFoundError(), False),
        (PermissionError(), False),
        (ValueError(), False),
        (main.JobTooLongError(), False),
    ],
)
def test_failure_is_waited_out_when_it_may_pass(error, passes):
    assert is_passing(error) is passes


def test_wait_doubles_up_to_a_minute():
    waits = [backoff_seconds(job_try) for job_try in range(1, 30)]
    assert all(0.3 < wait <= 75 for wait in waits)
    assert waits[0] < 0.7 < waits[3]
    assert min(waits[8:]) >= 45


async def test_outbox_row_names_its_queue(worker_resources, redis):
    row = await ask(worker_resources)
    await Relay(worker_resources, redis).send_due()
    assert await redis.zscore("kapok:bundles", str(row.id)) is not None
    async with worker_resources.database.sessions() as session:
        assert (await session.get_one(Outbox, row.id)).sent_at is not None
