"""Reviewing a lot: who is given which item, and what follows from a finding. Pay is never touched.

A share of the items goes to two people, neither of whom learns what the other found or that there is another. Where
they differ, a third one decides, who sees both. Items count in the order in which they were drawn.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.models import DatasetRequest, Item
from marketplace.core.actor import Actor, ActorKind, Role
from marketplace.core.clock import now
from marketplace.quality.sampling.errors import (
    LotDecided,
    NothingToReview,
    ReviewerInvolved,
    ReviewerNotPerson,
    ReviewGiven,
    ReviewLapsed,
    ReviewNotTaken,
)
from marketplace.quality.sampling.lots import find_lot
from marketplace.quality.sampling.models import ItemReview, ReviewItem, ReviewLot
from marketplace.quality.sampling.plans import read_plan, walk
from marketplace.quality.sampling.queries import drawn_items, reviews_of
from marketplace.quality.sampling.schemas import ItemToReview, LotView, Opinion, ReviewIn
from marketplace.quality.sampling.sprt import Step
from marketplace.quality.sampling.states import LotState, Part

HELD_FOR: Final = timedelta(minutes=30)
"""How long an item waits for who took it, before it goes to somebody else as well."""
ARBITRATING: Final = frozenset({Role.OWNER, Role.MANAGER, Role.QUALITY_ASSESSOR, Role.ARBITRATOR, Role.ADMIN})

_INVOLVED: Final = text(
    """
    SELECT EXISTS (
        SELECT 1 FROM claim WHERE request_id = :request AND worker_id = :person
          AND (CAST(:contract AS uuid) IS NULL OR contract_id = CAST(:contract AS uuid))
    ) OR EXISTS (
        SELECT 1 FROM contract c JOIN membership m ON m.organisation_id = c.vendor_organisation_id
        WHERE c.request_id = :request AND m.person_id = :person AND m.state = 'active'
          AND (CAST(:contract AS uuid) IS NULL OR c.id = CAST(:contract AS uuid))
    )
    """
)


class Offer(NamedTuple):
    """What somebody may do next."""

    position: int
    part: Part


def wanted(item: ReviewItem) -> int:
    """Return how many people look at an item before it is settled or arbitrated."""
    return 2 if item.is_double else 1


def settle(item: ReviewItem, reviews: Sequence[ItemReview]) -> bool | None:
    """Return whether an item is wrong by its reviews; None while some are missing, or two differ."""
    given = [review for review in reviews if review.is_wrong is not None]
    for review in given:
        if review.part is Part.ARBITRATION:
            return review.is_wrong
    found = {review.is_wrong for review in given}
    return found.pop() if len(given) >= wanted(item) and len(found) == 1 else None


def offer(
    items: Sequence[ReviewItem], reviews: Sequence[ItemReview], who: UUID, *, arbitrates: bool, moment: datetime
) -> Offer | None:
    """Return what a person reviews next: what they took and did not finish, else the first drawn that lacks somebody.

    Nobody gets an item twice; a difference goes to somebody who may arbitrate and is neither of the two.
    """
    of_item: dict[int, list[ItemReview]] = {}
    for review in reviews:
        of_item.setdefault(review.position, []).append(review)
    open_items = [item for item in items if item.is_wrong is None]
    for item in open_items:
        for review in of_item.get(item.position, []):
            if review.reviewer_id == who and review.given_at is None and not is_full(item, of_item[item.position]):
                return Offer(item.position, review.part)
    for item in open_items:
        mine = _part_for(item, of_item.get(item.position, []), who, arbitrates=arbitrates, moment=moment)
        if mine is not None:
            return Offer(item.position, mine)
    return None


def is_full(item: ReviewItem, reviews: Sequence[ItemReview]) -> bool:
    """Return whether as many people as wanted have given a finding of their own."""
    return sum(review.part is Part.REVIEW and review.given_at is not None for review in reviews) >= wanted(item)


def _part_for(
    item: ReviewItem, reviews: Sequence[ItemReview], who: UUID, *, arbitrates: bool, moment: datetime
) -> Part | None:
    if any(review.reviewer_id == who for review in reviews):
        return None
    held = [review for review in reviews if review.given_at is not None or review.taken_at > moment - HELD_FOR]
    if is_full(item, reviews):
        taken = any(review.part is Part.ARBITRATION for review in held)
        return Part.ARBITRATION if arbitrates and not taken else None
    return Part.REVIEW if len(held) < wanted(item) else None


async def next_item(session: AsyncSession, actor: Actor, request_id: UUID, lot_id: UUID) -> ItemToReview:
    """Take the next item of a lot; asked again before the finding, the same one.

    Raises:
        RequestNotFound, LotUnknown: there is no such lot of the actor's.
        ReviewerNotPerson, ReviewerInvolved: the actor may not review it.
        LotDecided, NothingToReview: nothing is left, or nothing now.
    """
    lot = await _lot_for(session, actor, request_id, lot_id)
    if lot.state is not LotState.OPEN:
        raise LotDecided(f"It is {lot.state}.", state=str(lot.state))
    items, reviews, moment = await drawn_items(session, lot), await reviews_of(session, lot), now()
    found = offer(items, reviews, actor.id, arbitrates=bool(actor.roles & ARBITRATING), moment=moment)
    if found is None:
        raise NothingToReview
    key = (request_id, lot_id, found.position, actor.id)
    taken = await session.get(ItemReview, key)
    if taken is None:
        taken = ItemReview(
            request_id=request_id, lot_id=lot_id, position=found.position, reviewer_id=actor.id, part=found.part,
            taken_at=moment,
        )  # fmt: skip
    taken.taken_at = moment
    session.add(taken)
    await session.flush()
    opinions = [review for review in reviews if review.position == found.position and review.given_at is not None]
    return await _shown(session, actor, items[found.position - 1], found.part, opinions)


async def _lot_for(session: AsyncSession, actor: Actor, request_id: UUID, lot_id: UUID) -> ReviewLot:
    """Return the lot, locked, if the actor may review it."""
    lot = await find_lot(session, actor, request_id, lot_id, lock=True)
    if actor.kind is not ActorKind.PERSON:
        raise ReviewerNotPerson
    names = {"request": request_id, "person": actor.id, "contract": lot.contract_id}
    if (await session.execute(_INVOLVED, names)).scalar_one():
        raise ReviewerInvolved
    return lot


async def _shown(
    session: AsyncSession, actor: Actor, drawn: ReviewItem, part: Part, opinions: Sequence[ItemReview]
) -> ItemToReview:
    item = await session.get_one(Item, (drawn.request_id, drawn.item_id))
    request = await session.get_one(DatasetRequest, drawn.request_id)
    record(
        session, actor, "items.viewed", f"request:{request.id}", organisation_id=request.organisation_id, items=1
    )  # each view of data leaves a row in the trail
    shown = opinions if part is Part.ARBITRATION else []
    return ItemToReview(
        lot_id=drawn.lot_id,
        position=drawn.position,
        part=part,
        item_id=item.id,
        external_id=item.external_id,
        data=item.data,
        media_key=item.media_key,
        label=drawn.label,
        opinions=[Opinion(right=not one.is_wrong, fault=one.fault, note=one.note) for one in shown],
    )


async def give(session: AsyncSession, actor: Actor, request_id: UUID, lot_id: UUID, finding: ReviewIn) -> LotView:
    """Give a finding on the item that was taken; the plan then says go on, accepted or rejected. Twice is fine.

    Raises:
        As `next_item`, and:
        ReviewNotTaken: the actor did not take this item.
        ReviewGiven: they gave another finding before.
        ReviewLapsed: they took too long, and the item is settled without them.
    """
    lot = await _lot_for(session, actor, request_id, lot_id)
    own = await session.get(ItemReview, (request_id, lot_id, finding.position, actor.id))
    if own is None:
        raise ReviewNotTaken
    if own.given_at is not None:
        if (own.is_wrong, own.fault, own.note) != (not finding.right, finding.fault, finding.note):
            raise ReviewGiven
        return LotView.model_validate(lot)
    if lot.state is not LotState.OPEN:
        raise LotDecided(f"It is {lot.state}.", state=str(lot.state))
    items, reviews = await drawn_items(session, lot), await reviews_of(session, lot)
    item = items[finding.position - 1]
    of_item = [review for review in reviews if review.position == item.position]
    if item.is_wrong is not None or (own.part is Part.REVIEW and is_full(item, of_item)):
        raise ReviewLapsed
    own.is_wrong, own.fault, own.note, own.given_at = not finding.right, finding.fault, finding.note, now()
    item.is_wrong = settle(item, of_item)
    session.add_all([own, item])
    _decide(session, actor, lot, items)
    await session.flush()
    return LotView.model_validate(lot)


def _decide(session: AsyncSession, actor: Actor, lot: ReviewLot, items: Sequence[ReviewItem]) -> None:
    """Do what the plan says after this finding."""
    lot.items, lot.wrong, step = walk(read_plan(lot.plan).bounds, [item.is_wrong for item in items])
    session.add(lot)
    if step is not Step.GO_ON:
        lot.state, lot.closed_at = LotState(step), now()
        act, subject = f"review_lot.{lot.state}", f"review_lot:{lot.id}"
        record(session, actor, act, subject, items=lot.items, wrong=lot.wrong)
