"""The interface between the market and whatever computes consensus."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from marketplace.quality.spec import LabelSpec


class AnswerRow(NamedTuple):
    """One accepted answer; `value` is the answer object."""

    task: UUID
    worker: UUID
    value: Any


@dataclass(frozen=True, slots=True)
class TaskConsensus:
    """The label of a task: an answer object, the posterior probability that it is right, and what stands behind it.

    `distribution` is per class for choices, per option for multiple choice, and for open kinds the share of weight that
    agrees with the label (`agreeing`) with a measure of spread where there is one.
    """

    task: UUID
    value: Any
    confidence: float
    distribution: dict[str, float]
    answers: int


@dataclass(frozen=True, slots=True)
class GoldRecord:
    """A worker's gold answers on a request."""

    right: int
    seen: int


Weights = Mapping[UUID, float]
"""A worker's accuracy, a probability; who is missing has the prior's."""


class ConsensusEngine(Protocol):
    """What the market needs: workers' accuracies from all answers, and the labels of some tasks given accuracies."""

    def learn_weights(
        self, spec: LabelSpec, answers: Iterable[AnswerRow], gold: Mapping[UUID, GoldRecord]
    ) -> dict[UUID, float]:
        """Return each worker's accuracy, from gold and from the answers of others."""

    def consolidate(self, spec: LabelSpec, answers: Sequence[AnswerRow], weights: Weights) -> list[TaskConsensus]:
        """Return the consensus of each task that has answers, in the order of their ids."""
