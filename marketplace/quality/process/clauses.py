"""What a rework or a rejection refers to: the guideline, and the clause its enterprise named for the reason."""

from typing import Any
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest, Guideline
from marketplace.quality.states import ReasonCode


async def cited(session: AsyncSession, request_id: UUID, reason: ReasonCode) -> dict[str, Any]:
    """Return {"guideline_version": …} and, where the enterprise gave one for this reason, {"clause": …}."""
    statement = select(Guideline.version, Guideline.clauses).join(
        DatasetRequest,
        (col(DatasetRequest.id) == col(Guideline.request_id))
        & (col(DatasetRequest.guideline_version) == col(Guideline.version)),
    )
    found = (await session.exec(statement.where(Guideline.request_id == request_id))).first()
    if found is None:
        return {}
    version, clauses = found
    clause = clauses.get(reason)
    return {"guideline_version": version} | ({"clause": clause} if clause else {})
