"""Pure arithmetic that gates and consensus share: intervals of a share, and smoothed accuracies."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

PRIOR_ACCURACY = 0.8
"""What is assumed of a worker nobody has measured: the middle of the accuracies that crowd sets show (70-90 %)."""
PRIOR_STRENGTH = 4.0
"""How many gold answers that assumption is worth."""
INTERVAL_LEVEL = 0.95
"""One-sided level of the bounds that may reject: one in twenty at the bar itself, and far fewer above it."""


def smoothed_accuracy(right: float, seen: float) -> float:
    """Return the mean of a worker's accuracy: Beta prior of `PRIOR_STRENGTH` answers at `PRIOR_ACCURACY`."""
    return (right + PRIOR_STRENGTH * PRIOR_ACCURACY) / (seen + PRIOR_STRENGTH)


@lru_cache(maxsize=1 << 16)
def jeffreys_upper(right: int, seen: int, level: float = INTERVAL_LEVEL) -> float:
    """Return the one-sided upper Jeffreys bound of a share: the `level` quantile of Beta(right + ½, wrong + ½).

    Brown, Cai and DasGupta, "Interval Estimation for a Binomial Proportion", Statistical Science 16 (2001), §4.3,
    with their convention that the bound is 1 when nothing was wrong.
    """
    return 1.0 if right >= seen else float(betaincinv(right + 0.5, seen - right + 0.5, level))


def jeffreys(right: int, seen: int, level: float = INTERVAL_LEVEL) -> tuple[float, float]:
    """Return the two-sided Jeffreys interval of a share, 0 and 1 where nothing was right or wrong; see above."""
    upper = (1 + level) / 2
    return 1 - jeffreys_upper(seen - right, seen, upper), jeffreys_upper(right, seen, upper)


def beta_interval(right: npt.ArrayLike, wrong: npt.ArrayLike, level: float = INTERVAL_LEVEL) -> npt.NDArray[np.float64]:
    """Return the central interval of shares whose Beta posteriors have these counts, prior included: [low, high]."""
    tail = (1 - level) / 2
    return np.array([betaincinv(right, wrong, tail), betaincinv(right, wrong, 1 - tail)])


def share_of(part: float, whole: float) -> float | None:
    """Return a share; null of nothing."""
    return part / whole if whole else None
