"""Consensus of closed kinds: one class, or a set of options each of which is in or out."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np

from marketplace.quality.consensus.engine import AnswerRow, TaskConsensus, Weights
from marketplace.quality.consensus.posterior import pick, posterior, vote_weight
from marketplace.quality.policy import PRIOR_ACCURACY
from marketplace.quality.spec import LabelSpec


def choose_one(spec: LabelSpec, task: UUID, answers: Sequence[AnswerRow], weights: Weights) -> TaskConsensus:
    """Return the most probable class of a task."""
    voted = {spec.main(answer.value) for answer in answers}
    names = [*spec.classes, *sorted(voted - set(spec.classes))]
    classes = max(len(names), 2)
    scores = np.zeros(classes)
    for answer in answers:
        accuracy = weights.get(answer.worker, PRIOR_ACCURACY)
        scores[names.index(spec.main(answer.value))] += vote_weight(accuracy, classes)
    probabilities = posterior(scores)
    # only what somebody said can win, also when the votes of workers at chance weigh nothing
    said = [index for index, name in enumerate(names) if name in voted]
    winner = said[pick(task, probabilities[said], [names[index] for index in said])]
    distribution = {name: float(probabilities[index]) for index, name in enumerate(names)}
    return TaskConsensus(task, spec.answer(names[winner]), float(probabilities[winner]), distribution, len(answers))


def choose_some(spec: LabelSpec, task: UUID, answers: Sequence[AnswerRow], weights: Weights) -> TaskConsensus:
    """Return the options that are more probably in than out; the confidence is that of the whole set.

    Options are taken as independent, so an accuracy of a on sets of m options is a^(1/m) on each.
    """
    names = [*spec.classes, *sorted({name for answer in answers for name in spec.main(answer.value)} - {*spec.classes})]
    share = 1 / max(len(names), 1)
    scores = np.zeros((len(names), 2))
    for answer in answers:
        weight = vote_weight(weights.get(answer.worker, PRIOR_ACCURACY) ** share, 2)
        chosen = set(spec.main(answer.value))
        for index, name in enumerate(names):
            scores[index, int(name in chosen)] += weight
    inside = [posterior(row) for row in scores]
    sides = [
        pick(task, probabilities, [f"{name} out", f"{name} in"])
        for name, probabilities in zip(names, inside, strict=True)
    ]
    value: list[Any] = [name for name, side in zip(names, sides, strict=True) if side]
    confidence = float(np.prod([probabilities[side] for probabilities, side in zip(inside, sides, strict=True)]))
    distribution = {name: float(probabilities[1]) for name, probabilities in zip(names, inside, strict=True)}
    return TaskConsensus(task, spec.answer(value), confidence, distribution, len(answers))
