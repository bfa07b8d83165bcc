"""Requesters' own skills: set by their rules or by hand, for workers who worked for them."""

from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

_CHANGE: Final = text(
    """
    INSERT INTO own_skill (organisation_id, worker_id, name, value, set_by, updated_at, created_at)
    VALUES (:organisation, :worker, :name, least(greatest(CAST(:value AS float8), 0), 100), :by, now(), now())
    ON CONFLICT (organisation_id, worker_id, name) DO UPDATE
    SET value = least(greatest(CASE WHEN :added THEN own_skill.value ELSE 0 END + CAST(:value AS float8), 0), 100),
        set_by = excluded.set_by, updated_at = now()
    """
)


async def change_own_skill(
    session: AsyncSession,
    organisation_id: UUID,
    worker_id: UUID,
    name: str,
    value: float,
    *,
    by: str,
    is_added: bool = False,
) -> None:
    """Set a skill of an enterprise's own, or add to it; it stays between 0 and 100."""
    await session.execute(
        _CHANGE,
        {
            "organisation": organisation_id, "worker": worker_id, "name": name, "value": value, "by": by,
            "added": is_added,
        },
    )  # fmt: skip
