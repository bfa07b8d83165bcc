"""Lots: opening one fixes plan, population and draw; showing one tells where its plan stands."""

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import request_of
from marketplace.catalog.states import RequestState
from marketplace.core.actor import Actor
from marketplace.core.paging import Page, PageQuery, read_page
from marketplace.quality.aliases import reviewer_alias
from marketplace.quality.policy import jeffreys
from marketplace.quality.queries import consensus_of
from marketplace.quality.sampling.errors import LotPlanInvalid, LotUnknown
from marketplace.quality.sampling.iso2859 import Inspection, inspection_after
from marketplace.quality.sampling.models import ReviewItem, ReviewLot
from marketplace.quality.sampling.plans import LotPlan, drawn, hash_of, is_double, make_plan, read_plan
from marketplace.quality.sampling.queries import ReviewerRecord, drawn_items, reviewer_records
from marketplace.quality.sampling.schemas import (
    CurvePoint,
    LotDetail,
    LotDraft,
    LotView,
    ReviewerView,
    RiskView,
)
from marketplace.quality.sampling.states import LotState

# While production goes on, only labels that get no more answers: others may still change.
_LABELED: Final = text(
    """
    SELECT t.id FROM task t JOIN consensus k ON k.request_id = t.request_id AND k.task_id = t.id
    WHERE t.request_id = :request AND k.answers > 0 AND (t.done OR :ended)
      AND (CAST(:contract AS uuid) IS NULL OR t.contract_id = CAST(:contract AS uuid))
    """
)
_GOING_ON: Final = frozenset({RequestState.AWARDED, RequestState.IN_PRODUCTION, RequestState.SUSPENDED})
_SEED_BITS: Final = 53


async def open_lot(session: AsyncSession, actor: Actor, request_id: UUID, draft: LotDraft) -> LotView:
    """Open a lot over the labels of a request: plan, hash, population and the drawn items are fixed from here on.

    How strictly it is inspected follows from the lots before (ISO 2859-1, 9.3), of the same contract or of all.

    Raises:
        RequestNotFound: there is no such request of the actor's.
        LotPlanInvalid: there are less than two labels, the plan makes no sense, or inspection is discontinued.
    """
    request = await request_of(session, actor, request_id)
    ids = await _labeled(session, request, draft.contract_id)
    seed = secrets.randbits(_SEED_BITS) if draft.seed is None else draft.seed
    inspection = await _inspection(session, request_id, draft.contract_id)
    asked = draft.model_dump(exclude={"contract_id", "seed"}) | {"method": draft.method}
    try:
        plan = make_plan(asked, len(ids), seed, inspection=inspection)
    except ValueError as error:
        raise LotPlanInvalid(f"{error}.") from error
    chosen = await asyncio.to_thread(drawn, seed, ids)
    lot = ReviewLot(
        request_id=request_id,
        contract_id=draft.contract_id,
        plan=plan.as_json(),
        plan_hash=hash_of(plan),
        population_sha256=await asyncio.to_thread(_population_hash, ids),
        opened_by=actor.principal,
    )
    session.add(lot)
    await session.flush()
    session.add_all(await _rows(session, lot, plan, chosen[: plan.limit]))
    await session.flush()
    record(
        session, actor, "review_lot.opened", f"review_lot:{lot.id}", organisation_id=request.organisation_id,
        plan_hash=lot.plan_hash,
    )  # fmt: skip
    return LotView.model_validate(lot)


async def _labeled(session: AsyncSession, request: DatasetRequest, contract_id: UUID | None) -> list[UUID]:
    names = {"request": request.id, "contract": contract_id, "ended": request.state not in _GOING_ON}
    return list((await session.execute(_LABELED, names)).scalars())


def _population_hash(ids: Sequence[UUID]) -> str:
    return hashlib.sha256(b"".join(each.bytes for each in sorted(ids))).hexdigest()


async def _inspection(session: AsyncSession, request_id: UUID, contract_id: UUID | None) -> Inspection:
    statement = select(ReviewLot.state).where(
        ReviewLot.request_id == request_id,
        ReviewLot.contract_id == contract_id,
        col(ReviewLot.state) != LotState.OPEN,
    )
    decided = (await session.exec(statement.order_by(col(ReviewLot.closed_at)))).all()
    return inspection_after([state is LotState.ACCEPTED for state in decided])


async def _rows(session: AsyncSession, lot: ReviewLot, plan: LotPlan, chosen: Sequence[UUID]) -> list[ReviewItem]:
    labels = await consensus_of(session, lot.request_id, chosen)
    return [
        ReviewItem(
            request_id=lot.request_id,
            lot_id=lot.id,
            position=position,
            item_id=item_id,
            label=labels[item_id].value,
            is_double=is_double(plan.seed, item_id, plan.double_share),
        )
        for position, item_id in enumerate(chosen, 1)
    ]


async def find_lot(
    session: AsyncSession, actor: Actor, request_id: UUID, lot_id: UUID, *, lock: bool = False
) -> ReviewLot:
    """Return a lot of the actor's own request (any, for the operator), locked until the transaction ends if asked.

    Raises:
        RequestNotFound, LotUnknown: there is none, or it is another organisation's.
    """
    await request_of(session, actor, request_id)
    lot = await session.get(ReviewLot, (request_id, lot_id), with_for_update=lock or None, populate_existing=True)
    if lot is None:
        raise LotUnknown
    return lot


async def lots_of(session: AsyncSession, actor: Actor, request_id: UUID, query: PageQuery) -> Page[LotView]:
    """Return a page of a request's lots, newest first."""
    await request_of(session, actor, request_id)
    statement = select(ReviewLot).where(ReviewLot.request_id == request_id)
    found, cursor = await read_page(session, statement, ReviewLot.id, query)
    return Page(items=[LotView.model_validate(lot) for lot in found], next_cursor=cursor)


async def show_lot(session: AsyncSession, actor: Actor, request_id: UUID, lot_id: UUID) -> LotDetail:
    """Return a lot with its decision curve; single findings are not shown, so that second ones stay blind."""
    lot = await find_lot(session, actor, request_id, lot_id)
    plan = read_plan(lot.plan)
    items = await drawn_items(session, lot)
    reviewers = await reviewer_records(session, request_id)
    return LotDetail(
        **LotView.model_validate(lot).model_dump(),
        plan_holds=hash_of(plan) == lot.plan_hash,
        curve=_curve(plan, lot, items),
        risks=[RiskView.model_validate(risk) for risk in plan.risks()],
        reviewers=[_reviewer(request_id, row) for row in reviewers],
    )


def _curve(plan: LotPlan, lot: ReviewLot, items: Sequence[ReviewItem]) -> list[CurvePoint]:
    bounds, points, wrong = plan.bounds, [], 0
    for count, item in enumerate(items, 1):
        wrong += bool(item.is_wrong)
        points.append(
            CurvePoint(
                items=count,
                accept_at=bounds.accept_at(count),
                reject_at=bounds.reject_at(count),
                wrong=wrong if count <= lot.items else None,
            )
        )
    return points


def _reviewer(request_id: UUID, row: ReviewerRecord) -> ReviewerView:
    low, high = jeffreys(row.overruled, row.double) if row.double else (None, None)
    return ReviewerView(
        reviewer=reviewer_alias(request_id, row.reviewer_id),
        given=row.given,
        double=row.double,
        overruled=row.overruled,
        error_rate=row.overruled / row.double if row.double else None,
        low=low,
        high=high,
    )
