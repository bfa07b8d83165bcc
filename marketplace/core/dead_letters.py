"""Jobs that failed for good: looking at them, running them again, giving them up. The caller commits.

A dead job's outbox row still stands, unsent to nobody: it is put back into the way of the relay, or removed.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.errors import NotFound
from marketplace.core.outbox import DeadLetter, Outbox
from marketplace.core.paging import PageQuery, read_page


class DeadLetterUnknown(NotFound):
    """There is no such dead job, or it has been dealt with."""

    code = "dead_letter_unknown"


REPLAYED: Final = "replayed"
DROPPED: Final = "dropped"


async def dead_letters(
    session: AsyncSession, *, job_ids: Sequence[UUID] = (), kind: str = "", resolved: bool = False, limit: int = 200
) -> list[DeadLetter]:
    """Return dead jobs, the newest first: these ids, this kind, or all; with `resolved` those dealt with too."""
    statement = select(DeadLetter).order_by(col(DeadLetter.created_at).desc()).limit(limit)
    if not resolved:
        statement = statement.where(col(DeadLetter.resolved_at).is_(None))
    if job_ids:
        statement = statement.where(col(DeadLetter.job_id).in_(job_ids))
    if kind:
        statement = statement.where(DeadLetter.kind == kind)
    return list((await session.exec(statement)).all())


async def dead_letter_page(session: AsyncSession, query: PageQuery) -> tuple[list[DeadLetter], str | None]:
    """Return one page of the dead jobs that nobody has dealt with, newest first, and the next page's cursor."""
    return await read_page(
        session, select(DeadLetter).where(col(DeadLetter.resolved_at).is_(None)), DeadLetter.job_id, query
    )


async def unresolved(session: AsyncSession, job_id: UUID) -> DeadLetter:
    """Return a dead job, locked; raises `DeadLetterUnknown` when there is none, or it has been dealt with."""
    found = await session.exec(
        select(DeadLetter).where(DeadLetter.job_id == job_id, col(DeadLetter.resolved_at).is_(None)).with_for_update()
    )
    letter = found.first()
    if letter is None:
        raise DeadLetterUnknown
    return letter


async def waiting_for(session: AsyncSession, kinds: Sequence[str], **facts: str) -> list[DeadLetter]:
    """Return the dead jobs of these kinds whose payload says this, locked."""
    found = await session.exec(
        select(DeadLetter)
        .where(
            col(DeadLetter.kind).in_(kinds),
            col(DeadLetter.resolved_at).is_(None),
            col(DeadLetter.payload).contains(facts),
        )
        .order_by(col(DeadLetter.job_id))
        .with_for_update()
    )
    return list(found.all())


async def replay(session: AsyncSession, letters: Sequence[DeadLetter]) -> None:
    """Let these jobs run once more, under their own ids; whoever fails again is a dead letter again."""
    for letter in letters:
        fresh = insert(Outbox).values(
            id=letter.job_id, kind=letter.kind, payload=letter.payload, context={}, due_at=now(), created_at=now()
        )
        await session.execute(
            fresh.on_conflict_do_update(index_elements=["id"], set_={"sent_at": None, "due_at": now()})
        )
        _resolve(session, letter, REPLAYED)


async def drop(session: AsyncSession, letters: Sequence[DeadLetter]) -> None:
    """Give these jobs up; what they were to do is not done."""
    for letter in letters:
        await session.execute(delete(Outbox).where(col(Outbox.id) == letter.job_id))
        _resolve(session, letter, DROPPED)


def _resolve(session: AsyncSession, letter: DeadLetter, resolution: str) -> None:
    letter.resolved_at, letter.resolution = now(), resolution
    session.add(letter)
