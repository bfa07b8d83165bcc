"""Agreement of spans: pairwise entity F1, strict and partial, with bootstrap intervals over tasks.

F1 of two sets of spans is symmetric (2·common over the sum of sizes), so no worker is the reference; it stands in for
kappa, whose chance term needs a count of non-entities that there is none of (Hripcsak and Rothschild, JAMIA 2005).
Strict: same start, end and label. Partial, as in SemEval 2013 task 9: same label and any overlap counts half, the same
edges count whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from marketplace.quality.agreement.texts import RESAMPLES, Measure, ratio_interval

Spans = Sequence[Mapping[str, Any]]
Mark = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class SpanAgreement:
    """How alike workers' spans are: F1 over all pairs of answers, strict and partial, and strict by label and worker.

    Two answers without spans agree, and add nothing to F1.
    """

    strict: Measure
    partial: Measure
    by_label: dict[str, float]
    by_worker: dict[int, float]


def span_agreement(
    answers: Sequence[Sequence[tuple[int, Spans]]], *, seed: int = 0, resamples: int = RESAMPLES
) -> SpanAgreement:
    """Return the agreement of each task's (worker number, spans) pairs; tasks of one answer say nothing."""
    shared = [sorted((worker, _marks(spans)) for worker, spans in row) for row in answers if len(row) > 1]
    strict, partial, sizes = np.zeros(len(shared)), np.zeros(len(shared)), np.zeros(len(shared))
    labels: dict[str, list[float]] = {}
    workers: dict[int, list[float]] = {}
    for number, row in enumerate(shared):
        for (one, marks), (other, others) in combinations(row, 2):
            common, size = set(marks) & set(others), len(marks) + len(others)
            strict[number] += 2 * len(common)
            partial[number] += 2 * _partial(marks, others)
            sizes[number] += size
            for worker in (one, other):
                _add(workers, worker, 2 * len(common), size)
            for label in {label for _, _, label in (*marks, *others)}:
                of_label = sum(mark[2] == label for mark in (*marks, *others))
                _add(labels, label, 2 * sum(mark[2] == label for mark in common), of_label)
    return SpanAgreement(
        ratio_interval(strict, sizes, seed=seed, resamples=resamples),
        ratio_interval(partial, sizes, seed=seed, resamples=resamples),
        {label: top / bottom for label, (top, bottom) in sorted(labels.items())},
        {worker: top / bottom if bottom else 1.0 for worker, (top, bottom) in sorted(workers.items())},
    )


def _marks(spans: Spans) -> list[Mark]:
    return sorted({(span["start"], span["end"], span["label"]) for span in spans})


def _partial(one: Sequence[Mark], other: Sequence[Mark]) -> float:
    """Return the common spans, an overlap of one label as a half; each span counts once, whole ones first."""
    exact = set(one) & set(other)
    left = [mark for mark in other if mark not in exact]
    total = float(len(exact))
    for start, end, label in one:
        if (start, end, label) not in exact:
            touched = [mark for mark in left if mark[2] == label and mark[0] < end and start < mark[1]]
            if touched:
                left.remove(touched[0])
                total += 0.5
    return total


def _add(sums: dict[Any, list[float]], key: object, top: float, bottom: float) -> None:
    entry = sums.setdefault(key, [0.0, 0.0])
    entry[0] += top
    entry[1] += bottom
