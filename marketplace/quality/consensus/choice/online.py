"""The posterior of one task from a stored model: K × labels multiply-adds, for use within a transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from marketplace.quality.consensus.choice.calibration import word
from marketplace.quality.consensus.choice.fit import ChoiceFit
from marketplace.quality.consensus.choice.matrices import log_classes, log_matrices, tilted
from marketplace.quality.consensus.choice.passes import normalise
from marketplace.quality.consensus.choice.settings import ChoiceSettings
from marketplace.quality.consensus.choice.votes import Floats

_DIGITS = 6
_DEFAULT_RIGHT = (0.8, 0.2)


@dataclass(frozen=True, slots=True)
class StoredChoice:
    """A model read back: classes, log prior, and log matrices `[label, true class]` by worker's name.

    A worker who is not in `logs` has `other`, the crowd's. `words` is what a worker's vote is worth in the share of
    votes, 1 on average.
    """

    classes: tuple[str, ...]
    log_prior: Floats
    logs: Mapping[str, Floats]
    other: Floats
    words: Mapping[str, float]


def stored(fit: ChoiceFit, classes: Sequence[str], workers: Sequence[str], settings: ChoiceSettings) -> dict[str, Any]:
    """Return JSON of a fit: per worker (right, wrong) for one coin, else the counts that differ from nothing."""
    common: dict[str, Any] = {
        "model": fit.record.model,
        "classes": list(classes),
        "class_counts": _rounded(fit.class_counts),
    }
    common["usual_word"] = fit.usual_word
    if fit.alpha.ndim == 2:
        pairs = {name: _rounded(fit.alpha[code]) for code, name in enumerate(workers)}
        return {**common, "workers": pairs, "crowd": _rounded(fit.alpha.sum(axis=0))}
    matrices = {name: _rounded(fit.alpha[code].ravel()) for code, name in enumerate(workers)}
    return {**common, "workers": matrices, "crowd": _rounded(fit.pool.ravel()), "shrinkage": settings.shrinkage}


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), _DIGITS) for value in values]


def read(parameters: Mapping[str, Any], names: set[str] | None = None) -> StoredChoice:
    """Read what `stored` wrote; only the workers in `names`, if given, since a task has few."""
    classes = tuple(parameters["classes"])
    size, usual = len(classes), float(parameters["usual_word"])
    chosen = {name: row for name, row in parameters["workers"].items() if names is None or name in names}
    log_prior = log_classes(np.array(parameters["class_counts"], dtype=np.float64))
    if parameters["model"] == "one_coin":
        logs = {name: _coin(row, size) for name, row in chosen.items()}
        words = {name: _word(row[0], sum(row), size, usual) for name, row in chosen.items()}
        return StoredChoice(classes, log_prior, logs, _coin(parameters["crowd"], size), words)
    pool = np.array(parameters["crowd"]).reshape(size, size)
    nobody = float(parameters["shrinkage"]) * tilted(np.zeros((1, size, size)), pool, 1.0)[0]
    logs = {name: log_matrices(_matrix(row, size)) for name, row in chosen.items()}
    words = {name: _word(sum(row[:: size + 1]), sum(row), size, usual) for name, row in chosen.items()}
    return StoredChoice(classes, log_prior, logs, log_matrices(nobody), words)


def _word(right: float, total: float, size: int, usual: float) -> float:
    accuracy = np.array([right / max(total, 1e-9)])
    return float(word(accuracy, max(size, 2))[0] / usual)


def _matrix(row: Sequence[float], size: int) -> Floats:
    return np.maximum(np.array(row, dtype=np.float64).reshape(size, size), 10.0**-_DIGITS)


def _coin(row: Sequence[float], size: int) -> Floats:
    right, wrong = row if sum(row) > 0 else _DEFAULT_RIGHT
    pair = log_matrices(np.array([[max(right, 1e-6)], [max(wrong, 1e-6)]]))[:, 0]
    spread = float(pair[1] - np.log(max(size - 1, 1)))
    return np.asarray(np.full((size, size), spread) + np.eye(size) * (pair[0] - spread), dtype=np.float64)


def task_posterior(model: StoredChoice, votes: Sequence[tuple[str, int]]) -> Floats:
    """Return the raw posterior of a task from its (worker, class code) votes, whatever their order."""
    scores = model.log_prior.copy()
    for worker, label in sorted(votes):
        scores += model.logs.get(worker, model.other)[label]
    row = scores[None]
    normalise(row)
    return np.asarray(row[0], dtype=np.float64)


def weighed_votes(model: StoredChoice, votes: Sequence[tuple[str, int]]) -> Floats:
    """Return the votes of a task by class, each worth its worker's word; an unknown worker's counts as usual."""
    counts = np.zeros(len(model.classes))
    for worker, label in sorted(votes):
        counts[label] += model.words.get(worker, 1.0)
    return counts
