"""Honest confidences: one temperature, fitted on gold whose truth the fit did not know."""

from typing import Final

import numpy as np
from scipy.optimize import minimize_scalar

from marketplace.quality.consensus.choice.votes import Floats, Ints
from marketplace.quality.consensus.engine import Calibration

LEAST_GOLD: Final = 20
_PRIOR: Final = 10.0
_TINY: Final = 1e-12


def temper(posterior: Floats, exponent: float) -> Floats:
    """Return the posterior raised to a power (below 1: less sure) and normalised; the order of classes stays."""
    odds = np.exp(exponent * np.log(np.maximum(posterior, _TINY)))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float64)


def calibrate(open_posterior: Floats, gold: Ints, default: float) -> Calibration:
    """Choose the exponent on gold tasks (Guo et al. 2017), from posteriors that did not know their truth.

    With fewer than LEAST_GOLD tasks the default stands. A prior worth ten tasks holds the exponent near the default.
    """
    rows = np.flatnonzero(gold >= 0)
    if len(rows) < LEAST_GOLD:
        return Calibration("fixed", (default,), 0)
    logs, truth = np.log(np.maximum(open_posterior[rows], _TINY)), gold[rows]

    def loss(log_exponent: float) -> float:
        scores = np.exp(log_exponent) * logs
        top = scores.max(axis=1)
        own = scores[np.arange(len(rows)), truth] - top - np.log(np.exp(scores - top[:, None]).sum(axis=1))
        return float(-own.sum() + _PRIOR / 2 * (log_exponent - np.log(default)) ** 2)

    found = minimize_scalar(loss, bounds=(np.log(0.02), np.log(3.0)), method="bounded")
    return Calibration("temperature", (float(np.exp(found.x)),), len(rows))
