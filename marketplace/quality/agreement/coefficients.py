"""Coefficients of agreement, each from the counts and a weight per task (1 for all, or how often it was drawn).

- Krippendorff's alpha, 1 − D_o/D_e: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011). For squared
  differences Σ_ij (y_i − y_j)² = 2(m Σy² − (Σy)²), so neither the observed nor the expected disagreement needs pairs;
  the ordinal metric is the interval metric on the mid-ranks of the classes.
- Gwet's AC1: Gwet, "Computing inter-rater reliability and its variance in the presence of high agreement", British
  Journal of Mathematical and Statistical Psychology 61 (2008), with any number of raters a task.
- Pairwise agreement: the share of all pairs of answers to one task that are the same.
- Specific agreement of a class: how probably another says it when one did (Spitzer and Fleiss, British Journal of
  Psychiatry 125, 1974).

NaN where undefined: nothing to compare, or no variation at all.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from marketplace.quality.agreement.counts import Counts, Floats

Level = Literal["nominal", "ordinal", "interval"]
"""What a difference between two labels means: none but that they differ, how many ranks, or how much."""


def alpha(counts: Counts, level: Level, weight: Floats) -> float:
    """Return Krippendorff's alpha of tasks that count `weight` times."""
    of = np.where(counts.pairable, weight, 0.0)
    marginal = counts.table.T @ of
    total = float(marginal.sum())
    if total < 2:
        return float("nan")
    expected = _expected(counts, level, marginal) / (total - 1)
    observed = float(of @ _within_tasks(counts, level, marginal))
    # rounding must not make an alpha of labels that are all the same
    return 1 - observed / expected if expected > 1e-9 * total else float("nan")


def metric_values(counts: Counts, level: Level, marginal: Floats) -> Floats:
    """Return the numbers whose squared differences are the metric; mid-ranks for the ordinal one.

    They are centred and brought to unit variance, which changes no ratio of squared differences.
    """
    values = np.cumsum(marginal) - marginal / 2 if level == "ordinal" else counts.values
    total = float(marginal.sum())
    middle = float(marginal @ values) / total if total else 0.0
    off = values - middle
    size = float(marginal @ off**2) / total if total else 0.0
    return np.asarray(off / np.sqrt(size) if size > 0 else np.zeros_like(off), dtype=np.float64)


def _within_tasks(counts: Counts, level: Level, marginal: Floats) -> Floats:
    """Return each task's sum of differences over ordered pairs, divided by (answers − 1)."""
    if level == "nominal":
        differences = counts.given**2 - counts.table.power(2).sum(axis=1)
    else:
        values = metric_values(counts, level, marginal)
        differences = 2 * (counts.given * (counts.table @ values**2) - (counts.table @ values) ** 2)
    return np.asarray(np.maximum(differences, 0.0) / np.maximum(counts.given - 1, 1.0), dtype=np.float64)


def _expected(counts: Counts, level: Level, marginal: Floats) -> float:
    total = float(marginal.sum())
    if level == "nominal":
        return total**2 - float(marginal @ marginal)
    values = metric_values(counts, level, marginal)
    return 2 * (total * float(marginal @ values**2) - float(marginal @ values) ** 2)


def worker_alpha(counts: Counts, level: Level) -> Floats:
    """Return each worker's own alpha: 1 − (mean difference of their answers from the others') / (expected)."""
    marginal = counts.table.T @ np.where(counts.pairable, 1.0, 0.0)
    total = float(marginal.sum())
    expected = _expected(counts, level, marginal) / (total * (total - 1)) if total > 1 else 0.0
    others = counts.given[counts.task] - 1
    if level == "nominal":
        apart = others - _alike(counts)
    else:
        values = metric_values(counts, level, marginal)
        own, sums, squares = values[counts.column], counts.table @ values, counts.table @ values**2
        # Σ_j (y − y_j)² over all of the task's answers; its own adds nothing
        apart = counts.given[counts.task] * own**2 - 2 * own * sums[counts.task] + squares[counts.task]
    return 1 - by_worker(counts, apart, others) / expected if expected > 1e-9 else np.full(len(counts.workers), np.nan)


def worker_agreement(counts: Counts) -> Floats:
    """Return how often another worker, drawn at random on the same task, says the same as each worker."""
    return by_worker(counts, _alike(counts), counts.given[counts.task] - 1)


def _alike(counts: Counts) -> Floats:
    """Return for each answer how many others on its task say the same."""
    if not len(counts.task):
        return np.zeros(0)
    return np.asarray(counts.table[counts.task, counts.column], dtype=np.float64) - 1


def by_worker(counts: Counts, part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> Floats:
    """Return the mean of part/whole over each worker's answers that have others beside them; NaN for none."""
    seen = whole > 0
    workers, size = counts.worker[seen], len(counts.workers)
    share = np.bincount(workers, weights=part[seen] / whole[seen], minlength=size)
    with np.errstate(invalid="ignore"):
        return np.asarray(share / np.bincount(workers, minlength=size), dtype=np.float64)


def same_pairs(counts: Counts) -> Floats:
    """Return for each task how many ordered pairs of its answers are the same."""
    return np.asarray(counts.table.power(2).sum(axis=1) - counts.given, dtype=np.float64)


def pairwise(counts: Counts, weight: Floats) -> float:
    """Return the share of pairs of answers that are the same."""
    pairs = float(weight @ (counts.given * (counts.given - 1)))
    return float(weight @ same_pairs(counts)) / pairs if pairs else float("nan")


def ac1(counts: Counts, weight: Floats) -> float:
    """Return Gwet's AC1: (p_a − p_e)/(1 − p_e) with p_e = Σ π(1 − π)/(K − 1)."""
    classes = len(counts.values)
    of = np.where(counts.pairable, weight, 0.0)
    if classes < 2 or not of.any():
        return float("nan")
    pairs = np.maximum(counts.given * (counts.given - 1), 1.0)
    agreed = float(of @ (same_pairs(counts) / pairs)) / float(of.sum())
    share = counts.table.T @ (weight / counts.given) / float(weight.sum())
    chance = float((share * (1 - share)).sum()) / (classes - 1)
    return (agreed - chance) / (1 - chance) if chance < 1 else float("nan")


def class_agreement(counts: Counts) -> tuple[Floats, Floats]:
    """Return each class's specific agreement, and its nominal alpha against all other classes."""
    squared = counts.table.power(2)
    of = np.where(counts.pairable, 1.0, 0.0)
    marginal = counts.table.T @ of
    total = float(marginal.sum())
    spare = np.maximum(counts.given - 1, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        # an answer of the class meets given − 1 others, of which n − 1 say it too
        specific = (squared.T @ of - marginal) / (counts.table.T @ (of * (counts.given - 1)))
        observed = counts.table.T @ (of * counts.given / spare) - squared.T @ (of / spare)
        expected = marginal * (total - marginal) / (total - 1) if total > 1 else np.zeros_like(marginal)
        against = np.where(expected > 0, 1 - observed / expected, np.nan)
    return np.asarray(specific, dtype=np.float64), np.asarray(against, dtype=np.float64)
