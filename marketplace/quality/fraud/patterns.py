"""Bots: answers that repeat themselves with a period, whatever is asked; and runs that are too fast, which only flag.

A worker's answers in the order of their sheets are compared with those `period` before; period 1 is a constant answer.
An honest worker's would match with q = Σ_k h_k h'_k, where h is what the pooled crowd says to a task of that
posterior; the number of matches has an exact tail (Poisson binomial), corrected for the periods tried (Bonferroni).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from marketplace.quality.fraud.tails import at_least

PERIODS: Final = (1, 2, 3, 4, 5, 6)
FALSE_ALARMS: Final = 1e-3
"""How many of a thousand honest workers are called bots, all periods together; per request, before any person looks."""
MIN_MATCH_SHARE: Final = 0.9
"""A pattern holds nearly always; a crowd's slight habits do not, however many answers make them certain."""
MIN_COMPARED: Final = 20
FAST_RUN: Final = 5

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PatternFinding:
    """The shortest period that stands, else the one least like honest work; the share that repeats, and its p-value.

    Without a period that holds nearly always there is nothing to test: no period, no p-value.
    """

    period: int | None
    match_share: float
    p_value: float | None
    is_bot: bool


def find_pattern(sheets: Sequence[npt.NDArray[np.int64]], honest: Sequence[Floats]) -> PatternFinding:
    """Judge one worker: label codes of each sheet in order, and beside them what the crowd would say (n × classes)."""
    best = PatternFinding(None, 0.0, None, is_bot=False)
    for period in PERIODS:
        pairs = [(codes, h) for codes, h in zip(sheets, honest, strict=True) if len(codes) > period]
        matches = sum(int((codes[period:] == codes[:-period]).sum()) for codes, _ in pairs)
        if not pairs:
            break
        chances = np.concatenate([(h[period:] * h[:-period]).sum(axis=1) for _, h in pairs]).clip(0.0, 1.0)
        if len(chances) < MIN_COMPARED:
            continue
        share = matches / len(chances)
        if share < MIN_MATCH_SHARE:  # no pattern, whatever its tail, whose cost is quadratic
            continue
        p_value = min(1.0, at_least(matches, chances) * len(PERIODS))
        found = PatternFinding(period, share, p_value, p_value <= FALSE_ALARMS)
        if found.is_bot:  # the shortest period says it: its multiples hold as well
            return found
        if best.p_value is None or p_value < best.p_value:
            best = found
    return best


def longest_fast_run(seconds: Sequence[float], floor: float) -> int:
    """Return the length of the longest run of answers given faster than `floor` seconds each."""
    longest = run = 0
    for each in seconds:
        run = run + 1 if each < floor else 0
        longest = max(longest, run)
    return longest
