"""Choices as codes, and what a small Dawid-Skene model says of them: the input of every test of fraud."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

MOST_CLASSES: Final = 40
"""Rarer classes are taken together as one, so that a label set of thousands keeps a confusion matrix small."""
PSEUDO_COUNTS: Final = 2.0
ITERATIONS: Final = 30
_CONVERGED: Final = 1e-5
_TINY: Final = 1e-9

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Vote(NamedTuple):
    """One answer to a choice: `moment` orders a worker's answers among those of others (any clock)."""

    task: UUID
    worker: UUID
    label: str
    moment: float = 0.0


@dataclass(frozen=True, slots=True)
class Votes:
    """Votes as codes: vote `i` is by `worker[i]` on `task[i]` for class `label[i]` at `moment[i]`.

    `known[t]` is the class of a task whose truth is known, else -1.
    """

    task: Ints
    worker: Ints
    label: Ints
    moment: Floats
    known: Ints
    classes: int
    tasks: tuple[UUID, ...]
    workers: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """Posterior (tasks × classes), and confusion matrices: pooled (classes × classes) and of each worker.

    `confusion[w, c, k]` is the probability that worker w says k where c is true.
    """

    posterior: Floats
    confusion: Floats
    pooled: Floats


def encode(votes: Iterable[Vote], truths: Mapping[UUID, str]) -> Votes:
    """Turn votes into codes, in the order of tasks and workers; a second vote of a worker on a task is dropped."""
    rows = list({(vote.task, vote.worker): vote for vote in sorted(votes)}.values())
    names = _names([row.label for row in rows] + [truths[task] for task in {row.task for row in rows} & truths.keys()])
    tasks = {task: code for code, task in enumerate(sorted({row.task for row in rows}))}
    workers = {worker: code for code, worker in enumerate(sorted({row.worker for row in rows}))}
    return Votes(
        np.array([tasks[row.task] for row in rows], dtype=np.int64),
        np.array([workers[row.worker] for row in rows], dtype=np.int64),
        np.array([names[row.label] for row in rows], dtype=np.int64),
        np.array([row.moment for row in rows], dtype=np.float64),
        np.array([names[truths[task]] if task in truths else -1 for task in tasks], dtype=np.int64),
        max(len(set(names.values())), 2),
        tuple(tasks),
        tuple(workers),
    )


def _names(labels: list[str]) -> dict[str, int]:
    found, counts = np.unique(np.array(labels, dtype=object).astype(str), return_counts=True)
    by_count = sorted(zip(found.tolist(), counts.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    return {name: min(code, MOST_CLASSES - 1) for code, (name, _) in enumerate(by_count)}


def fit(votes: Votes) -> Fit:
    """Fit Dawid and Skene's model (Applied Statistics 28, 1979), workers shrunk to the pooled matrix, gold held fast.

    The shrinkage, `PSEUDO_COUNTS` a row, keeps matrices of few labels honest (hierarchical prior, as in BCC).
    """
    k = votes.classes
    shape = (len(votes.workers), k, k)
    posterior = _held(_vote_shares(votes), votes)
    confusion = pooled = np.empty(0)
    for _ in range(ITERATIONS):
        counts = np.zeros((shape[0] * k, k))
        np.add.at(counts, votes.worker * k + votes.label, posterior[votes.task])
        by_truth = counts.reshape(shape).transpose(0, 2, 1)
        pooled = _rows(by_truth.sum(axis=0) + 1.0 / k)
        confusion = _rows(by_truth + PSEUDO_COUNTS * pooled)
        scores = np.tile(np.log(posterior.mean(axis=0) + _TINY), (len(votes.tasks), 1))
        np.add.at(scores, votes.task, np.log(confusion[votes.worker, :, votes.label] + _TINY))
        fresh = _held(_softmax(scores), votes)
        moved = float(np.abs(fresh - posterior).max(initial=0.0))
        posterior = fresh
        if moved < _CONVERGED:
            break
    return Fit(posterior, confusion, pooled)


def _vote_shares(votes: Votes) -> Floats:
    shares = np.full((len(votes.tasks), votes.classes), _TINY)
    np.add.at(shares, (votes.task, votes.label), 1.0)
    return _rows(shares)


def _held(posterior: Floats, votes: Votes) -> Floats:
    held = posterior.copy()
    fixed = np.flatnonzero(votes.known >= 0)
    held[fixed] = 0.0
    held[fixed, votes.known[fixed]] = 1.0
    return held


def _rows(counts: Floats) -> Floats:
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True), dtype=np.float64)


def _softmax(scores: Floats) -> Floats:
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float64)
