"""The arithmetic of skills: a Beta posterior over evidence that fades. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from marketplace.quality.policy import PRIOR_ACCURACY, PRIOR_STRENGTH, beta_interval

HALF_LIFE_DAYS: Final = 180.0
"""After half a year without work half of what was known is left: long enough to keep a season's work, short enough that
a skill follows what a worker does now (guidelines and subjects drift within a year)."""
INTERVAL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one request says of a worker: right and wrong answers in units of gold answers, and how old it is."""

    right: float
    wrong: float
    age_days: float


@dataclass(frozen=True, slots=True)
class SkillValue:
    """A skill from 0 to 100: posterior mean, 95 % interval, and the gold answers it is worth after fading."""

    value: float
    low: float
    high: float
    evidence: float


def consensus_weight(confidence: float) -> float:
    """Return what a comparison with a consensus is worth, in gold answers: 2c − 1, nothing at a coin flip.

    `confidence` is the calibrated probability that the consensus is right.
    """
    return min(max(2 * confidence - 1, 0.0), 1.0)


def skill_of(evidence: Iterable[Evidence]) -> SkillValue:
    """Return the skill that this evidence makes: Beta(prior + Σ fading·right, prior + Σ fading·wrong).

    Nobody known stands at the prior, a mean of `PRIOR_ACCURACY` worth `PRIOR_STRENGTH` answers.
    """
    right = wrong = 0.0
    for each in evidence:
        fading = 0.5 ** (max(each.age_days, 0.0) / HALF_LIFE_DAYS)
        right += fading * each.right
        wrong += fading * each.wrong
    a, b = PRIOR_STRENGTH * PRIOR_ACCURACY + right, PRIOR_STRENGTH * (1 - PRIOR_ACCURACY) + wrong
    low, high = beta_interval(a, b, INTERVAL).tolist()
    return SkillValue(100 * a / (a + b), 100 * low, 100 * high, right + wrong)
