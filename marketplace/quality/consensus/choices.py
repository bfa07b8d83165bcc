"""Consensus of one class."""

from collections.abc import Sequence
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
