"""Reads of reviews by sample; for the report of a delivery too."""

from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.quality.policy import jeffreys
from marketplace.quality.sampling.models import ItemReview, ReviewItem, ReviewLot
from marketplace.quality.sampling.schemas import LotView, ReviewedAccuracy

# Of an item that several lots drew, the newest finding counts.
_REVIEWED: Final = text(
    """
    SELECT DISTINCT ON (item_id) item_id, NOT is_wrong AS is_right FROM review_item
    WHERE request_id = :request AND is_wrong IS NOT NULL ORDER BY item_id, lot_id DESC
    """
)
_REVIEWERS: Final = text(
    """
    SELECT r.reviewer_id, count(*) AS given,
           count(*) FILTER (WHERE i.is_double AND i.is_wrong IS NOT NULL) AS double,
           count(*) FILTER (WHERE i.is_double AND i.is_wrong <> r.is_wrong) AS overruled
    FROM item_review r JOIN review_item i USING (request_id, lot_id, position)
    WHERE r.request_id = :request AND r.part = 'review' AND r.given_at IS NOT NULL
    GROUP BY r.reviewer_id ORDER BY r.reviewer_id
    """
)


class ReviewedLabel(NamedTuple):
    """What was found on the label of an item."""

    item_id: UUID
    right: bool


class ReviewerRecord(NamedTuple):
    """How many findings a reviewer gave in a request; of the `double` ones that were settled, how many differ."""

    reviewer_id: UUID
    given: int
    double: int
    overruled: int


async def reviewed_labels(session: AsyncSession, request_id: UUID) -> list[ReviewedLabel]:
    """Return the settled findings of all lots of a request, one an item, in the order of the items' ids."""
    return [ReviewedLabel(*row) for row in await session.execute(_REVIEWED, {"request": request_id})]


async def newest_lot(session: AsyncSession, request_id: UUID) -> ReviewLot | None:
    """Return the lot that was opened last; its `plan` and `state` are a report's sample plan and result."""
    statement = select(ReviewLot).where(ReviewLot.request_id == request_id).order_by(col(ReviewLot.id).desc()).limit(1)
    return (await session.exec(statement)).first()


async def reviewed_accuracy(session: AsyncSession, request_id: UUID) -> ReviewedAccuracy:
    """Return how many of a request's labels are right by what reviewers found in samples.

    A sample that a sequential test ended early leans a little to the side of its end; the interval does not say so.
    """
    found = await reviewed_labels(session, request_id)
    newest = await newest_lot(session, request_id)
    right = sum(label.right for label in found)
    low, high = jeffreys(right, len(found)) if found else (0.0, 1.0)
    return ReviewedAccuracy(
        right=right,
        wrong=len(found) - right,
        estimate=right / len(found) if found else None,
        low=low,
        high=high,
        newest=None if newest is None else LotView.model_validate(newest),
    )


async def reviewer_records(session: AsyncSession, request_id: UUID) -> list[ReviewerRecord]:
    """Return the record of everybody who reviewed in a request."""
    return [ReviewerRecord(*row) for row in await session.execute(_REVIEWERS, {"request": request_id})]


async def drawn_items(session: AsyncSession, lot: ReviewLot) -> list[ReviewItem]:
    """Return a lot's drawn items in their order."""
    found = await session.exec(
        select(ReviewItem)
        .where(ReviewItem.request_id == lot.request_id, ReviewItem.lot_id == lot.id)
        .order_by(col(ReviewItem.position))
    )
    return list(found.all())


async def reviews_of(session: AsyncSession, lot: ReviewLot) -> list[ItemReview]:
    """Return everything that was given or taken in a lot, in the order of items and then of time."""
    found = await session.exec(
        select(ItemReview)
        .where(ItemReview.request_id == lot.request_id, ItemReview.lot_id == lot.id)
        .order_by(col(ItemReview.position), col(ItemReview.created_at))
    )
    return list(found.all())
