"""Honest confidences: posteriors pooled with the votes, then one temperature fitted on gold that the fit did not know.

Posteriors of models that take workers for independent are too sure, the more so the more votes a task has: shared
errors are not in the model. The share of votes, each weighed by how far its worker is above chance, does not have that
fault, and the mean of both is nearly honest.
"""

from typing import Final

import numpy as np
from scipy.optimize import minimize_scalar

from marketplace.quality.consensus.choice.votes import Floats, Ints
from marketplace.quality.consensus.engine import Calibration

LEAST_GOLD: Final = 20
_PRIOR: Final = 10.0
_TINY: Final = 1e-12
_LEAST_WORD: Final = 0.02


def temper(posterior: Floats, exponent: float) -> Floats:
    """Return the posterior raised to a power (below 1: less sure) and normalised; the order of classes stays."""
    odds = np.exp(exponent * np.log(np.maximum(posterior, _TINY)))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float64)


def word(accuracy: Floats, classes: int) -> Floats:
    """Return what a worker's vote is worth: accuracy above chance, a little for whoever is at chance or below."""
    return np.asarray(np.maximum(accuracy - 1 / classes, _LEAST_WORD), dtype=np.float64)


def blend(posterior: Floats, counts: Floats, exponent: float, weight: float) -> Floats:
    """Return the linear pool (Stone 1961) of tempered posteriors and smoothed shares of votes; rows are tasks.

    `counts` are votes by class, each worth its worker's `word` over the usual one.
    """
    shares = (counts + 1 / counts.shape[1]) / (counts.sum(axis=1, keepdims=True) + 1)
    return np.asarray((1 - weight) * temper(posterior, exponent) + weight * shares, dtype=np.float64)


def honest(posterior: Floats, counts: Floats, calibration: Calibration) -> Floats:
    """Return calibrated probabilities of raw posteriors and counts of votes (both tasks × classes)."""
    if not calibration.parameters:
        return posterior
    exponent, weight, last = calibration.parameters
    return temper(blend(posterior, counts, exponent, weight), last)


def calibrate(blended: Floats, gold: Ints, exponent: float, weight: float) -> Calibration:
    """Choose the last exponent on gold tasks (Guo et al. 2017), from posteriors that did not know their truth.

    With fewer than LEAST_GOLD tasks it is 1. A prior worth ten tasks holds it near 1.
    """
    rows = np.flatnonzero(gold >= 0)
    if len(rows) < LEAST_GOLD:
        return Calibration("fixed", (exponent, weight, 1.0), 0)
    logs, truth = np.log(np.maximum(blended[rows], _TINY)), gold[rows]

    def loss(log_exponent: float) -> float:
        scores = np.exp(log_exponent) * logs
        top = scores.max(axis=1)
        own = scores[np.arange(len(rows)), truth] - top - np.log(np.exp(scores - top[:, None]).sum(axis=1))
        return float(-own.sum() + _PRIOR / 2 * log_exponent**2)

    found = minimize_scalar(loss, bounds=(np.log(0.02), np.log(3.0)), method="bounded")
    return Calibration("temperature", (exponent, weight, float(np.exp(found.x))), len(rows))
