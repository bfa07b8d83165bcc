"""How much workers agree on a request: `agreement_of` measures all of it, with bootstrap intervals.

It describes single answers and the task's difficulty, not the aggregated labels: a set with an alpha of .15 may have
labels that are 96 % right, so it is reported and never a gate on redundant work.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isnan
from typing import Final

import numpy as np
import numpy.typing as npt

from marketplace.quality.agreement import coefficients
from marketplace.quality.agreement.coefficients import Level
from marketplace.quality.agreement.counts import Counts, Floats, Ints, count_answers

_TAILS: Final = (0.025, 0.975)
_DEFINED: Final = 0.5
"""An interval needs at least this share of resamples in which the figure is defined."""


@dataclass(frozen=True, slots=True)
class ClassAgreement:
    """Agreement on one class (its code): how many answers say it, and None where it cannot be said.

    `agreement`: how probably another worker says it when one did. `alpha`: Krippendorff's, this class against the rest.
    """

    label: int
    answers: int
    agreement: float | None
    alpha: float | None


@dataclass(frozen=True, slots=True)
class WorkerAgreement:
    """Parallel arrays, one entry a worker (ids as given, sorted): answers, and agreement with the rest (NaN: nobody).

    `agreement` is the share of others on the same tasks who say the same (all NaN at the interval level); `alpha` is
    1 − (their difference from the others) / (the difference expected by chance), on any level.
    """

    worker: Ints
    answers: Ints
    agreement: Floats
    alpha: Floats


@dataclass(frozen=True, slots=True)
class Agreement:
    """All coefficients with percentile intervals (95 %); None where undefined.

    `ac1` and `pairwise` and `by_class` compare classes and say nothing (None, empty) at the interval level.
    """

    level: Level
    tasks: int
    workers: int
    answers: int
    alpha: float | None
    alpha_low: float | None
    alpha_high: float | None
    ac1: float | None
    ac1_low: float | None
    ac1_high: float | None
    pairwise: float | None
    by_class: tuple[ClassAgreement, ...]
    by_worker: WorkerAgreement


def agreement_of(
    task: npt.ArrayLike,
    worker: npt.ArrayLike,
    label: npt.ArrayLike,
    *,
    level: Level,
    classes: int | None,
    seed: int = 0,
    resamples: int = 200,
) -> Agreement:
    """Measure agreement: `worker[i]` gave `label[i]` to `task[i]`; labels are class codes, or numbers at `interval`.

    `classes` is how many there are (None: as many as occur). Intervals are percentiles over `resamples` draws of tasks
    with replacement (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13); `resamples=0` gives none.
    Raises ValueError for bad arrays; see `count_answers`.
    """
    numeric = level == "interval"
    counts = count_answers(task, worker, label, classes=classes, numeric=numeric)
    all_tasks = np.ones(counts.tasks)
    found = {
        "alpha": coefficients.alpha(counts, level, all_tasks),
        "ac1": float("nan") if numeric else coefficients.ac1(counts, all_tasks),
    }
    measures: list[Callable[[Floats], float]] = [lambda weight: coefficients.alpha(counts, level, weight)]
    if not numeric:
        measures.append(lambda weight: coefficients.ac1(counts, weight))
    intervals = bootstrap(measures, counts.tasks, seed, resamples)
    alpha_low, alpha_high = intervals[0]
    ac1_low, ac1_high = (None, None) if numeric else intervals[1]
    return Agreement(
        level, counts.tasks, len(counts.workers), len(counts.task),
        _defined(found["alpha"]), alpha_low, alpha_high, _defined(found["ac1"]), ac1_low, ac1_high,
        None if numeric else _defined(coefficients.pairwise(counts, all_tasks)),
        () if numeric else _by_class(counts),
        _by_worker(counts, level),
    )  # fmt: skip


def bootstrap(
    measures: list[Callable[[Floats], float]], tasks: int, seed: int, resamples: int
) -> list[tuple[float | None, float | None]]:
    """Return each measure's 2.5 and 97.5 percentiles over resamples of the tasks; the same draws serve all measures.

    A measure takes how often each task was drawn. (None, None) where too few resamples define it.
    """
    random = np.random.default_rng(seed)
    seen = np.full((resamples, len(measures)), np.nan)
    for row in range(resamples if tasks > 1 else 0):
        weight = np.bincount(random.integers(0, tasks, tasks), minlength=tasks).astype(np.float64)
        seen[row] = [measure(weight) for measure in measures]
    return [_interval(column) for column in seen.T]


def _interval(values: Floats) -> tuple[float | None, float | None]:
    defined = values[~np.isnan(values)]
    if not len(defined) or len(defined) < _DEFINED * len(values):
        return None, None
    low, high = np.quantile(defined, _TAILS)
    return float(low), float(high)


def _by_class(counts: Counts) -> tuple[ClassAgreement, ...]:
    specific, against = coefficients.class_agreement(counts)
    answers = np.bincount(counts.column, minlength=len(counts.values))
    return tuple(
        ClassAgreement(code, count, _defined(same), _defined(alpha))
        for code, (count, same, alpha) in enumerate(
            zip(answers.tolist(), specific.tolist(), against.tolist(), strict=True)
        )
    )


def _by_worker(counts: Counts, level: Level) -> WorkerAgreement:
    answers = np.bincount(counts.worker, minlength=len(counts.workers)).astype(np.int64)
    blank = np.full(len(counts.workers), np.nan)
    agreement = blank if level == "interval" else coefficients.worker_agreement(counts)
    return WorkerAgreement(counts.workers, answers, agreement, coefficients.worker_alpha(counts, level))


def _defined(value: float) -> float | None:
    return None if isnan(value) else float(value)
