"""From votes to labels, honest confidences and workers."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from marketplace.quality.consensus.choice.calibration import blend, calibrate, honest, word
from marketplace.quality.consensus.choice.coin import fit_coins
from marketplace.quality.consensus.choice.errors import VotesInvalid, VotesTooWide
from marketplace.quality.consensus.choice.matrices import Fitted, fit_dawid_skene, fit_matrices
from marketplace.quality.consensus.choice.settings import ChoiceSettings
from marketplace.quality.consensus.choice.votes import Floats, Ints, Votes, layout
from marketplace.quality.consensus.engine import Calibration, Convergence
from marketplace.quality.policy import beta_interval

_MOST_CELLS: Final = 20_000_000
_EQUAL: Final = 1e-9


@dataclass(frozen=True, slots=True)
class ChoiceFit:
    """A fit: per task `posterior` (raw), `label` (-1: no votes) and calibrated `confidence`; per worker the counts.

    The label is the most probable class once posterior and votes are pooled, so it is the one that `confidence` is of.

    `alpha` is `[worker, label, true class]` for matrices and `[worker, (right, wrong)]` for one coin. Tasks of gold
    have a posterior of certainty; their `confidence` is that of the same votes as if their truth were unknown.
    """

    posterior: Floats
    label: Ints
    confidence: Floats
    alpha: Floats
    class_counts: Floats
    pool: Floats
    record: Convergence
    calibration: Calibration
    usual_word: float

    def confusion(self, worker: int) -> Floats:
        """Return P(label | true class), true classes in rows."""
        own: Floats = self.alpha[worker]
        if own.ndim == 1:
            size, share = self.posterior.shape[1], own[0] / own.sum()
            wrong = (1 - share) / max(size - 1, 1)
            return np.asarray(np.full((size, size), wrong) + np.eye(size) * (share - wrong), dtype=np.float64)
        return np.asarray((own / own.sum(axis=0)).T, dtype=np.float64)

    def accuracy(self) -> Floats:
        """Return mean, lower and upper 95 % bound of each worker's accuracy (workers × 3), from Beta posteriors."""
        right, total = _right_of(self.alpha)
        wrong = np.maximum(total - right, 1e-9)
        right = np.maximum(right, 1e-9)
        return np.stack([right / (right + wrong), *beta_interval(right, wrong)], axis=1)


def fit_choice(
    votes: Votes, gold: Ints | None = None, *, settings: ChoiceSettings | None = None, seed: int = 0
) -> ChoiceFit:
    """Fit votes; `gold` holds the true class of each task, -1 where unknown.

    Raises VotesInvalid for gold that is no class, VotesTooWide where tasks × classes do not fit into memory.
    """
    settings = settings or ChoiceSettings()
    known = _known(votes, gold)
    if votes.tasks * votes.classes > _MOST_CELLS * 5:
        raise VotesTooWide
    fitted, model = _fit(votes, known, settings)
    exponent, weight = settings.temper, settings.vote_share
    free, calibration = fitted.posterior, Calibration("fixed", (exponent, weight, 1.0), 0)
    words, usual = _words(votes, fitted.alpha)
    counts = _counts(votes, words / usual) if model != "dawid_skene" else free
    if model == "dawid_skene":
        calibration = Calibration()
    elif known is not None:
        free = _fit(votes, None, settings)[0].posterior
        calibration = calibrate(blend(free, counts, exponent, weight), known, exponent, weight)
    shown = fitted.posterior if known is None else np.where((known >= 0)[:, None], free, fitted.posterior)
    sure = honest(shown, counts, calibration)
    voted = np.bincount(votes.task, minlength=votes.tasks) > 0
    label = np.where(voted, _winners(votes, sure, model, seed), -1).astype(np.int32)
    if known is not None:
        label = np.where(known >= 0, known, label).astype(np.int32)
    confidence = sure[np.arange(votes.tasks), np.maximum(label, 0)] * (label >= 0)
    record = Convergence(model, len(fitted.values), fitted.converged, fitted.values)
    return ChoiceFit(
        fitted.posterior, label, confidence, fitted.alpha, fitted.classes, fitted.pool, record, calibration, usual
    )


