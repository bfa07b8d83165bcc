"""One job is one transaction, and this is the only place in the workers (beside the relay) that commits.

The `processed` row is written, and the outbox row removed, in the job's own transaction: a job delivered twice has its
effect once, and what stands in the outbox is what is still to be done.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.outbox import DeadLetter, Outbox, Processed
from workers.handlers import HANDLERS, JobContext, WorkerResources

T = TypeVar("T")

log = structlog.get_logger()


async def run_command(database: Database, command: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Run one command of whoever runs this Kapok (the command line) in a transaction of its own."""
    async with database.sessions() as session:
        outcome = await command(session)
        await session.commit()
    return outcome


async def run_once(shared: WorkerResources, job_id: UUID, kind: str, payload: dict[str, Any]) -> None:
    """Run the handler of a job in one transaction, unless it has run before.

    The mark is written last, so that a handler may end the transaction of its reads before it calls somebody outside.
    Of two deliveries at once both may run; the mark lets one of them commit.
    """
    async with shared.database.sessions() as session:
        if await session.get(Processed, job_id) is not None:
            log.info("job.repeated")
            return
        await session.rollback()
        context = JobContext(session, shared.settings, shared.database, shared.store)
        await HANDLERS[kind](context, payload)
        marked = await session.execute(
            insert(Processed).values(job_id=job_id).on_conflict_do_nothing().returning(col(Processed.job_id))
        )
        if marked.first() is None:
            log.info("job.repeated")
            await session.rollback()
            return
        await session.execute(delete(Outbox).where(col(Outbox.id) == job_id))
        await session.commit()


async def bury(
    shared: WorkerResources, job_id: UUID, kind: str, payload: dict[str, Any], *, error: str, tries: int
) -> None:
    """Write down a job that failed for good."""
    async with shared.database.sessions() as session:
        await session.execute(
            insert(DeadLetter)
            .values(job_id=job_id, created_at=now(), kind=kind, payload=payload, error=error, tries=tries)
            .on_conflict_do_update(
                index_elements=["job_id"],
                set_={"error": error, "tries": tries, "resolved_at": None, "resolution": None},
            )
        )
        await session.commit()
