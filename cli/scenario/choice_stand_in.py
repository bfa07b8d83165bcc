"""A Dawid–Skene model of choices that stands in until the engine's own is there; the same interface."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import digamma

Floats = npt.NDArray[np.float64]
_SURE: Final = 1e-5
_FLOOR: Final = 1e-10


@dataclass(frozen=True)
class Votes:
    """Judgments in columns: worker `worker[i]` gave task `task[i]` the class `label[i]`, all numbered from 0."""

    task: npt.NDArray[np.int32]
    worker: npt.NDArray[np.int32]
    label: npt.NDArray[np.int32]
    tasks: int
    workers: int
    classes: int


@dataclass(frozen=True)
class ChoiceSettings:
    """The model: "auto" shrinks each worker's matrix to the pooled one, "dawid_skene" does not; the iterations."""

    model: Literal["auto", "dawid_skene"] = "auto"
    iterations: int = 60


@dataclass(frozen=True)
class ChoiceFit:
    """Per task the posterior (tasks × classes), the label (its class) and the confidence in it."""

    posterior: Floats
    label: npt.NDArray[np.intp]
    confidence: Floats


def fit_choice(
    votes: Votes, gold: Mapping[int, int] | None = None, *, settings: ChoiceSettings | None = None, seed: int = 0
) -> ChoiceFit:
    """Return the consensus of each task; `gold` holds the true classes of some tasks."""
    wanted = settings or ChoiceSettings()
    plain = wanted.model == "dawid_skene"
    cells = votes.worker.astype(np.int64) * votes.classes + votes.label
    shape = (votes.tasks, votes.workers * votes.classes)
    seen = sparse.csr_matrix((np.ones(len(cells), dtype=np.float32), (votes.task, cells)), shape=shape)
    posterior = np.zeros((votes.tasks, votes.classes))
    np.add.at(posterior, (votes.task, votes.label), 1.0)
    posterior[posterior.sum(1) == 0] = 1.0  # nobody answered
    posterior /= posterior.sum(1, keepdims=True)
    for _ in range(wanted.iterations):
        weights = _weights(seen, posterior, votes, plain=plain)
        scores = seen @ weights.reshape(-1, votes.classes)
        prior = posterior.mean(0) if plain else (posterior.sum(0) + 1) / (votes.tasks + votes.classes)
        scores += np.log(np.maximum(prior, _FLOOR))
        scores -= scores.max(1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(1, keepdims=True)
        for task, known in (gold or {}).items():
            scores[task] = np.arange(votes.classes) == known
        moved = float(np.abs(scores - posterior).max())
        posterior = scores
        if not plain and moved < _SURE:
            break
    best = posterior >= posterior.max(1, keepdims=True) - 1e-9
    label = (best * np.random.default_rng(seed).random(best.shape)).argmax(1)
    return ChoiceFit(posterior, label, posterior.max(1))


def _weights(seen: sparse.csr_matrix, posterior: Floats, votes: Votes, *, plain: bool) -> npt.NDArray[np.float32]:
    """Return the logarithms of workers' matrices, (workers, label given, true class)."""
    counts = (seen.T @ posterior).reshape(votes.workers, votes.classes, votes.classes)
    if plain:
        matrix = np.maximum(counts, _FLOOR)
        return np.asarray(np.log(matrix / matrix.sum(1, keepdims=True)), dtype=np.float32)
    pool = counts.sum(0) + 0.7 * np.eye(votes.classes) + 0.3 / votes.classes
    counts = counts + 4.0 * (pool / pool.sum(0))
    return np.asarray(digamma(counts) - digamma(counts.sum(1, keepdims=True)), dtype=np.float32)
