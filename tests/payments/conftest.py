"""The sandbox as every job of a test sees it, with faults that the test plans."""

from collections.abc import Awaitable, Callable

import pytest

from marketplace.core.db import Database
from marketplace.core.settings import Settings
from marketplace.payments.sandbox.faults import Faults
from marketplace.payments.sandbox.gateway import SandboxGateway
from tests.factories.money import put_off
from tests.jobs import run_outbox
from workers.handlers import WorkerResources
from workers.jobs import payments as jobs

Drive = Callable[..., Awaitable[list[str]]]


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, settings: Settings, database: Database, faults: Faults) -> SandboxGateway:
    sandbox = SandboxGateway(settings, database.sessions, faults=faults)
    monkeypatch.setattr(jobs, "open_gateway", lambda *_: sandbox)
    monkeypatch.setattr(jobs, "SandboxGateway", lambda *_: sandbox)
    return sandbox


@pytest.fixture
def drive(database: Database, worker_resources: WorkerResources, gateway: SandboxGateway) -> Drive:
    """Run payments and the sandbox's bank until nothing is left to do, letting waits pass; no webhook is delivered."""

    async def run(rounds: int = 12) -> list[str]:
        ran: list[str] = []
        for _ in range(rounds):
            await put_off(database)
            new = await run_outbox(worker_resources, only="payments.")
            new += await run_outbox(worker_resources, only="sandbox.advance")
            if not new:
                break
            ran += new
        return ran

    return run
