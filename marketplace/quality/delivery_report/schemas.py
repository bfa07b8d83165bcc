"""Figures of a delivery's quality report that need all of its evidence. Shares are 0 to 1; intervals are two-sided."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel


class Source(StrEnum):
    """How an accuracy was estimated, best first.

    `reviews`: a random sample of labels that reviewers checked. `gold_labels`: the consensus on hidden tasks whose
    truth is known, each fitted without its own truth and with as many answers as an ordinary task. `confidence`: the
    mean of the labels' own confidences. `gold_answers`: single answers to hidden tasks, which says how good workers
    are, not how good their consensus is; it is never the headline.
    """

    REVIEWS = "reviews"
    GOLD_LABELS = "gold_labels"
    CONFIDENCE = "confidence"
    GOLD_ANSWERS = "gold_answers"


class Estimate(BaseModel):
    """One estimate of a share with its interval of probability `level`, and of how many samples it is made."""

    source: Source
    value: float
    low: float
    high: float
    level: float
    samples: int


class AccuracyFigures(BaseModel):
    """How many of the labels are right: every estimate that there are data for, and which of them heads the report.

    `headline` is null when nothing is known. `least_samples` is how many reviews or gold labels a headline needs.
    """

    headline: Source | None
    least_samples: int
    estimates: list[Estimate]


class ReliabilityBin(BaseModel):
    """Gold tasks whose label has a confidence from `low` up to `high`: the mean of it, and how many are right."""

    low: float
    high: float
    tasks: int
    right: int
    mean_confidence: float | None
    share_right: float | None
    share_low: float | None
    share_high: float | None


class ReliabilityFigures(BaseModel):
    """Whether confidences are honest, measured on gold tasks each of which was labeled without its own truth.

    `expected_error` is the expected calibration error over the bins, `brier` the mean squared difference between the
    confidence and the truth (0 or 1).
    """

    tasks: int
    right: int
    expected_error: float
    brier: float
    bins: list[ReliabilityBin]


class ClassFigures(BaseModel):
    """How workers and labels agree on one class.

    `labels` have it, `answers` name it. `recall`: of the answers to tasks labeled so, the share that says so.
    `precision`: of the answers that say so, the share given to tasks labeled so.
    """

    label: str
    labels: int
    answers: int
    recall: float | None
    precision: float | None


class ConfusionFigures(BaseModel):
    """Workers' answers against the labels: `counts[i][j]` answers say class j where the label is class i.

    The classes are the most frequent ones; `others` answers concern another class and are not in the table.
    """

    labels: list[str]
    counts: list[list[int]]
    others: int


class WorkerFigures(BaseModel):
    """One worker under the name that holds in this request only.

    `accuracy` is the share of gold answers that are right, with its interval; null without gold. `agreed` of `compared`
    answers say the same as the label of their task, among tasks with two answers or more.
    """

    worker: str
    answers: int
    gold_right: int
    gold_seen: int
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    agreed: int
    compared: int
    median_seconds: float | None


class HistogramBin(BaseModel):
    """How many workers have a share from `low` up to `high`."""

    low: float
    high: float
    workers: int


class WorkerDistribution(BaseModel):
    """How the workers' shares are spread: right on gold (`measure` is "gold"), or the same as the label ("agreement").

    `listed` holds the workers with the most answers; the histogram counts all that have a share.
    """

    measure: str
    workers: int
    listed: list[WorkerFigures]
    histogram: list[HistogramBin]


class LabelUse(BaseModel):
    """How many answers the labels took, of as many as the plan's greatest overlap would have taken."""

    used: int
    most: int
    saved: int
    saved_share: float | None


class GateCount(BaseModel):
    """How often a gate ran, and what it asked for."""

    gate: str
    runs: int
    accepted: int
    rework: int
    rejected: int


class GateFigures(BaseModel):
    """The gates that judged: their definition, the hash that names it, and whether the definition has that hash."""

    version: str
    holds: bool
    definition: dict[str, Any]
    counts: list[GateCount]


class SampleFigures(BaseModel):
    """The sample that reviewers checked: its plan, how many labels they saw, how many are wrong, and the result."""

    plan: dict[str, Any]
    reviewed: int
    wrong: int
    result: str


class AppealFigures(BaseModel):
    """What became of the workers' appeals against verdicts."""

    filed: int
    open: int
    upheld: int
    overturned: int


class MethodFigures(BaseModel):
    """The model that made the labels, how its fit went, and how its confidences were calibrated.

    `engine` names the code of the fit (consensus.version): under other code the same answers may give other labels.
    """

    engine: str = ""
    model: str
    iterations: int
    converged: bool
    log_likelihood: float | None
    calibration: str
    calibration_samples: int
    seed: int


class RefitFigures(BaseModel):
    """The labels computed anew from the evidence: of `tasks` labels, how many say the `same`.

    `largest_difference` is that of two confidences, 0 up to a millionth; `same_model` says that the stored record of
    the model tells of the same fit, null when there is none.
    """

    tasks: int
    same: int
    largest_difference: float
    same_model: bool | None
