"""The gold truths that measure workers: all but those in doubt, and those that were retired because of it."""

from typing import Any
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.queries import gold_truths
from marketplace.quality.gold.models import GoldItem
from marketplace.quality.gold.states import DISAGREEMENT, GoldState


async def trusted_truths(session: AsyncSession, request_id: UUID) -> dict[UUID, Any]:
    """Return the truth of each gold item that nobody doubts, by the item's id, in the order of the ids."""
    doubted = select(GoldItem.item_id).where(
        GoldItem.request_id == request_id,
        col(GoldItem.state).in_((GoldState.IN_DOUBT, GoldState.RETIRED)),
        col(GoldItem.why) == DISAGREEMENT,
    )
    left_out = set((await session.exec(doubted)).all())
    truths = await gold_truths(session, request_id)
    return {item: truth for item, truth in truths.items() if item not in left_out}
