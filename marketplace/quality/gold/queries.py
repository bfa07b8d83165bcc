"""Reads of gold: what was answered, by how many, how rightly."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import astuple
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import Gold, Item
from marketplace.catalog.queries import request_of
from marketplace.core.actor import Actor
from marketplace.core.paging import Page, PageQuery, read_page
from marketplace.quality.cases import load_rules
from marketplace.quality.gold.models import GoldCandidate, GoldItem
from marketplace.quality.gold.policy import GOOD_FROM, GoldTally
from marketplace.quality.gold.schemas import CandidateView, GoldView
from marketplace.quality.gold.states import CandidateState, GoldState
from marketplace.quality.similarity import same
from marketplace.quality.spec import LabelSpec

# First answers alone: a rework has been told that something was wrong. Equal answers are counted in the database.
_ANSWERS: Final = text(
    """
    SELECT a.task_id, a.value, count(*) AS workers, count(*) FILTER (WHERE s.low >= :good) AS good
    FROM answer a LEFT JOIN request_skill s ON s.request_id = a.request_id AND s.worker_id = a.worker_id
    WHERE a.request_id = :request AND a.task_id = ANY(:items) AND a.is_gold AND a.revision = 1
    GROUP BY a.task_id, a.value
    """
)


async def tallies(
    session: AsyncSession, request_id: UUID, spec: LabelSpec, truths: Mapping[UUID, Any]
) -> dict[UUID, GoldTally]:
    """Return how many workers answered these gold items, and how many of all and of the good ones were right."""
    names = {"request": request_id, "items": list(truths), "good": GOOD_FROM}
    counts: dict[UUID, GoldTally] = defaultdict(GoldTally)
    for row in await session.execute(_ANSWERS, names):
        right = same(spec, spec.main(row.value), spec.main(truths[row.task_id]))
        more = (row.workers, row.workers if right else 0, row.good, row.good if right else 0)
        counts[row.task_id] = GoldTally(
            *(have + add for have, add in zip(astuple(counts[row.task_id]), more, strict=True))
        )
    return {item: counts[item] for item in truths}


async def states_of(session: AsyncSession, request_id: UUID, items: Collection[UUID]) -> dict[UUID, GoldItem]:
    """Return what was decided on these gold items; those without a row are active."""
    found = await session.exec(
        select(GoldItem).where(GoldItem.request_id == request_id, col(GoldItem.item_id).in_(items))
    )
    return {row.item_id: row for row in found.all()}


async def gold_page(
    session: AsyncSession, actor: Actor, request_id: UUID, query: PageQuery, state: GoldState | None
) -> Page[GoldView]:
    """Return a page of the gold of one's own request, newest first; `RequestNotFound` for another tenant's."""
    await request_of(session, actor, request_id)
    statement = select(Gold).where(Gold.request_id == request_id)
    if state is not None:
        rows = select(GoldItem.item_id).where(GoldItem.request_id == request_id)
        if state is GoldState.ACTIVE:
            statement = statement.where(col(Gold.item_id).not_in(rows))
        else:
            statement = statement.where(col(Gold.item_id).in_(rows.where(col(GoldItem.state) == state)))
    found, cursor = await read_page(session, statement, Gold.item_id, query)
    return Page(items=await show(session, request_id, found), next_cursor=cursor)


async def show(session: AsyncSession, request_id: UUID, found: Collection[Gold]) -> list[GoldView]:
    """Return gold items for showing, with their figures as they are now."""
    rules = await load_rules(session, request_id)
    truths = {gold.item_id: gold.truth for gold in found}
    counts = await tallies(session, request_id, rules.spec, truths)
    states = await states_of(session, request_id, truths)
    names = await _external_ids(session, request_id, truths)
    return [_view(gold, counts[gold.item_id], states.get(gold.item_id), names[gold.item_id]) for gold in found]


async def _external_ids(session: AsyncSession, request_id: UUID, items: Collection[UUID]) -> dict[UUID, str]:
    found = await session.exec(
        select(Item.id, Item.external_id).where(Item.request_id == request_id, col(Item.id).in_(items))
    )
    return dict(found.all())


def _view(gold: Gold, tally: GoldTally, row: GoldItem | None, external_id: str) -> GoldView:
    return GoldView(
        item_id=gold.item_id,
        external_id=external_id,
        truth=gold.truth,
        state=row.state if row else GoldState.ACTIVE,
        why=row.why if row else None,
        workers=tally.workers,
        right_share=round(tally.right / tally.workers, 4) if tally.workers else None,
        good_workers=tally.good_workers,
        good_right_share=round(tally.good_right / tally.good_workers, 4) if tally.good_workers else None,
        reason=row.reason if row else None,
        decided_at=row.decided_at if row else None,
    )


async def candidate_page(
    session: AsyncSession, actor: Actor, request_id: UUID, query: PageQuery, state: CandidateState
) -> Page[CandidateView]:
    """Return a page of the candidates for gold of one's own request, newest tasks first."""
    await request_of(session, actor, request_id)
    statement = select(GoldCandidate).where(GoldCandidate.request_id == request_id, col(GoldCandidate.state) == state)
    found, cursor = await read_page(session, statement, GoldCandidate.task_id, query)
    names = await _external_ids(session, request_id, [each.task_id for each in found])
    items = [CandidateView.model_validate({**each.model_dump(), "external_id": names[each.task_id]}) for each in found]
    return Page(items=items, next_cursor=cursor)
