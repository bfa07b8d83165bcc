"""Spammers: workers whose answers say nothing of the truth.

The score is that of Raykar and Yu, "Ranking annotators for crowdsourced labeling tasks" (NIPS 2011):
S = 1/(K(K−1)) Σ_{c<c'} Σ_k (A_ck − A_c'k)², which is 0 for whoever answers the same way whatever is true, and for
two classes without an error 1. Its threshold comes from what an honest worker's score does by chance.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from marketplace.quality.fraud.votes import Fit, Votes

FALSE_ALARMS: Final = 0.01
"""How many of a hundred workers at the honest floor are called spammers; of better ones far fewer are."""
HONEST_FLOOR: Final = 2 / 3
"""The honest floor's matrix: this share of the pooled crowd's matrix, the rest answers without looking."""
SUSPECT: Final = 0.05
"""At this p-value a worker is left out of the crowd against which the second look measures."""
MIN_LABELS: Final = 20
MIN_OF_CLASS: Final = 3.0
"""Expected tasks of a true class that a worker met, below which its row says too little."""
MOST_DRAWS, FEWEST_DRAWS, DRAWN_CELLS = 2_000, 400, 200_000
"""Draws of a null: fewer for many classes, whose matrices are large; 400 still tell one in a hundred."""
_SMOOTHING: Final = 1.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SpammerFinding:
    """A worker's score, and `p_value`: how often an honest worker at the floor scores no better by chance."""

    labels: int
    score: float
    p_value: float | None
    is_spammer: bool


def spammer_score(confusion: Floats) -> Floats:
    """Return S of confusion matrices (…, C, K), a row for each true class of C, in one pass over the rows."""
    classes = confusion.shape[-2]
    squares = (confusion**2).sum(axis=(-1, -2))
    sums = (confusion.sum(axis=-2) ** 2).sum(axis=-1)
    # rounding may leave a little less than nothing
    return np.asarray(np.maximum(classes * squares - sums, 0.0) / (classes * (classes - 1)), dtype=np.float64)


def find_spammers(votes: Votes, fit: Fit, seed: int) -> list[SpammerFinding]:
    """Return a finding for each worker, in their order; below `MIN_LABELS` labels nobody is judged (p_value None).

    The null is simulated for each worker's own counts of true classes, from the floor's matrix; only classes that the
    worker met count. The crowd that the floor is taken from is pooled twice, the second time without those whom the
    first look suspects, or many spammers would hide each other. Deterministic for a seed.
    """
    counts = np.zeros((len(votes.workers) * votes.classes, votes.classes))
    np.add.at(counts, votes.worker * votes.classes + votes.label, fit.posterior[votes.task])
    by_worker = counts.reshape(len(votes.workers), votes.classes, votes.classes).transpose(0, 2, 1)
    labels = np.bincount(votes.worker, minlength=len(votes.workers)).tolist()

    def judge_all(pooled: Floats) -> list[SpammerFinding]:
        dice = np.random.default_rng(seed)
        return [_judge(own, pooled, given, dice) for own, given in zip(by_worker, labels, strict=True)]

    first = judge_all(fit.pooled)
    trusted = np.array([each.p_value is None or each.p_value > SUSPECT for each in first], dtype=bool)
    if trusted.all() or not trusted.any():
        return first
    together = by_worker[trusted].sum(axis=0) + 1.0 / votes.classes
    return judge_all(np.asarray(together / together.sum(axis=1, keepdims=True)))


def _judge(counts: Floats, pooled: Floats, labels: int, dice: np.random.Generator) -> SpammerFinding:
    by_class = counts.sum(axis=1)
    met = np.flatnonzero(by_class >= MIN_OF_CLASS)
    if len(met) < 2:
        return SpammerFinding(labels, 0.0, None, is_spammer=False)
    score = float(spammer_score(_smoothed(counts[met])))
    if labels < MIN_LABELS:
        return SpammerFinding(labels, score, None, is_spammer=False)
    habit = np.average(pooled, axis=0, weights=by_class)
    floor = HONEST_FLOOR * pooled[met] + (1 - HONEST_FLOOR) * habit
    draws = max(FEWEST_DRAWS, min(MOST_DRAWS, DRAWN_CELLS // counts.size))
    drawn = np.stack(
        [dice.multinomial(round(seen), row, size=draws) for seen, row in zip(by_class[met], floor, strict=True)], axis=1
    ).astype(np.float64)
    null = spammer_score(_smoothed(drawn))
    # the observed one counts as one of the draws, so that no p-value is 0
    p_value = float((np.count_nonzero(null <= score) + 1) / (draws + 1))
    return SpammerFinding(labels, score, p_value, is_spammer=p_value <= FALSE_ALARMS)


def _smoothed(counts: Floats) -> Floats:
    """Rows as probabilities, each drawn a little to the worker's own habit, as the same answer whatever is true."""
    habit = counts.sum(axis=-2, keepdims=True)
    habit = habit / np.maximum(habit.sum(axis=-1, keepdims=True), 1.0)
    return np.asarray((counts + _SMOOTHING * habit) / (counts.sum(axis=-1, keepdims=True) + _SMOOTHING))
