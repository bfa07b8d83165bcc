"""`kill -9` of a real worker process at every step of a payout: it is paid, and once."""

import asyncio
import os
import signal
import subprocess
import sys
import time

from sqlmodel import col, select

from marketplace.core.ids import new_id
from marketplace.core.outbox import Outbox
from marketplace.core.schedule import Schedule
from marketplace.ledger import accounts, queries, verify
from marketplace.payments.models import Payout
from marketplace.payments.providers import open_gateway
from marketplace.payments.states import Leg, PayoutState
from tests.conftest import ROOT
from tests.factories.money import ask_payout, ask_top_up, committed, earn, remote_objects, row_of
from tests.jobs import run_outbox
from tests.workers.dying_process import DEATHS, DIED

LIMIT_SECONDS = 240.0


def _process(settings) -> subprocess.Popen:
    env = os.environ | {
        "ENV": "test", "DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url,
        "KAPOK_HOME": str(settings.kapok_home), "JOB_LEASE_SECONDS": "1", "LOG_LEVEL": "CRITICAL",
        "INTERNAL_URL": "http://127.0.0.1:9",
    }  # fmt: skip
    return subprocess.Popen([sys.executable, "-m", "tests.workers.dying_process"], cwd=ROOT, env=env)


async def _deaths(database) -> set[str]:
    async with database.sessions() as session:
        marks = await session.exec(select(Schedule.kind).where(col(Schedule.kind).startswith(DIED)))
        return {mark.removeprefix(DIED) for mark in marks}


async def _learn(database) -> None:
    """No webhook is delivered here; what the provider has to say is fetched."""
    async with committed(database) as session:
        session.add(Outbox(kind="payments.fill_gaps", payload={}))


async def _live_and_die(database, settings, payout) -> int:
    """Start a process whenever the last one has died, until the payout is paid; return how many were killed."""
    killed, process, began = 0, _process(settings), time.monotonic()
    try:
        while time.monotonic() - began < LIMIT_SECONDS:
            if process.poll() is not None:
                assert process.returncode == -signal.SIGKILL
                killed, process = killed + 1, _process(settings)
                await _learn(database)
            if await _deaths(database) == DEATHS and process.poll() is None:
                await _learn(database)
                await asyncio.sleep(2)
                if (await row_of(database, Payout, payout.id)).state is PayoutState.PAID and process.poll() is None:
                    return killed
            await asyncio.sleep(0.2)
    finally:
        process.kill()
        process.wait()
    raise AssertionError(f"not paid; never killed at {sorted(DEATHS - await _deaths(database))}")


async def test_payout_is_paid_once_when_its_process_is_killed_at_every_step(worker_resources, redis):
    database, settings = worker_resources.database, worker_resources.settings
    gateway, worker = open_gateway(settings, database), new_id()
    await ask_top_up(database, gateway, new_id(), 100_000)
    await run_outbox(worker_resources, only="payments.")
    await earn(database, worker, 12_345)
    payout = await ask_payout(database, gateway, worker)
    assert await _live_and_die(database, settings, payout) == len(DEATHS)
    for leg in (Leg.TRANSFER, Leg.PAYOUT):
        assert len(await remote_objects(database, leg, payout.id.hex)) == 1
    async with database.sessions() as session:
        left = {
            path: await queries.balance(session, path, "CNY")
            for path in (
                accounts.worker(worker), accounts.payout_pending(payout.id), accounts.in_transit("sandbox"),
                accounts.psp("sandbox"),
            )
        }  # fmt: skip
        assert list(left.values()) == [0, 0, 0, 100_000 - 12_345]
        assert (await verify.verify(session)).holds
