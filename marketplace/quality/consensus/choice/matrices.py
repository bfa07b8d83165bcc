"""Models of workers as confusion matrices: Dawid and Skene (1979), and its variational form with a hierarchical prior.

A worker's row for true class c has a Dirichlet prior of strength s around the crowd's row, tilted by the worker's one
ability: the crowd's right answers times r, its wrong ones times q, where r and q are the worker's right and wrong
answers over those the crowd's matrix would give. So few answers lean on one ability, and none on the crowd.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, gammaln

from marketplace.quality.consensus.choice.passes import Pass, sweep
from marketplace.quality.consensus.choice.settings import ChoiceSettings
from marketplace.quality.consensus.choice.votes import Floats, Ints, Layout

_LEAST = 1e-10
_LEAST_COIN = 5.0
_COIN_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fit: posteriors, Dirichlet parameters `alpha` `[worker, label, true class]`, class counts, and the bounds."""

    posterior: Floats
    alpha: Floats
    classes: Floats
    pool: Floats
    prior: Floats
    values: tuple[float, ...]
    converged: bool


def log_matrices(alpha: Floats) -> Floats:
    """Return the expected logarithms of Dirichlet rows (labels on the axis before the last)."""
    return np.asarray(digamma(alpha) - digamma(alpha.sum(axis=-2, keepdims=True)), dtype=np.float64)


def log_classes(counts: Floats) -> Floats:
    """Return the expected logarithms of the class prior, Dirichlet with one pseudo-count a class."""
    return np.asarray(digamma(counts + 1) - digamma((counts + 1).sum()), dtype=np.float64)


def crowd_matrix(counts: Floats) -> Floats:
    """Return the crowd's matrix [label, true class], shrunk to that of one coin with the crowd's accuracy.

    The coin weighs half of what a class has on average, and `_LEAST_COIN` answers more: a class that is hardly ever
    true has few answers of its own, and would else learn that whatever was said was meant by it.
    """
    size, own = counts.shape[1], counts.sum(axis=0)
    right = (np.trace(own) + 0.5) / (own.sum() + 1)
    coin = np.full((size, size), (1 - right) / max(size - 1, 1))
    np.fill_diagonal(coin, right)
    pool = own + (_LEAST_COIN + _COIN_SHARE * own.sum() / size) * coin
    return np.asarray(pool / pool.sum(axis=0), dtype=np.float64)


def tilted(counts: Floats, pool: Floats, strength: float) -> Floats:
    """Return each worker's prior mean `[worker, label, true class]`: the crowd's matrix tilted by their ability."""
    index = np.arange(len(pool))
    seen, hit = counts.sum(axis=1), pool[index, index]
    right, given = counts[:, index, index].sum(axis=1), seen.sum(axis=1)
    share = (right.sum() + 0.5) / (given.sum() + 1)
    expected = seen @ hit
    more = (right + strength * share) / (expected + strength * share)
    less = (given - right + strength * (1 - share)) / (given - expected + strength * (1 - share))
    mean = pool * less[:, None, None]
    mean[:, index, index] = hit * more[:, None]
    return np.asarray(mean / mean.sum(axis=1, keepdims=True), dtype=np.float64)


def fit_matrices(data: Layout, known: Ints | None, settings: ChoiceSettings) -> Fitted:
    """Fit by variational Bayes from shares of votes; the prior is learned in the warm-up and then held."""
    posterior = np.zeros((data.tasks, data.classes))
    last = sweep(data, None, None, known, posterior)
    values: list[float] = []
    prior, pool, converged = np.zeros(0), np.zeros(0), False
    for step in range(settings.warmup + settings.iterations):
        if step < settings.warmup:
            pool = crowd_matrix(last.counts)
            prior = settings.shrinkage * tilted(last.counts, pool, settings.ability_strength)
        alpha, nu = last.counts + prior, last.classes
        logs = log_matrices(alpha)
        log_prior = log_classes(nu)
        last = sweep(data, logs.reshape(-1, data.classes), log_prior, known, posterior)
        if step >= settings.warmup:
            values.append(last.value - _divergence(alpha, prior, logs) - _class_divergence(nu, log_prior))
            converged = last.change < settings.tolerance
        if converged:
            break
    return Fitted(posterior, alpha, nu, pool, prior, tuple(values), converged)


def _divergence(alpha: Floats, prior: Floats, logs: Floats) -> float:
    """KL divergence of Dirichlet(alpha) from Dirichlet(prior), over all rows of all workers."""
    spent = ((alpha - prior) * logs).sum()
    own = (gammaln(alpha.sum(axis=1)).sum() - gammaln(alpha).sum()) - (
        gammaln(prior.sum(axis=1)).sum() - gammaln(prior).sum()
    )
    return float(own + spent)


def _class_divergence(counts: Floats, logs: Floats) -> float:
    nu = counts + 1
    own = gammaln(nu.sum()) - gammaln(nu).sum() - gammaln(len(nu))
    return float(own + (counts * logs).sum())


def fit_dawid_skene(data: Layout, known: Ints | None, settings: ChoiceSettings) -> Fitted:
    """Fit by EM, without priors; an entry is at least 1e-10, as the field's library has it."""
    posterior = np.zeros((data.tasks, data.classes))
    last: Pass = sweep(data, None, None, known, posterior)
    values: list[float] = []
    converged = False
    for _ in range(settings.iterations):
        alpha, nu = np.maximum(last.counts, _LEAST), last.classes
        logs = np.log(alpha / alpha.sum(axis=1, keepdims=True)).reshape(-1, data.classes)
        log_prior = np.log(np.maximum(nu, _LEAST) / max(nu.sum(), _LEAST))
        last = sweep(data, logs, log_prior, known, posterior, watched=settings.tolerance > 0)
        values.append(last.value)
        converged = settings.tolerance > 0 and last.change < settings.tolerance
        if converged:
            break
    return Fitted(posterior, alpha, nu, crowd_matrix(last.counts), np.zeros(0), tuple(values), converged)
