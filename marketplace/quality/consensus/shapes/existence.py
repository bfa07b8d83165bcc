"""Whether an object that somebody marked is there: Dawid and Skene's model with the classes "there" and "not there".

A worker marks an object that is there with probability `recall`, and one that somebody else imagined with probability
`false_mark`. Both have Beta priors worth `STRENGTH` objects, so that one who saw few objects is taken for an average
worker. The fit is EM on the posterior (MAP); its objective never falls (Dempster, Laird and Rubin 1977).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RECALL: Final = 0.8
FALSE_MARK: Final = 0.2
STRENGTH: Final = 4.0
THERE: Final = 0.7
"""The prior share of marked objects that are there; worth `STRENGTH` objects too."""
_MOST_ITERATIONS: Final = 100
_TOLERANCE: Final = 1e-7


@dataclass(frozen=True, slots=True)
class Sightings:
    """Who could have marked which object, and who did: parallel arrays of one row a (object, worker) pair.

    `known` is per object: 1 there, 0 not there, −1 not known.
    """

    object: Ints
    worker: Ints
    marked: npt.NDArray[np.bool_]
    known: Ints
    workers: int


@dataclass(frozen=True, slots=True)
class Existence:
    """The fit: the probability that each object is there, workers' error rates, and the objective by iteration."""

    probability: Floats
    recall: Floats
    false_mark: Floats
    there: float
    objective: tuple[float, ...]
    converged: bool


def log_odds(recall: Floats, false_mark: Floats, marked: npt.NDArray[np.bool_]) -> Floats:
    """Return what each sighting adds to the log-odds that the object is there."""
    return np.where(marked, np.log(recall / false_mark), np.log((1 - recall) / (1 - false_mark)))


def fit_existence(seen: Sightings) -> Existence:
    """Fit by EM from the prior rates; with no object at all the prior is what comes out."""
    recall, false_mark, there = np.full(seen.workers, RECALL), np.full(seen.workers, FALSE_MARK), THERE
    objective: list[float] = []
    while True:
        probability, likelihood = _expect(seen, recall, false_mark, there)
        objective.append(likelihood + _log_prior(recall, false_mark, there))
        settled = len(objective) > 1 and objective[-1] - objective[-2] <= _TOLERANCE * abs(objective[-1])
        if settled or len(objective) >= _MOST_ITERATIONS:
            return Existence(probability, recall, false_mark, there, tuple(objective), settled)
        share = probability[seen.object]
        recall = _rate(seen, share, RECALL)
        false_mark = _rate(seen, 1 - share, FALSE_MARK)
        there = float((probability.sum() + STRENGTH * THERE) / (len(probability) + STRENGTH))


def _expect(seen: Sightings, recall: Floats, false_mark: Floats, there: float) -> tuple[Floats, float]:
    count = len(seen.known)
    hit = np.log(np.where(seen.marked, recall[seen.worker], 1 - recall[seen.worker]))
    miss = np.log(np.where(seen.marked, false_mark[seen.worker], 1 - false_mark[seen.worker]))
    yes = np.log(there) + np.bincount(seen.object, weights=hit, minlength=count)
    no = np.log(1 - there) + np.bincount(seen.object, weights=miss, minlength=count)
    yes = np.where(seen.known == 0, -np.inf, yes)
    no = np.where(seen.known == 1, -np.inf, no)
    both = np.logaddexp(yes, no)
    return np.exp(yes - both), float(both.sum())


def _rate(seen: Sightings, share: Floats, prior: float) -> Floats:
    marks = np.bincount(seen.worker, weights=share * seen.marked, minlength=seen.workers)
    chances = np.bincount(seen.worker, weights=share, minlength=seen.workers)
    return np.asarray((marks + STRENGTH * prior) / (chances + STRENGTH), dtype=np.float64)


def _log_prior(recall: Floats, false_mark: Floats, there: float) -> float:
    """Return the log density of the Beta priors, in the form whose mode is the estimate in `_rate`."""

    def beta(rate: Floats, prior: float) -> float:
        return float((STRENGTH * (prior * np.log(rate) + (1 - prior) * np.log(1 - rate))).sum())

    return beta(recall, RECALL) + beta(false_mark, FALSE_MARK) + beta(np.array([there]), THERE)
