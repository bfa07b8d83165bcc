"""One job is one transaction, and this is the only place in the workers (beside the relay) that commits.

The `processed` row is written, and the outbox row removed, in the job's own transaction: a job delivered twice has its
effect once, and what stands in the outbox is what is still to be done.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.errors import DomainError
from marketplace.core.outbox import DeadLetter, Outbox, Processed
from workers.handlers import BATCHES, HANDLERS, JobContext, WorkerResources

T = TypeVar("T")

log = structlog.get_logger()


async def run_command(database: Database, command: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Run one command of whoever runs this Kapok (the command line) in a transaction of its own."""
    async with database.sessions() as session:
        outcome = await command(session)
        await session.commit()
    return outcome


_HOLD_OWN = text("SELECT 1 FROM outbox WHERE id = :id FOR UPDATE")
# A job that died is the operator's to replay, so it does not run with others.
_TAKE_OTHERS = text(
    """
    SELECT id, payload FROM outbox
    WHERE kind = :kind AND id <> :id AND due_at <= now()
      AND NOT EXISTS (SELECT 1 FROM dead_letter WHERE job_id = outbox.id AND resolved_at IS NULL)
    ORDER BY id LIMIT :others FOR UPDATE SKIP LOCKED
    """
)


async def run_once(shared: WorkerResources, job_id: UUID, kind: str, payload: dict[str, Any]) -> None:
    """Run the handler of a job in one transaction, unless it has run before.

    The mark is written last, so that a handler may end the transaction of its reads before it calls somebody outside.
    Of two deliveries at once both may run; the mark lets one of them commit.
    """
    if kind in BATCHES:
        await _run_together(shared, job_id, kind, payload)
        return
    async with shared.database.sessions() as session:
        if await _was_done(session, job_id):
            return
        await session.rollback()
        await HANDLERS[kind](_context(shared, session), payload)
        await _finish(session, [job_id])


async def _run_together(shared: WorkerResources, job_id: UUID, kind: str, payload: dict[str, Any]) -> None:
    """Run a job with others of its kind that wait; each is done or refused by itself.

    Raises:
        DomainError: this job was refused; the others have had their effect.
        Exception: whatever its handler raises for this job alone.
    """
    batch = BATCHES[kind]
    try:
        refusal = await _try_together(shared, job_id, kind, payload, batch.limit - 1)
    except Exception as error:  # noqa: BLE001  # one of them breaks the transaction of all: each runs by itself
        log.warning("job.alone", error=repr(error))
        refusal = await _try_together(shared, job_id, kind, payload, 0)
    if refusal is not None:
        raise refusal


async def _try_together(
    shared: WorkerResources, job_id: UUID, kind: str, payload: dict[str, Any], others: int
) -> DomainError | None:
    async with shared.database.sessions() as session:
        await session.execute(_HOLD_OWN, {"id": job_id})  # waits for a batch that has taken this job along
        if await _was_done(session, job_id):
            return None
        taken = {job_id: payload}
        if others:
            found = await session.execute(_TAKE_OTHERS, {"kind": kind, "id": job_id, "others": others})
            taken |= {row.id: row.payload for row in found}
        refused = await BATCHES[kind].handler(_context(shared, session), list(taken.values()))
        await _finish(session, [one for place, one in enumerate(taken) if place not in refused])
    return refused.get(0)


async def _was_done(session: AsyncSession, job_id: UUID) -> bool:
    """Return whether a job has had its effect; one that was replayed all the same is taken out of the outbox again."""
    if await session.get(Processed, job_id) is None:
        return False
    log.info("job.repeated")
    await session.execute(delete(Outbox).where(col(Outbox.id) == job_id))
    await session.commit()
    return True


def _context(shared: WorkerResources, session: AsyncSession) -> JobContext:
    return JobContext(session, shared.settings, shared.database, shared.store)


async def _finish(session: AsyncSession, job_ids: list[UUID]) -> None:
    """Mark jobs as done, take them out of the outbox and commit; or undo all when one of them was done meanwhile."""
    if not job_ids:
        return
    rows = [{"job_id": job_id} for job_id in sorted(job_ids)]
    marked = await session.execute(
        insert(Processed).values(rows).on_conflict_do_nothing().returning(col(Processed.job_id))
    )
    if len(marked.all()) < len(rows):
        log.info("job.repeated")
        await session.rollback()
        return
    await session.execute(delete(Outbox).where(col(Outbox.id).in_(job_ids)))
    await session.commit()


async def bury(
    shared: WorkerResources, job_id: UUID, kind: str, payload: dict[str, Any], *, error: str, tries: int
) -> None:
    """Write down a job that failed for good, unless it was done in another's run meanwhile."""
    async with shared.database.sessions() as session:
        if await session.get(Processed, job_id) is not None:
            return
        await session.execute(
            insert(DeadLetter)
            .values(job_id=job_id, created_at=now(), kind=kind, payload=payload, error=error, tries=tries)
            .on_conflict_do_update(
                index_elements=["job_id"],
                set_={"error": error, "tries": tries, "resolved_at": None, "resolution": None},
            )
        )
        await session.commit()
