"""Workers' accuracies from the answers themselves: one step of one-coin EM that gold and a prior hold in place.

Dawid and Skene (1979) with one parameter a worker, and each worker's accuracy a Beta posterior: the prior's
`PRIOR_STRENGTH` answers, the gold answers, and the expected number of agreements with the vote. One step and no more:
going on to convergence overfits (it falls under the majority on public sets, on some of them far).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from marketplace.quality.consensus.engine import AnswerRow, GoldRecord
from marketplace.quality.policy import PRIOR_ACCURACY, PRIOR_STRENGTH

_MOST: Final = 0.99

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Votes:
    """Choices as codes: vote `i` is by `worker[i]` on `task[i]` for class `label[i]`."""

    task: Ints
    worker: Ints
    label: Ints
    tasks: int
    classes: int
    workers: tuple[UUID, ...]


def encode(rows: Iterable[tuple[AnswerRow, str]], classes: int) -> Votes:
    """Turn (answer, class name) pairs into codes, in the order of tasks and workers, whatever order they come in."""
    tasks: dict[UUID, int] = {}
    workers: dict[UUID, int] = {}
    names: dict[str, int] = {}
    codes = [
        (
            tasks.setdefault(row.task, len(tasks)),
            workers.setdefault(row.worker, len(workers)),
            names.setdefault(name, len(names)),
        )
        for row, name in sorted(rows, key=lambda pair: (pair[0].task, pair[0].worker))
    ]
    table = np.array(codes, dtype=np.int64).reshape(-1, 3)
    return Votes(table[:, 0], table[:, 1], table[:, 2], len(tasks), max(classes, len(names), 2), tuple(workers))


def learn_accuracies(votes: Votes, gold: Mapping[UUID, GoldRecord]) -> dict[UUID, float]:
    """Return each worker's accuracy: gold and the prior, then the expected agreement with the vote so weighted."""
    records = [gold.get(worker, GoldRecord(0, 0)) for worker in votes.workers]
    right = np.array([record.right for record in records], dtype=np.float64) + PRIOR_STRENGTH * PRIOR_ACCURACY
    seen = np.array([record.seen for record in records], dtype=np.float64) + PRIOR_STRENGTH
    count = len(votes.workers)
    given = np.bincount(votes.worker, minlength=count)
    probabilities = task_posteriors(votes, right / seen)
    agreed = np.bincount(votes.worker, weights=probabilities[votes.task, votes.label], minlength=count)
    accuracy = (right + agreed) / (seen + given)
    return {worker: float(value) for worker, value in zip(votes.workers, accuracy, strict=True)}


def task_posteriors(votes: Votes, accuracy: Floats) -> Floats:
    """Return the posterior of every task, tasks × classes."""
    bounded = np.clip(accuracy, 1 / votes.classes, _MOST)
    weight = np.log(bounded * (votes.classes - 1) / (1 - bounded))
    flat = np.bincount(
        votes.task * votes.classes + votes.label, weights=weight[votes.worker], minlength=votes.tasks * votes.classes
    )
    scores = flat.reshape(votes.tasks, votes.classes)
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float64)
