"""Where one more answer tells most, and whose."""

from collections.abc import Collection, Mapping
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel
from sqlalchemy import Row, text
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.actor import Actor
from marketplace.core.money import EXPONENTS, PRICE_SCALE
from marketplace.quality.annotators.models import Annotator
from marketplace.quality.cases import load_rules
from marketplace.quality.learned_models import RequestSkill
from marketplace.quality.overlap import expected_gain, gain_per_price
from marketplace.quality.policy import PRIOR_ACCURACY
from marketplace.quality.queries import consensus_of
from marketplace.quality.spec import CHOICE_KINDS
from marketplace.tasks.reservations import vendor_contract

NAMED_WORKERS: Final = 3
_LOOKED_AT: Final = 500
_LEAST_CLASSES: Final = 2
_DOUBTS: Final = text(
    """
    SELECT i.external_id, t.block, k.confidence, k.distribution, k.answers
    FROM task t JOIN item i ON i.request_id = t.request_id AND i.id = t.id
    JOIN consensus k ON k.request_id = t.request_id AND k.task_id = t.id
    WHERE t.request_id = :request AND t.contract_id = :contract AND NOT t.done AND t.answered >= t.planned
      AND t.planned < :most
    ORDER BY k.confidence, t.id LIMIT :rows
    """
)
_WORKERS: Final = text(
    """
    SELECT w.worker_id, w.seen_blocks, coalesce(s.accuracy, :prior) AS accuracy, s.low, s.high FROM request_worker w
    LEFT JOIN request_skill s ON s.request_id = w.request_id AND s.worker_id = w.worker_id
    WHERE w.request_id = :request AND :contract = ANY(w.contract_ids)
    ORDER BY accuracy DESC, w.worker_id LIMIT :rows
    """
)


class Adviser(BaseModel):
    """A worker who has not met a task: how good they are at the request, and what their answer is expected to tell.

    `gain` is in nats, `gain_per_price` in nats for each major unit of money (yuan) that an answer costs.
    """

    worker_id: UUID
    accuracy: float
    low: float | None
    high: float | None
    gain: float
    gain_per_price: float


class DoubtView(BaseModel):
    """A task whose label is in doubt, and who is best asked next, the best first."""

    external_id: str
    confidence: float
    answers: int
    best: list[Adviser]


async def expected_gains(session: AsyncSession, request_id: UUID, task_ids: Collection[UUID]) -> dict[UUID, float]:
    """Return how many nats an answer of a worker of the request's mean accuracy is expected to tell about each task.

    Tasks without any label yet are left out. For kinds other than choices the question is whether the label is right.
    """
    rules = await load_rules(session, request_id)
    models = select(Annotator.id).where(Annotator.request_id == request_id)
    found = await session.exec(
        select(func.avg(RequestSkill.accuracy)).where(
            RequestSkill.request_id == request_id, col(RequestSkill.worker_id).not_in(models)
        )
    )
    accuracy = float(found.one() or PRIOR_ACCURACY)
    by_class = rules.spec.kind in CHOICE_KINDS
    labels = await consensus_of(session, request_id, task_ids)
    return {
        task: expected_gain(_posterior(row.confidence, row.distribution, by_class=by_class), accuracy)
        for task, row in labels.items()
    }


async def whom_to_ask(
    session: AsyncSession, actor: Actor, request_id: UUID, contract_id: UUID, limit: int
) -> list[DoubtView]:
    """Return the tasks of the vendor's own contract that are most in doubt and have no seat yet, and whom to ask.

    Raises:
        WorkUnknown: the contract is not the vendor's own.
    """
    contract = await vendor_contract(session, actor, request_id, contract_id)
    rules = await load_rules(session, request_id)
    names = {"request": request_id, "contract": contract_id, "rows": _LOOKED_AT}
    tasks = (await session.execute(_DOUBTS, {**names, "most": rules.plan.overlap_max})).all()
    workers = (await session.execute(_WORKERS, {**names, "prior": PRIOR_ACCURACY})).all()
    met = {row.worker_id: frozenset(row.seen_blocks) for row in workers}
    price = contract.unit_price / PRICE_SCALE / 10 ** EXPONENTS[contract.currency]
    by_class = rules.spec.kind in CHOICE_KINDS
    views: list[DoubtView] = []
    for task in tasks:
        shares = _posterior(task.confidence, task.distribution, by_class=by_class)
        free = [row for row in workers if task.block not in met[row.worker_id]][:NAMED_WORKERS]
        best = [_adviser(row, shares, price) for row in free]
        views.append(
            DoubtView(external_id=task.external_id, confidence=task.confidence, answers=task.answers, best=best)
        )
    views.sort(key=lambda view: -max((adviser.gain for adviser in view.best), default=0.0))
    return views[:limit]


def _adviser(row: Row[Any], shares: npt.NDArray[np.float64], price: float) -> Adviser:
    return Adviser(
        worker_id=row.worker_id,
        accuracy=row.accuracy,
        low=row.low,
        high=row.high,
        gain=expected_gain(shares, row.accuracy),
        gain_per_price=gain_per_price(shares, row.accuracy, price),
    )


def _posterior(confidence: float, distribution: Mapping[str, Any], *, by_class: bool) -> npt.NDArray[np.float64]:
    """Return the shares of a label's classes, or of it being right and wrong where there are none."""
    if by_class and len(distribution) >= _LEAST_CLASSES:
        shares = np.array(list(distribution.values()), dtype=np.float64)
        if shares.sum() > 0:
            return np.asarray(shares / shares.sum(), dtype=np.float64)
    return np.array([confidence, 1 - confidence])
