"""The gold gate's operating characteristic: how many bundles of workers of a known accuracy it lets through.

Exact for answers that are right independently of each other with one probability, a second try included; it goes
through all counts of right gold answers, of the record (binomial) and of each try.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from math import comb
from typing import Final

from marketplace.quality.gates.facts import Tally
from marketplace.quality.gates.gold_accuracy import decide
from marketplace.quality.states import Outcome

ACCURACIES: Final = (0.5, 0.6, 0.8, 0.9, 0.95)
RECORDS: Final = (0, 20, 30)
"""After how many gold answers a bundle is looked at; 0 is the first bundle."""
_LEAST: Final = 1e-9
"""Paths that are less likely are left out."""


@dataclass(frozen=True, slots=True)
class GoldRule:
    """What decides: `gold` tasks a bundle, the share `bar` of them, the `level` of the bound, further tries."""

    gold: int
    bar: float
    level: float
    max_reworks: int


@dataclass(frozen=True, slots=True)
class Passes:
    """The share of bundles that pass, of workers with `accuracy` who have answered `gold_seen` gold tasks before."""

    accuracy: float
    gold_seen: int
    passes: float
    at_once: float
    """Of these, without a second try."""


@lru_cache(maxsize=256)
def characteristic(rule: GoldRule) -> tuple[Passes, ...]:
    """Return the characteristic at `ACCURACIES` and `RECORDS`."""
    return tuple(pass_share(rule, accuracy, seen) for seen in RECORDS for accuracy in ACCURACIES)


def pass_share(rule: GoldRule, accuracy: float, seen: int) -> Passes:
    """Return how many of these workers' bundles pass; with no gold in a bundle all do."""
    tries = _binomial(rule.gold, accuracy)
    states = {(right, 0): weight for right, weight in _binomial(seen, accuracy).items()}
    passed = [0.0] * (rule.max_reworks + 1)
    for number in range(rule.max_reworks + 1):
        again: defaultdict[tuple[int, int], float] = defaultdict(float)
        for (record, earlier), weight in states.items():
            for right, chance in tries.items():
                path = weight * chance
                if path < _LEAST:
                    continue
                outcome = decide(
                    Tally(right, rule.gold),
                    Tally(earlier, number * rule.gold),
                    Tally(record + right, seen + (number + 1) * rule.gold),
                    rule.bar,
                    rule.level,
                )
                if outcome is Outcome.ACCEPTED:
                    passed[number] += path
                elif outcome is Outcome.REWORK:
                    again[record + right, earlier + right] += path
        states = again
    return Passes(accuracy, seen, min(sum(passed), 1.0), min(passed[0], 1.0))


def _binomial(count: int, share: float) -> dict[int, float]:
    chances = {k: comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(count + 1)}
    return {k: chance for k, chance in chances.items() if chance >= _LEAST}
