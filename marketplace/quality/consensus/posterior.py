"""Bayes' rule for votes: K classes, workers of known accuracy, errors spread evenly over the other classes.

This is the one-coin model (Dawid and Skene 1979 with one parameter a worker); with equal accuracies its most probable
class is the majority's.
"""

import hashlib
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

_MOST: Final = 0.99
_EQUAL: Final = 1e-9
OPEN_CLASSES: Final = 10
"""How many answers an open question is taken to have, at least: what is not agreed on is spread over these."""


def vote_weight(accuracy: float, classes: int) -> float:
    """Return the log-odds that one vote adds to its class: ln(a·(K−1)/(1−a)); 0 for chance and below.

    A worker below chance is not turned around: nobody's wrong answers are taken for right ones.
    """
    bounded = min(max(accuracy, 1 / classes), _MOST)
    return float(np.log(bounded * (classes - 1) / (1 - bounded)))


def posterior(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the probabilities of classes from their summed log-odds (uniform prior)."""
    odds = np.exp(scores - scores.max())
    return np.asarray(odds / odds.sum(), dtype=np.float64)


def pick(task: UUID, probabilities: npt.NDArray[np.float64], names: Sequence[str]) -> int:
    """Return the most probable class; among equals the one a hash of task and class puts first."""
    best = np.flatnonzero(probabilities >= probabilities.max() - _EQUAL)
    if len(best) == 1:
        return int(best[0])
    return int(min(best, key=lambda index: hashlib.sha256(task.bytes + names[int(index)].encode()).digest()))


def cluster_confidence(agrees: Sequence[bool], accuracy: Sequence[float]) -> float:
    """Return the probability that an open answer is right, given who agrees with it.

    Whoever disagrees votes for an answer of their own; the answers nobody gave share what is left, so that a single
    worker's answer is as probable as the worker is accurate.
    """
    dissent = sum(not agreed for agreed in agrees)
    classes = max(OPEN_CLASSES, dissent + 2)
    scores = np.zeros(classes)
    other = 1
    for agreed, value in zip(agrees, accuracy, strict=True):
        weight = vote_weight(value, classes)
        if agreed:
            scores[0] += weight
        else:
            scores[other] += weight
            other += 1
    return float(posterior(scores)[0])
