"""One accuracy a worker, errors spread evenly over the other classes: for crowds whose matrices would be too large."""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, digamma, gammaln

from marketplace.quality.consensus.choice.passes import normalise
from marketplace.quality.consensus.choice.settings import ChoiceSettings
from marketplace.quality.consensus.choice.votes import Floats, Ints, Votes


@dataclass(frozen=True, slots=True)
class Coins:
    """A fit: posteriors, right and wrong answers (prior included) of each worker, class counts, and the bounds."""

    posterior: Floats
    right: Floats
    wrong: Floats
    classes: Floats
    values: tuple[float, ...]
    converged: bool


def fit_coins(votes: Votes, known: Ints | None, settings: ChoiceSettings) -> Coins:
    """Fit by variational Bayes with a Beta prior around the crowd's first agreement with the shares of votes."""
    size, flat = votes.tasks * votes.classes, votes.task.astype(np.int64) * votes.classes + votes.label
    given = np.bincount(votes.worker, minlength=votes.workers).astype(np.float64)
    shares = np.bincount(flat, minlength=size).reshape(votes.tasks, votes.classes).astype(np.float64)
    empty = shares.sum(axis=1) == 0
    shares[empty] = 1.0
    posterior = _clamp(shares / shares.sum(axis=1, keepdims=True), known)
    base = (posterior[votes.task, votes.label].sum() + 1) / (len(votes) + 1.5)
    first, second = settings.ability_strength * base, settings.ability_strength * (1 - base)
    values: list[float] = []
    converged = False
    for _ in range(settings.iterations):
        right = np.bincount(votes.worker, weights=posterior[votes.task, votes.label], minlength=votes.workers)
        x, z, nu = right + first, given - right + second, posterior.sum(axis=0) + 1
        hit, miss = digamma(x) - digamma(x + z), digamma(z) - digamma(x + z) - np.log(votes.classes - 1)
        log_prior = digamma(nu) - digamma(nu.sum())
        found = np.bincount(flat, weights=(hit - miss)[votes.worker], minlength=size).reshape(shares.shape) + log_prior
        value = (given @ miss) + _evidence(found, known)
        value += float((betaln(x, z) - betaln(first, second)).sum())
        value -= float(((x - first) * hit + (z - second) * (miss + np.log(votes.classes - 1))).sum())
        value -= gammaln(nu.sum()) - gammaln(nu).sum() - gammaln(len(nu)) + float(((nu - 1) * log_prior).sum())
        values.append(float(value))
        found = _clamp(found, known)
        converged = float(np.abs(found - posterior).max(initial=0.0)) < settings.tolerance
        posterior = found
        if converged:
            break
    return Coins(posterior, x, z, nu - 1, tuple(values), converged)


def _evidence(scores: Floats, known: Ints | None) -> float:
    rows = np.flatnonzero(known >= 0) if known is not None else np.zeros(0, dtype=np.intp)
    own = float(scores[rows, known[rows]].sum()) if known is not None else 0.0
    sums = normalise(scores)
    sums[rows] = 0
    return float(sums.sum()) + own


def _clamp(found: Floats, known: Ints | None) -> Floats:
    if known is not None:
        rows = np.flatnonzero(known >= 0)
        found[rows] = 0
        found[rows, known[rows]] = 1
    return found