def _right_of(alpha: Floats) -> tuple[Floats, Floats]:
    """Return each worker's expected right answers, and all of them, the prior's included."""
    if alpha.ndim == 2:
        return alpha[:, 0], alpha.sum(axis=1)
    index = np.arange(alpha.shape[1])
    return alpha[:, index, index].sum(axis=1), alpha.sum(axis=(1, 2))


def _words(votes: Votes, alpha: Floats) -> tuple[Floats, float]:
    """Return what each worker's vote is worth, and what a vote is worth on average (1 when there is none)."""
    right, total = _right_of(alpha)
    words = word(right / np.maximum(total, 1e-9), max(votes.classes, 2))
    given = np.bincount(votes.worker, minlength=votes.workers)
    return words, float((words * given).sum() / given.sum()) if given.sum() else 1.0


def _counts(votes: Votes, weight: Floats) -> Floats:
    flat = votes.task.astype(np.int64) * votes.classes + votes.label
    found = np.bincount(flat, weights=weight[votes.worker], minlength=votes.tasks * votes.classes)
    return np.asarray(found, dtype=np.float64).reshape(votes.tasks, votes.classes)


def _winners(votes: Votes, posterior: Floats, model: str, seed: int) -> Ints:
    """Return the most probable class that somebody said; Dawid and Skene's own model may say what nobody did."""
    if model == "dawid_skene":
        return pick(posterior, seed)
    said = np.zeros(posterior.shape, dtype=bool)
    said[votes.task, votes.label] = True
    return pick(np.where(said, posterior, 0.0), seed)


def _known(votes: Votes, gold: Ints | None) -> Ints | None:
    if gold is None:
        return None
    array = np.asarray(gold)
    if array.shape != (votes.tasks,) or array.dtype.kind not in "iu":
        raise VotesInvalid("gold must be one whole number a task")
    if len(array) and (array.min() < -1 or array.max() >= votes.classes):
        raise VotesInvalid("gold holds codes outside the classes")
    return array.astype(np.int32) if bool((array >= 0).any()) else None


def _fit(votes: Votes, known: Ints | None, settings: ChoiceSettings) -> tuple[Fitted, str]:
    if votes.classes < 2 and votes.tasks:
        votes = replace(votes, classes=2)
        fitted, model = _fit(votes, known, settings)
        one = np.ones((votes.tasks, 1))
        counts = fitted.alpha if fitted.alpha.ndim == 2 else fitted.alpha[:, :1, :1]
        return replace(fitted, posterior=one, alpha=counts, classes=one.sum(axis=0), pool=np.ones((1, 1))), model
    cells = votes.workers * votes.classes**2
    if settings.model == "one_coin" or (settings.model == "auto" and cells > settings.most_cells):
        coins = fit_coins(votes, known, settings)
        alpha = np.stack([coins.right, coins.wrong], axis=1)
        empty = np.zeros(0)
        return Fitted(coins.posterior, alpha, coins.classes, empty, empty, coins.values, coins.converged), "one_coin"
    if cells > _MOST_CELLS * 5:
        raise VotesTooWide("too many workers times classes squared for matrices")
    data = layout(votes)
    if settings.model == "dawid_skene":
        return fit_dawid_skene(data, known, settings), "dawid_skene"
    return fit_matrices(data, known, settings), "full"


def pick(posterior: Floats, seed: int) -> Ints:
    """Return each row's most probable class; among equals the one whose hash of seed, row and class is least."""
    best = posterior >= posterior.max(axis=1, keepdims=True, initial=0.0) - _EQUAL
    found = best.argmax(axis=1)
    tied = np.flatnonzero(best.sum(axis=1) > 1)
    if len(tied):
        marks = _mix(tied[:, None] * posterior.shape[1] + np.arange(posterior.shape[1])[None], seed)
        found[tied] = np.where(best[tied], marks, np.uint64(2**64 - 1)).argmin(axis=1)
    return np.asarray(found, dtype=np.int32)


def _mix(keys: Ints, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    """Splitmix64 (Steele, Lea and Flood 2014): a fixed, well-mixed 64-bit value of each key."""
    state = (keys.astype(np.uint64) + np.uint64(seed % 2**63)) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)), dtype=np.uint64)
