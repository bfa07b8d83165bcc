"""Tails of sums of unequal coins, and corrections for many tests."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

Floats = npt.NDArray[np.float64]


def at_least(successes: int, chances: Floats) -> float:
    """Return P(X ≥ successes) for a sum of independent coins with these chances (Poisson binomial), exactly."""
    if successes <= 0:
        return 1.0
    if successes > len(chances):
        return 0.0
    mass = np.zeros(len(chances) + 1)
    mass[0] = 1.0
    for chance in chances:
        mass[1:] = mass[1:] * (1 - chance) + mass[:-1] * chance
        mass[0] *= 1 - chance
    return float(min(mass[successes:].sum(), 1.0))


def z_score(successes: int, chances: Floats) -> float:
    """Return (successes − Σq) / √Σq(1−q); 0 when nothing could have been otherwise."""
    spread = float((chances * (1 - chances)).sum())
    return float((successes - chances.sum()) / np.sqrt(spread)) if spread > 0 else 0.0


def upper_tail(z: float) -> float:
    """Return the normal P(Z ≥ z)."""
    return float(norm.sf(z))


def discoveries(p_values: Sequence[float], rate: float) -> list[bool]:
    """Return which tests stand when at most a share `rate` of those that stand may be false.

    Benjamini and Hochberg, "Controlling the False Discovery Rate", JRSS B 57 (1995): the largest k with
    p(k) ≤ rate·k/m.
    """
    count = len(p_values)
    if count == 0:
        return []
    values = np.asarray(p_values, dtype=np.float64)
    ordered = np.sort(values)
    holds = np.flatnonzero(ordered <= rate * np.arange(1, count + 1) / count)
    if len(holds) == 0:
        return [False] * count
    return [bool(value <= ordered[holds[-1]]) for value in values]
