"""A kind of job of the tests' own, "trial.run", with a handler that each test writes."""

from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
from arq.connections import ArqRedis, create_pool
from sqlmodel import select

from marketplace.core.outbox import Outbox, emit
from marketplace.core.settings import Settings
from workers.handlers import HANDLERS, Handler, WorkerResources
from workers.main import make_worker, redis_settings
from workers.session import run_command

KIND = "trial.run"
EFFECT = "effect.seen"


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[ArqRedis]:
    """The pool of arq, on an empty Valkey."""
    pool = await create_pool(
        redis_settings(settings), job_serializer=msgspec.json.encode, job_deserializer=msgspec.json.decode
    )
    await pool.flushdb()
    yield pool
    await pool.flushdb()
    await pool.aclose()


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> Callable[[Handler], None]:
    """Register the handler of `KIND` for this test."""
    return lambda handler: monkeypatch.setitem(HANDLERS, KIND, handler)


async def ask(shared: WorkerResources) -> Outbox:
    """Ask for one trial job, committed; return its outbox row."""

    async def command(session):
        return emit(session, KIND, {})

    job_id = await run_command(shared.database, command)
    async with shared.database.sessions() as session:
        return await session.get_one(Outbox, job_id)


async def work(shared: WorkerResources, redis: ArqRedis) -> None:
    """Run what is queued, as a worker process does, until nothing is."""
    worker = make_worker("kapok:bundles", redis, shared)
    worker.burst = True
    await worker.async_run()


async def standing(shared: WorkerResources, kind: str) -> list[Outbox]:
    """Return the outbox rows of a kind."""
    async with shared.database.sessions() as session:
        return list((await session.exec(select(Outbox).where(Outbox.kind == kind))).all())
