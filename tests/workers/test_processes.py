"""Worker processes that are killed or told to stop while a job runs: another one does the job soon."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from sqlmodel import col, select

from marketplace.core.schedule import Schedule
from tests.conftest import ROOT
from tests.workers.conftest import EFFECT, KIND, ask, standing
from tests.workers.trial_process import BEGUN
from workers.handlers import HANDLERS

RESTART_SECONDS = 15.0
STOP_SECONDS = 5.0


@pytest.fixture(autouse=True)
def _only_here():
    yield
    HANDLERS.pop(KIND, None)


@contextmanager
def worker(settings):
    """A worker process on the test's servers; killed at the end if it still runs."""
    env = os.environ | {
        "ENV": "test",
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "KAPOK_HOME": str(settings.kapok_home),
    }
    process = subprocess.Popen([sys.executable, "-m", "tests.workers.trial_process"], cwd=ROOT, env=env)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def _until(condition, seconds):
    """Return how many seconds it took until the condition held."""
    began = time.monotonic()
    while not await condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def _busy_of(shared, processes):
    """Wait until one of the processes has begun the job; return it."""
    found = []

    async def begun():
        async with shared.database.sessions() as session:
            marks = await session.exec(select(Schedule.kind).where(col(Schedule.kind).startswith(BEGUN)))
            found.extend(marks.all())
        return found != []

    await _until(begun, 60.0)
    return next(process for process in processes if found[0] == f"{BEGUN}{process.pid}")


async def _done(shared):
    return await standing(shared, KIND) == []


async def test_job_starts_again_soon_when_its_process_is_killed(worker_resources, redis):
    with worker(worker_resources.settings) as first, worker(worker_resources.settings) as second:
        await ask(worker_resources)
        busy = await _busy_of(worker_resources, [first, second])
        busy.kill()
        await _until(lambda: _done(worker_resources), RESTART_SECONDS)
    assert len(await standing(worker_resources, EFFECT)) == 1


async def test_process_stops_in_time_and_its_job_runs_again_when_it_is_told_to(worker_resources, redis):
    with worker(worker_resources.settings) as first:
        await ask(worker_resources)
        busy = await _busy_of(worker_resources, [first])
        busy.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(busy.wait, STOP_SECONDS) == 0
    assert len(await standing(worker_resources, KIND)) == 1
    assert await standing(worker_resources, EFFECT) == []
    with worker(worker_resources.settings):
        await _until(lambda: _done(worker_resources), RESTART_SECONDS)
    assert len(await standing(worker_resources, EFFECT)) == 1
