"""One factor that makes confidences honest: chosen on gold, shrunk to doing nothing while there is little of it.

A one-parameter form of Platt's scaling ("Probabilistic Outputs for Support Vector Machines", 1999), as the temperature
of Guo et al., "On Calibration of Modern Neural Networks", ICML 2017: it keeps the order of a task's confidences.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from marketplace.quality.consensus.engine import Calibration

Floats = npt.NDArray[np.float64]

FACTORS: Final = np.exp(np.linspace(np.log(0.25), np.log(8.0), 71))
"""The factors tried: on spreads, or the temperatures that log-odds are divided by."""
LEAST_GOLD: Final = 10
"""How many tasks of known truth a calibration needs."""
_DOUBT: Final = 1.0
_SURE: Final = 1e-6


def calibrate(method: str, said: Floats, hit: npt.NDArray[np.bool_]) -> Calibration:
    """Choose the factor: `said[f, i]` is what task `i` would be said to be right with under `FACTORS[f]`.

    `hit[i]` is whether it was. Maximum a posteriori; the logarithm of the factor is normal around 0 with deviation 1.
    """
    if len(hit) < LEAST_GOLD:
        return Calibration()
    sure = np.clip(said, _SURE, 1 - _SURE)
    score = np.where(hit, np.log(sure), np.log1p(-sure)).sum(axis=1) - np.log(FACTORS) ** 2 / (2 * _DOUBT**2)
    return Calibration(method, (float(FACTORS[int(score.argmax())]),), len(hit))


def factor_of(calibration: Calibration) -> float:
    """Return the factor that was chosen; 1 where nothing was."""
    return calibration.parameters[0] if calibration.parameters else 1.0


def tempered(probabilities: Floats, temperature: float) -> Floats:
    """Return p^(1/T) brought to sum 1 along the last axis."""
    logs = np.log(np.maximum(probabilities, 1e-300)) / temperature
    odds = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True), dtype=np.float64)
