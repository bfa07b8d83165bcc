"""Jeffreys' interval of a share. Pure."""

from typing import Final

from scipy.special import betaincinv

LEVEL: Final = 0.95


def jeffreys(right: int, seen: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the two-sided interval of a share: quantiles of Beta(right + ½, wrong + ½), 0 and 1 where nothing was.

    Brown, Cai and DasGupta, "Interval Estimation for a Binomial Proportion", Statistical Science 16 (2001), §4.3.
    """
    tail = (1 - level) / 2
    a, b = right + 0.5, seen - right + 0.5
    low = 0.0 if right == 0 else float(betaincinv(a, b, tail))
    high = 1.0 if right == seen else float(betaincinv(a, b, 1 - tail))
    return low, high
