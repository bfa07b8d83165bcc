"""The live progress of one request: four small queries, each over the request's own rows."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import request_of
from marketplace.catalog.states import REQUEST_STEPS
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.ledger import accounts
from marketplace.ledger.queries import balances
from marketplace.matching.models import Contract
from marketplace.statistics.policy import ACTIVE_WINDOW, RATE_WINDOW, answers_per_hour, forecast_finish
from marketplace.statistics.schemas import ProgressView, SeatCounts, Spend
from marketplace.tasks.states import SeatState

# A task that is not done wants at least one answer more than it has, and all that have a seat.
_WORK: Final = text(
    """
    SELECT count(*) AS tasks, count(*) FILTER (WHERE done) AS done, coalesce(sum(answered), 0) AS answers,
           coalesce(sum(greatest(planned, answered + 1)) FILTER (WHERE NOT done), 0)
             + coalesce(sum(answered) FILTER (WHERE done), 0) AS wanted
    FROM task WHERE request_id = :request_id
    """
)
_SEATS: Final = text("SELECT state, count(*) AS seats FROM seat WHERE request_id = :request_id GROUP BY state")
_PACE: Final = text(
    """
    SELECT count(DISTINCT worker_id) FILTER (
               WHERE state IN ('claimed', 'rework') AND created_at >= :active_since OR submitted_at >= :active_since
           ) AS workers,
           coalesce(sum(units) FILTER (WHERE submitted_at >= :rate_since), 0) AS units,
           min(submitted_at) AS first_at
    FROM claim WHERE request_id = :request_id
    """
)


async def progress(session: AsyncSession, actor: Actor, request_id: UUID) -> ProgressView:
    """Return how far a request of the actor's enterprise is (any request, for the operator).

    Raises:
        RequestNotFound: it is another enterprise's.
    """
    request = await request_of(session, actor, request_id)
    at = now()
    connection = await session.connection()
    work = (await connection.execute(_WORK, {"request_id": request_id})).one()
    pace = (await connection.execute(_PACE, _pace_bounds(request_id, at))).one()
    per_hour = answers_per_hour(int(pace.units), pace.first_at, at)
    answers, wanted = int(work.answers), int(work.wanted)
    return ProgressView(
        request_id=request_id,
        state=request.state,
        items=request.item_count,
        tasks=work.tasks,
        tasks_done=work.done,
        answers=answers,
        answers_wanted=wanted,
        seats=_seats(await connection.execute(_SEATS, {"request_id": request_id})),
        spend=await _spend(session, request),
        workers_active=pace.workers,
        answers_per_hour=per_hour,
        forecast_finish=forecast_finish(wanted - answers, per_hour, at),
    )


def _pace_bounds(request_id: UUID, at: datetime) -> dict[str, Any]:
    return {"request_id": request_id, "active_since": at - ACTIVE_WINDOW, "rate_since": at - RATE_WINDOW}


def _seats(found: Iterable[Row[Any]]) -> SeatCounts:
    counts = dict.fromkeys((state.value for state in SeatState), 0)
    counts |= {row.state: row.seats for row in found}
    return SeatCounts(**counts)


async def _spend(session: AsyncSession, request: DatasetRequest) -> Spend:
    contracts = await session.exec(select(col(Contract.id)).where(Contract.request_id == request.id))
    reserved = accounts.reserved(request.id)
    paths = [reserved, *(accounts.accrued(request.id, contract_id) for contract_id in contracts)]
    found = [line for line in await balances(session, paths) if line.currency == request.currency]
    return Spend(
        currency=request.currency,
        budget_minor=request.budget_minor,
        reserved_minor=sum(line.minor for line in found if line.path == reserved),
        accrued_minor=sum(line.minor for line in found if line.path != reserved),
    )


def is_final(view: ProgressView) -> bool:
    """Return whether the request has come to an end, so that its progress will not change any more."""
    return not REQUEST_STEPS.get(view.state)


def fingerprint(view: ProgressView) -> str:
    """Return a short hash that changes when, and only when, the view does: the event's id on the live stream."""
    return hashlib.sha256(view.model_dump_json().encode()).hexdigest()[:16]
