"""A Kapok without processes: its jobs run one by one, each in a transaction of its own, with the luck of a seed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text

from cli.simulation.faults import JobFault, Luck, TimeFault, WebhookFault
from marketplace.core.clock import move_ahead, now
from marketplace.core.db import open_database
from marketplace.core.settings import Settings
from marketplace.core.storage import open_store
from marketplace.payments import inbox
from marketplace.payments.errors import WebhookRefused
from marketplace.payments.gateway import RemoteEvent
from marketplace.payments.sandbox import signing
from marketplace.payments.sandbox.gateway import SandboxGateway
from marketplace.payments.sandbox.settings import SandboxSettings
from marketplace.payments.states import Leg
from workers import session as edge
from workers.handlers import HANDLERS, JobContext, WorkerResources
from workers.jobs import payments as jobs
from workers.main import is_passing, load_handlers

DAY: Final = timedelta(hours=26)  # longer than a key lives, and its margin
OPTIONS: Final = SandboxSettings(
    fee_bps=30, available_after_seconds=1800, paid_after_seconds=3600, returned_after_seconds=2 * 86_400,
    dispute_fee_minor=1500,
)  # fmt: skip
_WAITING: Final = "SELECT id, kind, payload, due_at FROM outbox ORDER BY id"
_OPEN_LEGS: Final = text("SELECT leg FROM provider_call WHERE state IN ('sending', 'unknown')")
_IS_OPEN: Final = """
    SELECT 1 FROM provider_call WHERE ref = $1 AND leg = $2 AND state IN ('sending', 'unknown')
    UNION ALL
    SELECT 1 FROM sandbox_object d JOIN sandbox_object p ON p.id = d.parent_id
    JOIN charge c ON c.id = CAST(p.ref AS uuid) AND c.state IN ('created', 'pending')
    WHERE d.kind = 'dispute' AND d.ref = $1 AND $2 = 'dispute'
    LIMIT 1
"""
_TAKE: Final = """
    WITH gone AS (DELETE FROM outbox WHERE id = $1) SELECT id, kind, ref, occurred_at FROM sandbox_event WHERE id = $2
"""


class BrokenError(Exception):
    """Something happened that must never happen; the sentence says what."""


class _KilledError(BaseException):
    """Stands for `kill -9` at the worst moment: after a job's work and before its commit."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job in the outbox."""

    id: UUID
    kind: str
    payload: dict[str, Any]
    due_at: datetime


