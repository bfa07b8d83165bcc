"""Measures on a worker: set for a time, read by every claim, lifted by a person. They never touch pay or an account."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.tasks.measure_models import WorkMeasure
from marketplace.tasks.states import MeasureKind

_PAUSE: Final = """
    SELECT reason, until FROM work_measure
    WHERE worker_id = $1 AND kind = 'pause' AND until > now() AND lifted_at IS NULL
      AND (scope_id = $2 OR scope_id = (SELECT organisation_id FROM dataset_request WHERE id = $2))
    ORDER BY until DESC LIMIT 1
"""


async def set_measure(
    session: AsyncSession,
    worker_id: UUID,
    scope_id: UUID,
    kind: MeasureKind,
    *,
    reason: str,
    until: datetime,
    extra_gold: int = 0,
) -> UUID:
    """Let a measure hold from now until `until`; return its id."""
    made = WorkMeasure(
        worker_id=worker_id, scope_id=scope_id, kind=kind, reason=reason, until=until, extra_gold=extra_gold
    )
    session.add(made)
    await session.flush()
    return made.id


async def lift_measure(session: AsyncSession, measure_id: UUID) -> None:
    """End a measure now."""
    measure = await session.get_one(WorkMeasure, measure_id, with_for_update=True, populate_existing=True)
    measure.lifted_at = measure.lifted_at or now()
    session.add(measure)


async def pause_of(connection: Any, worker_id: UUID, request_id: UUID) -> str | None:
    """Return why and until when a worker is paused from a request, in words; None when they are not."""
    row = await connection.fetchrow(_PAUSE, worker_id, request_id)
    return None if row is None else _words(row["reason"], row["until"])


def _words(reason: str, until: datetime) -> str:
    """Say a pause to its worker."""
    return f"you are paused from this work until {until.isoformat(timespec='minutes')}: {reason}"
