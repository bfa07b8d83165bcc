"""Pure arithmetic that gates and consensus share: intervals of a share, and smoothed accuracies."""

from functools import lru_cache
from math import exp, lgamma, log

PRIOR_ACCURACY = 0.8
"""What is assumed of a worker nobody has measured: the middle of the accuracies that crowd sets show (70-90 %)."""
PRIOR_STRENGTH = 4.0
"""How many gold answers that assumption is worth."""
INTERVAL_LEVEL = 0.95
"""One-sided level of the bounds that may reject: one in twenty at the bar itself, and far fewer above it."""

_MAX_TERMS = 200
_TINY = 1e-300
_PRECISION = 1e-12


def smoothed_accuracy(right: float, seen: float) -> float:
    """Return the mean of a worker's accuracy: Beta prior of `PRIOR_STRENGTH` answers at `PRIOR_ACCURACY`."""
    return (right + PRIOR_STRENGTH * PRIOR_ACCURACY) / (seen + PRIOR_STRENGTH)


@lru_cache(maxsize=1 << 16)
def jeffreys_upper(right: int, seen: int, level: float = INTERVAL_LEVEL) -> float:
    """Return the one-sided upper Jeffreys bound of a share: the `level` quantile of Beta(right + ½, wrong + ½).

    Brown, Cai and DasGupta, "Interval Estimation for a Binomial Proportion", Statistical Science 16 (2001), §4.3,
    with their convention that the bound is 1 when nothing was wrong.
    """
    if right >= seen:
        return 1.0
    return _beta_quantile(level, right + 0.5, seen - right + 0.5)


def _beta_quantile(level: float, a: float, b: float) -> float:
    """Invert the regularized incomplete beta function by bisection (it is monotone)."""
    low, high = 0.0, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if beta_cdf(middle, a, b) < level else (low, middle)
    return (low + high) / 2


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function I_x(a, b), by DLMF 8.17.22's continued fraction."""
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x)) / a
    return front / _continued_fraction(x, a, b)


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Evaluate 1 + d1/(1 + d2/(1 + …)) by Lentz's method."""
    value = c = 1.0
    d = 0.0
    for term in range(1, _MAX_TERMS):
        m = term // 2
        if term % 2:
            coefficient = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            coefficient = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / ((1 + coefficient * d) or _TINY)
        c = (1 + coefficient / c) or _TINY
        value *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return value
