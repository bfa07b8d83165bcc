"""Where one more answer tells most."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

import numpy as np
from sqlmodel import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.quality.cases import load_rules
from marketplace.quality.learned_models import RequestSkill
from marketplace.quality.models import Consensus
from marketplace.quality.overlap import expected_gain
from marketplace.quality.policy import PRIOR_ACCURACY
from marketplace.quality.queries import consensus_of
from marketplace.quality.spec import CHOICE_KINDS

_LEAST_CLASSES: Final = 2


async def expected_gains(session: AsyncSession, request_id: UUID, task_ids: Collection[UUID]) -> dict[UUID, float]:
    """Return how many nats an answer of a worker of the request's mean accuracy is expected to tell about each task.

    Tasks without any label yet are left out. For kinds other than choices the question is whether the label is right.
    """
    rules = await load_rules(session, request_id)
    found = await session.exec(select(func.avg(RequestSkill.accuracy)).where(RequestSkill.request_id == request_id))
    accuracy = float(found.one() or PRIOR_ACCURACY)
    by_class = rules.spec.kind in CHOICE_KINDS
    labels = await consensus_of(session, request_id, task_ids)
    return {task: _gain(row, accuracy, by_class=by_class) for task, row in labels.items()}


def _gain(row: Consensus, accuracy: float, *, by_class: bool) -> float:
    shares = np.array([row.confidence, 1 - row.confidence])
    if by_class and len(row.distribution) >= _LEAST_CLASSES:
        shares = np.array(list(row.distribution.values()), dtype=np.float64)
    total = shares.sum()
    return expected_gain(shares / total, accuracy) if total > 0 else 0.0
