"""Fitting a request's workers anew while its work goes on, and its tasks by what was learned.

The labels of a task are current from the acceptance of its answers on, by the newest fit; how good workers are is
learned again when a fifth more was accepted, so that all fits of a request cost six times its last one at most.
"""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import RequestState
from marketplace.core.outbox import emit
from marketplace.matching.models import Contract
from marketplace.matching.states import ContractState
from marketplace.quality.cases import load_rules
from marketplace.quality.consolidation import refresh_span, task_spans
from marketplace.quality.learned_models import RequestModel
from marketplace.quality.learning import fit_request, store_fit
from marketplace.quality.service import ask_to_extend
from marketplace.tasks.bundles import accepted_units

GROWTH: Final = 1.2
LEAST_MORE: Final = 20
_WAITING: Final = text(
    """
    SELECT o.kind FROM outbox o
    WHERE o.kind = ANY(:kinds) AND o.payload->>'request_id' = :request
      AND NOT EXISTS (SELECT 1 FROM dead_letter d WHERE d.job_id = o.id AND d.resolved_at IS NULL)
    """
)


def is_due(units: int, fitted: int) -> bool:
    """Return whether so many accepted units call for a new fit, after one that rests on `fitted`."""
    return units >= max(fitted * GROWTH, fitted + LEAST_MORE)


async def settle(session: AsyncSession, request_id: UUID, *, closing: bool) -> bool:
    """Ask for a new fit where one is due; return whether labels stand as they are, with no fit asked for or under way.

    `closing` says that no work is under way: then a fit is due as soon as anything was accepted since the last.
    """
    kinds = ["quality.refit", "quality.recompute"]
    waiting = set((await session.execute(_WAITING, {"kinds": kinds, "request": str(request_id)})).scalars())
    found = await session.exec(select(RequestModel.units).where(RequestModel.request_id == request_id))
    fitted = found.first() or 0
    units = await accepted_units(session, request_id)
    due = units != fitted if closing else is_due(units, fitted)
    if due and "quality.refit" not in waiting and not await _died(session, request_id):
        emit(session, "quality.refit", {"request_id": str(request_id)})
        return False
    return not waiting


async def _died(session: AsyncSession, request_id: UUID) -> bool:
    """Return whether a fit of this request died: another would too, and one dead letter is enough."""
    statement = text(
        "SELECT 1 FROM dead_letter WHERE kind = 'quality.refit' AND resolved_at IS NULL"
        " AND payload->>'request_id' = :request LIMIT 1"
    )
    return (await session.execute(statement, {"request": str(request_id)})).first() is not None


async def refit(session: AsyncSession, request_id: UUID) -> int | None:
    """Learn workers from all answers so far and ask for all tasks to be computed anew; return the fit's number.

    None when a newer fit was kept while this one was computed, or the request is not in production any more: what was
    delivered stands. Nothing is locked until the fit is kept.
    """
    request = await session.get_one(DatasetRequest, request_id)
    if request.state is not RequestState.IN_PRODUCTION:
        return None
    rules = await load_rules(session, request_id)
    fit = await fit_request(session, request_id, rules, await accepted_units(session, request_id))
    number = await store_fit(session, request_id, fit)
    if number is None:
        return None
    emit(session, "quality.gold", {"request_id": str(request_id)})
    for first, last in await task_spans(session, request_id):
        payload: dict[str, Any] = {"request_id": str(request_id), "number": number}
        emit(session, "quality.recompute", {**payload, "first": str(first), "last": str(last)})
    return number


async def recompute(session: AsyncSession, request_id: UUID, number: int, first: UUID, last: UUID) -> None:
    """Compute a span of tasks by the fit of this number; a newer one has jobs of its own."""
    found = await session.exec(select(RequestModel.number).where(RequestModel.request_id == request_id))
    request = await session.get_one(DatasetRequest, request_id)
    if found.first() != number or request.state is not RequestState.IN_PRODUCTION:
        return
    await refresh_span(session, request_id, await load_rules(session, request_id), first, last)
    active = select(Contract.id).where(Contract.request_id == request_id, col(Contract.state) == ContractState.ACTIVE)
    for contract_id in (await session.exec(active.order_by(col(Contract.id)))).all():
        await ask_to_extend(session, request_id, contract_id)
