"""Periodic work: one lease row a job, so that of many worker processes exactly one sends it each time."""

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import Field
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.tables import Timed


class Schedule(Timed, table=True):
    """When a periodic job is due next."""

    __tablename__ = "schedule"

    kind: str = Field(primary_key=True)
    next_at: datetime


_TAKE = text(
    """
    INSERT INTO schedule (kind, next_at, created_at) VALUES (:kind, now() + :every, now())
    ON CONFLICT (kind) DO UPDATE SET next_at = now() + :every WHERE schedule.next_at <= now()
    RETURNING kind
    """
)


_RESTING = text("SELECT kind FROM schedule WHERE next_at > now()")


async def resting(session: AsyncSession) -> set[str]:
    """Return the periodic jobs whose turn has not come, in one read that locks nothing."""
    return set((await session.execute(_RESTING)).scalars())


async def take_turn(session: AsyncSession, kind: str, every: timedelta) -> bool:
    """Return whether this process is the one that sends the job now; moves the next turn ahead if so."""
    taken = await session.execute(_TAKE, {"kind": kind, "every": every})
    return taken.first() is not None
