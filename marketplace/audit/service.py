"""Writing the trail."""

from typing import Any
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.models import AuditEntry
from marketplace.core.actor import Actor


def record(
    session: AsyncSession,
    actor: Actor,
    action: str,
    subject: str,
    *,
    organisation_id: UUID | None = None,
    **facts: Any,
) -> None:
    """Write down an act in the transaction that does it; facts must be plain JSON values (no personal secrets)."""
    owner = organisation_id or actor.organisation_id
    session.add(
        AuditEntry(principal=actor.principal, action=action, subject=subject, organisation_id=owner, facts=facts)
    )