@dataclass(slots=True)
class World:
    """What a seed lives in; the database and the provider's books go on from seed to seed."""

    shared: WorkerResources
    gateway: SandboxGateway
    luck: Luck

    async def waiting(self) -> list[Waiting]:
        """Return all jobs of the outbox."""
        return [Waiting(*row) for row in await self.shared.database.hot.fetch(_WAITING)]

    async def forget_jobs(self) -> None:
        """Empty the outbox; what an earlier seed left is no business of the next one."""
        async with self.shared.database.sessions.begin() as session:
            await session.execute(text("DELETE FROM outbox"))
            await session.execute(text("DELETE FROM processed"))

    async def step(self, waiting: list[Waiting]) -> None:
        """Run one job that is due, whichever; if none is, let time pass until one is."""
        rng = self.luck.rng
        if self.gateway.faults.late and rng.random() < 0.3:
            await self.gateway.arrive()
        if not self.luck.calm and rng.random() < 0.05:
            await self.pass_time(DAY)
        first = min(job.due_at for job in waiting)
        if first > now():
            await self.pass_time(first - now() + timedelta(milliseconds=1))
        job = rng.choice([job for job in waiting if job.due_at <= now()])
        if job.kind == "sandbox.deliver":
            await self._deliver(job)
        else:
            await self._run(job)

    async def pass_time(self, by: timedelta) -> None:
        """Move the clock ahead; no request stays on its way as long as a key lives."""
        if by > timedelta(hours=1):
            await self.gateway.arrive()
        if by >= DAY:
            async with self.shared.database.sessions() as session:
                for leg in (await session.execute(_OPEN_LEGS)).scalars():
                    self.luck.coverage.hit(leg, TimeFault.KEY_EXPIRED.value)
        move_ahead(by)

    async def fill_gaps(self) -> None:
        """Fetch the events whose webhook was lost, as the job does every quarter of an hour."""
        await self._command(lambda session: inbox.fill_gaps(session, self.gateway))

    async def _run(self, job: Waiting) -> None:
        # bad luck is for the jobs of the saga; the bank's own always run
        fault = self.luck.of_job(job.kind) if job.kind.startswith("payments.") else None
        match fault:
            case JobFault.KILLED:
                with _dying(job.kind), suppress(_KilledError):
                    await self._once(job)
            case JobFault.TWO_WORKERS:
                ends = await asyncio.gather(self._once(job), self._once(job), return_exceptions=True)
                if all(isinstance(end, Exception) for end in ends):
                    await self._once(job)
            case JobFault.SENT_AGAIN:
                await self._once(job)
                await self._once(job)
            case None:
                await self._once(job)

    async def _once(self, job: Waiting) -> None:
        try:
            await edge.run_once(self.shared, job.id, job.kind, job.payload)
        except Exception as error:
            if not is_passing(error):
                raise

    async def _deliver(self, job: Waiting) -> None:
        hot = self.shared.database.hot
        row = await hot.fetchrow(_TAKE, job.id, UUID(job.payload["event_id"]))
        event = RemoteEvent(str(row["id"]), Leg(row["kind"]), row["ref"], row["occurred_at"])
        is_early = await hot.fetchrow(_IS_OPEN, event.ref, event.kind.value) is not None
        body = msgspec.json.encode(event)
        fault = self.luck.of_webhook(event.kind)
        if fault is WebhookFault.LOST:
            return
        self._refuse_false_ones(body, fault)
        if is_early:
            self.luck.coverage.hit(event.kind.value, WebhookFault.EARLY.value)
        remote = self.gateway.verify_webhook(body, self._headers(body, now()))
        for _ in range(2 if fault is WebhookFault.DUPLICATED else 1):
            await self._command(lambda session: inbox.receive(session, self.gateway.name, remote))

    def _refuse_false_ones(self, body: bytes, fault: WebhookFault | None) -> None:
        """Send what an attacker would, and insist that it is refused."""
        if fault is WebhookFault.FORGED:
            headers = {signing.HEADER.lower(): signing.sign("not the secret", body, now())}
        elif fault is WebhookFault.STALE:
            headers = self._headers(body, now() + self.luck.rng.choice((-1, 1)) * timedelta(minutes=6))
        else:
            return
        try:
            self.gateway.verify_webhook(body, headers)
        except WebhookRefused:
            return
        raise BrokenError(f"a {fault} webhook was taken")

    def _headers(self, body: bytes, at: datetime) -> dict[str, str]:
        secret = signing.secret_of(self.shared.settings)
        return {signing.HEADER.lower(): signing.sign(secret, body, at)}

    async def _command(self, command: Any) -> None:
        await edge.run_command(self.shared.database, command)


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Put something else in the place of a part of a module or class, and put the part back afterwards."""
    kept = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


@contextmanager
def _dying(kind: str) -> Iterator[None]:
    """Let the handler of a kind do its work and then die with its transaction."""
    kept = HANDLERS[kind]

    async def dying(context: JobContext, payload: dict[str, Any]) -> None:
        await kept(context, payload)
        raise _KilledError

    HANDLERS[kind] = dying
    try:
        yield
    finally:
        HANDLERS[kind] = kept


@asynccontextmanager
async def open_world(settings: Settings) -> AsyncIterator[World]:
    """Open a world on a migrated database of its own; the jobs reach its provider instead of one each."""
    load_handlers()
    async with open_database(settings, hot_size=1, ping=False) as database:
        luck = Luck()
        gateway = SandboxGateway(settings, database.sessions, options=OPTIONS, faults=luck)
        shared = WorkerResources(settings, database, open_store(settings))
        with (
            replaced(jobs, "open_gateway", lambda *_: gateway),
            replaced(jobs, "SandboxGateway", lambda *_: gateway),
        ):
            yield World(shared, gateway, luck)
