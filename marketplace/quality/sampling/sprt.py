"""Wald's sequential probability ratio test on the share of wrong items, truncated where a single plan would stop.

A. Wald, "Sequential Tests of Statistical Hypotheses", Annals of Mathematical Statistics 16 (1945) 117-186, §5.3: after
n items with d wrong ones,

    accept when d <= s·n - h0,    reject when d >= s·n + h1,    else look at another one,

    g = ln(p1 (1 - p0) / (p0 (1 - p1))),    s = ln((1 - p0) / (1 - p1)) / g,
    h0 = ln((1 - α) / β) / g,               h1 = ln((1 - β) / α) / g.

Two stops are added that change no decision: what can no longer be accepted is rejected at once, what can no longer be
rejected accepted (curtailment). At `limit` items the single plan's acceptance number decides.

The probabilities below are exact for items drawn from a large lot (binomial), by going through all pairs (n, d).
"""

from dataclasses import dataclass
from enum import StrEnum
from math import ceil, floor, log

import numpy as np

_ROUNDING = 1e-9
"""What a bound may be off by before it counts as the next whole number."""


class Step(StrEnum):
    """What a plan says after an item."""

    GO_ON = "go_on"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Wald:
    """The two parallel lines of the test: slope `s` (wrong items an item), `h0` and `h1` (wrong items)."""

    slope: float
    h0: float
    h1: float


@dataclass(frozen=True, slots=True)
class Risks:
    """What a plan does to lots with a share `p` of wrong items: how often it accepts, how many items it looks at."""

    p: float
    accepted: float
    mean_items: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """A plan ready to decide: at most `limit` items, accepted there with at most `accept_number` wrong ones.

    Without `wald` it is a single plan, which the curtailment alone may end early.
    """

    limit: int
    accept_number: int
    wald: Wald | None = None

    def accept_at(self, items: int) -> int:
        """Return how many wrong ones of `items` still accept now; -1 when none would."""
        certain = self.accept_number - (self.limit - items)
        if self.wald is None:
            return max(certain, -1)
        by_line = floor(self.wald.slope * items - self.wald.h0 + _ROUNDING)
        return max(certain, min(by_line, self.accept_number), -1)

    def reject_at(self, items: int) -> int:
        """Return from how many wrong ones of `items` on the lot is rejected now."""
        if self.wald is None:
            return self.accept_number + 1
        by_line = ceil(self.wald.slope * items + self.wald.h1 - _ROUNDING)
        return min(max(by_line, self.accept_at(items) + 1), self.accept_number + 1)

    def step(self, items: int, wrong: int) -> Step:
        """Return what follows from `wrong` wrong ones of `items`."""
        if wrong <= self.accept_at(items):
            return Step.ACCEPTED
        if wrong >= self.reject_at(items):
            return Step.REJECTED
        return Step.GO_ON


def wald_lines(p0: float, p1: float, alpha: float, beta: float) -> Wald:
    """Return the lines that tell a share p0 of wrong items from a share p1.

    `alpha` is the risk to reject at p0, `beta` the risk to accept at p1.

    Raises:
        ValueError: not 0 < p0 < p1 < 1, or not 0 < alpha, beta and alpha + beta < 1.
    """
    if not 0 < p0 < p1 < 1:
        raise ValueError("0 < p0 < p1 < 1 must hold")
    if not (alpha > 0 and beta > 0 and alpha + beta < 1):
        raise ValueError("alpha and beta must be greater than 0, and their sum less than 1")
    g = log(p1 * (1 - p0) / (p0 * (1 - p1)))
    return Wald(log((1 - p0) / (1 - p1)) / g, log((1 - alpha) / beta) / g, log((1 - beta) / alpha) / g)


def risks_at(bounds: Bounds, p: float) -> Risks:
    """Return the exact share of lots accepted and the mean number of items looked at, for a share p of wrong ones."""
    open_ = np.zeros(bounds.accept_number + 2)
    open_[0] = 1.0
    accepted = mean_items = 0.0
    for items in range(1, bounds.limit + 1):
        mean_items += float(open_.sum())
        open_[1:], open_[0] = open_[1:] * (1 - p) + open_[:-1] * p, open_[0] * (1 - p)
        low, high = bounds.accept_at(items), bounds.reject_at(items)
        accepted += float(open_[: low + 1].sum())
        open_[: low + 1] = 0.0
        open_[high:] = 0.0
    return Risks(p, accepted, mean_items)
