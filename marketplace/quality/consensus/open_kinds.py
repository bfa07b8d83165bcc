"""Consensus of a kind whose answers are near each other rather than equal.

The label is chosen first; its confidence then comes from who agrees with it (posterior.cluster_confidence).
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np

from marketplace.quality.consensus.engine import AnswerRow, TaskConsensus, Weights
from marketplace.quality.consensus.posterior import cluster_confidence
from marketplace.quality.policy import PRIOR_ACCURACY
from marketplace.quality.similarity import same, similarity
from marketplace.quality.spec import LabelSpec


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


def _judged(spec: LabelSpec, task: UUID, answers: Sequence[AnswerRow], weights: Weights, value: Any) -> TaskConsensus:
    share = _accuracies(answers, weights)
    agrees = [same(spec, spec.main(answer.value), value) for answer in answers]
    agreeing = sum(weight for weight, agreed in zip(share, agrees, strict=True) if agreed) / sum(share)
    confidence = cluster_confidence(agrees, share)
    return TaskConsensus(task, spec.answer(value), confidence, {"agreeing": agreeing}, len(answers))


def _accuracies(answers: Sequence[AnswerRow], weights: Weights) -> list[float]:
    return [weights.get(answer.worker, PRIOR_ACCURACY) for answer in answers]
