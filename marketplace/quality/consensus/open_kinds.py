"""Consensus of open kinds: numbers, spans, texts and shapes, whose answers are near each other rather than equal.

The label is made or chosen first; its confidence then comes from who agrees with it (posterior.cluster_confidence).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np

from marketplace.quality.consensus.engine import AnswerRow, TaskConsensus, Weights
from marketplace.quality.consensus.posterior import cluster_confidence
from marketplace.quality.policy import PRIOR_ACCURACY
from marketplace.quality.similarity import same, similarity
from marketplace.quality.spec import LabelSpec


def middle_number(spec: LabelSpec, task: UUID, answers: Sequence[AnswerRow], weights: Weights) -> TaskConsensus:
    """Return the weighted median, and the weighted median distance from it as the spread."""
    numbers = np.array([float(spec.main(answer.value)) for answer in answers])
    share = np.array(_accuracies(answers, weights))
    median = weighted_median(numbers, share)
    spread = weighted_median(np.abs(numbers - median), share)
    return _judged(spec, task, answers, weights, median, spread=spread)


def weighted_median(numbers: "np.typing.NDArray[np.float64]", share: "np.typing.NDArray[np.float64]") -> float:
    """Return the number below and above which half of the weight lies; the middle of two where it falls between."""
    order = np.argsort(numbers, kind="stable")
    reached = np.cumsum(share[order]) / share.sum()
    index = int(np.searchsorted(reached, 0.5 - 1e-12))
    value = float(numbers[order][index])
    if abs(reached[index] - 0.5) < 1e-9 and index + 1 < len(numbers):
        return (value + float(numbers[order][index + 1])) / 2
    return value


def nearest_to_all(spec: LabelSpec, task: UUID, answers: Sequence[AnswerRow], weights: Weights) -> TaskConsensus:
    """Return the answer with the greatest weighted similarity to the others (the medoid); ties to the first answer."""
    values = [spec.main(answer.value) for answer in answers]
    share = _accuracies(answers, weights)
    alike = np.eye(len(values))
    for i, one in enumerate(values):
        for j in range(i):
            alike[i, j] = alike[j, i] = similarity(spec, one, values[j])
    # an answer's own weight decides between two that are equally near to the rest
    nearness = alike @ np.array(share)
    best = int(np.argmax(np.round(nearness, 9)))
    return _judged(spec, task, answers, weights, values[best])


def common_spans(spec: LabelSpec, task: UUID, answers: Sequence[AnswerRow], weights: Weights) -> TaskConsensus:
    """Return the spans that most of the weight covers, character by character, split where most see a boundary."""
    share = _accuracies(answers, weights)
    half = sum(share) / 2
    by_label: dict[str, list[tuple[int, int, float]]] = defaultdict(list)
    for answer, weight in zip(answers, share, strict=True):
        for span in spec.main(answer.value):
            by_label[span["label"]].append((span["start"], span["end"], weight))
    value = [
        {"start": start, "end": end, "label": label}
        for label in sorted(by_label)
        for start, end in _majority_stretches(by_label[label], half)
    ]
    value.sort(key=lambda span: (span["start"], span["end"], span["label"]))
    return _judged(spec, task, answers, weights, value)


def _majority_stretches(marked: list[tuple[int, int, float]], half: float) -> list[tuple[int, int]]:
    """Sweep over the boundaries; between two of them the weight that covers the text is constant."""
    change: dict[int, float] = defaultdict(float)
    edge: dict[int, float] = defaultdict(float)
    for start, end, weight in marked:
        change[start] += weight
        change[end] -= weight
        edge[start] += weight / 2
        edge[end] += weight / 2
    stretches: list[tuple[int, int]] = []
    covered, opened = 0.0, None
    for place in sorted(change):
        covered += change[place]
        inside = covered > half + 1e-9
        if opened is not None and (not inside or edge[place] > half):
            stretches.append((opened, place))
            opened = None
        if inside and opened is None:
            opened = place
    return stretches


def _judged(
    spec: LabelSpec, task: UUID, answers: Sequence[AnswerRow], weights: Weights, value: Any, **measures: float
) -> TaskConsensus:
    share = _accuracies(answers, weights)
    agrees = [same(spec, spec.main(answer.value), value) for answer in answers]
    agreeing = sum(weight for weight, agreed in zip(share, agrees, strict=True) if agreed) / sum(share)
    confidence = cluster_confidence(agrees, share)
    return TaskConsensus(task, spec.answer(value), confidence, {"agreeing": agreeing, **measures}, len(answers))


def _accuracies(answers: Sequence[AnswerRow], weights: Weights) -> list[float]:
    return [weights.get(answer.worker, PRIOR_ACCURACY) for answer in answers]
