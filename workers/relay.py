"""The relay: hands committed outbox rows to arq. Any number may run; rows are taken with SKIP LOCKED.

A crash between handing over and marking sends a row twice; the `processed` row of the job makes that harmless. A row
that was sent and still stands (its queue entry was lost with Redis) is sent again by the sweep; arq ignores an id that
it still has.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import structlog
from arq.connections import ArqRedis
from redis.exceptions import RedisError
from sqlalchemy import Row, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.outbox import emit
from marketplace.core.schedule import resting, take_turn
from workers.handlers import SCHEDULE, WorkerResources

BATCH: Final = 200
RESEND_AFTER_SECONDS: Final = 60
KEEP_PROCESSED: Final = timedelta(hours=48)
KEEP_KEYS: Final = timedelta(days=30)
JOB_LIFE_MS: Final = 7 * 24 * 3600 * 1000

# What is not named here goes to "bundles": making work ready and keeping the market in order.
_QUEUE_OF_SUBDOMAIN: Final = {
    "quality": "quality",
    "settlement": "settlement",
    "payments": "settlement",
    "sandbox": "settlement",
    "ledger": "settlement",
    "catalog": "exports",
}
_QUEUE_OF_KIND: Final = {"quality.export": "exports", "quality.predict": "exports"}

log = structlog.get_logger()

_TAKE = text(
    """
    SELECT id, kind, payload, context FROM outbox
    WHERE sent_at IS NULL AND due_at <= now() ORDER BY due_at LIMIT :batch FOR UPDATE SKIP LOCKED
    """
)
_MARK = text("UPDATE outbox SET sent_at = now() WHERE id = ANY(:ids)")
_RESEND = text(
    """
    UPDATE outbox SET sent_at = NULL
    WHERE sent_at < now() - make_interval(secs => :seconds)
      AND NOT EXISTS (SELECT 1 FROM dead_letter WHERE job_id = outbox.id AND resolved_at IS NULL)
    """
)
_FORGET = (
    (text("DELETE FROM processed WHERE created_at < now() - CAST(:age AS interval)"), KEEP_PROCESSED),
    (text("DELETE FROM idempotency_record WHERE created_at < now() - CAST(:age AS interval)"), KEEP_KEYS),
)


def queue_of(kind: str) -> str:
    """Return the queue of a kind of job; the four queues scale apart, and few queues keep an idle process idle."""
    subdomain = kind.partition(".")[0]
    return "kapok:" + (_QUEUE_OF_KIND.get(kind) or _QUEUE_OF_SUBDOMAIN.get(subdomain, "bundles"))


class Relay:
    """Sends what is due, keeps the schedule, and resends what Redis lost."""

    def __init__(self, shared: WorkerResources, redis: ArqRedis) -> None:
        self.shared = shared
        self.redis = redis

    async def run(self) -> None:
        """Run until cancelled; a database or Redis that is away is waited for."""
        while True:
            try:
                sent = await self.send_due()
            except (SQLAlchemyError, RedisError, OSError) as error:
                log.warning("relay.waiting", error=repr(error))
                await asyncio.sleep(1)
                continue
            if sent < BATCH:
                await asyncio.sleep(self.shared.settings.relay_poll_seconds)

    async def run_schedule(self) -> None:
        """Send periodic jobs when their turn comes, until cancelled."""
        while True:
            try:
                await self.keep_schedule()
            except (SQLAlchemyError, OSError) as error:
                log.warning("schedule.waiting", error=repr(error))
            await asyncio.sleep(0.5)

    async def send_due(self) -> int:
        """Hand over one batch; return how many."""
        async with self.shared.database.sessions() as session:
            found = await session.execute(_TAKE, {"batch": BATCH})
            rows = found.all()
            if rows:
                await self._enqueue(rows)
                await session.execute(_MARK, {"ids": [row.id for row in rows]})
                await session.commit()
        return len(rows)

    async def _enqueue(self, rows: Sequence[Row[Any]]) -> None:
        by_queue = defaultdict(list)
        for row in rows:
            by_queue[queue_of(row.kind)].append(row)
        for queue, queued in by_queue.items():
            for row in queued:
                await self.redis.enqueue_job(
                    "run_job",
                    row.kind,
                    row.payload,
                    row.context,
                    _job_id=str(row.id),
                    _queue_name=queue,
                    _expires=JOB_LIFE_MS,
                )

    async def keep_schedule(self) -> None:
        """Emit the periodic jobs whose turn it is."""
        async with self.shared.database.sessions() as session:
            rest = await resting(session)
        for job in SCHEDULE:
            if job.kind in rest:
                continue
            async with self.shared.database.sessions() as session:
                if await take_turn(session, job.kind, job.every):
                    emit(session, job.kind, {})
                    await session.commit()


async def sweep(session: AsyncSession) -> None:
    """Resend rows whose queue entry was lost, and forget what was done long ago (a job of its own: relay.sweep)."""
    await session.execute(_RESEND, {"seconds": RESEND_AFTER_SECONDS})
    for statement, age in _FORGET:
        await session.execute(statement, {"age": age})
