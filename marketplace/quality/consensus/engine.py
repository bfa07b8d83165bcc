"""The interface between the market and whatever computes consensus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from marketplace.quality.spec import LabelSpec


class AnswerRow(NamedTuple):
    """One accepted answer; `value` is the answer object. With `by_model` it is a model's, which no overlap counts."""

    task: UUID
    worker: UUID
    value: Any
    by_model: bool = False


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


class WorkerSkill(NamedTuple):
    """How good a worker is at one request: the mean of their accuracy, a 95 % interval, and what it rests on.

    `accuracy` is the probability (0 to 1) that an answer of theirs is right; for open kinds, that it counts as the same
    as the truth (spec.same_from). `answers` counts all they gave, `gold` those to tasks whose truth is known.
    """

    accuracy: float
    low: float
    high: float
    answers: int
    gold: int


@dataclass(frozen=True, slots=True)
class Convergence:
    """How a fit went: the model chosen, and the log-likelihood (or the bound that stands for it) after each iteration.

    `log_likelihood` never falls by more than 1e-9 of its size.
    """

    model: str
    iterations: int
    converged: bool
    log_likelihood: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How raw confidences become honest ones: the method, its parameters, and how many gold answers it rests on."""

    method: str = "none"
    parameters: tuple[float, ...] = ()
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Learned:
    """All that a fit learned of a request's workers, enough to give any of its tasks a posterior later.

    `parameters` is JSON: what the kind's model needs (confusion matrices, biases, …); `consolidate` gets it back as it
    was, or read from the database. A worker who is not in it has the model's prior.
    """

    workers: Mapping[UUID, WorkerSkill]
    parameters: Mapping[str, Any]
    record: Convergence
    calibration: Calibration = field(default_factory=Calibration)


class KindModel(Protocol):
    """The model of one kind of label: pure, deterministic for a seed, whatever the order of the answers."""

    def fit(self, spec: LabelSpec, answers: Sequence[AnswerRow], gold: Mapping[UUID, Any], seed: int) -> Learned:
        """Learn workers from all answers; `gold` holds the true answer objects of those tasks whose truth is known."""

    def consolidate(
        self, spec: LabelSpec, answers: Sequence[AnswerRow], learned: Learned, seed: int
    ) -> list[TaskConsensus]:
        """Return the label and calibrated confidence of each task that has answers, in the order of their ids."""
