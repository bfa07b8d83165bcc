"""Commands and views of quality."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from marketplace.catalog.json_values import KEPT
from marketplace.quality.delivery_report.schemas import (
    AccuracyFigures,
    AppealFigures,
    ClassFigures,
    ConfusionFigures,
    GateFigures,
    LabelUse,
    MethodFigures,
    RefitFigures,
    ReliabilityFigures,
    SampleFigures,
    WorkerDistribution,
)
from marketplace.quality.states import AppealState, Outcome, ReasonCode, VerdictState

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4_000), KEPT]


class ClassCount(BaseModel):
    """How many labels say this; for spans and shapes, how many spans or shapes have the label."""

    label: str
    count: int


class ConfidenceBin(BaseModel):
    """How many tasks have a consensus with a confidence from `low` up to `high`."""

    low: float
    high: float
    tasks: int


class OverlapCount(BaseModel):
    """How many tasks have so many accepted answers."""

    answers: int
    tasks: int


class GoldFigures(BaseModel):
    """How many hidden gold tasks were answered right, over all submissions; the accuracy is null without gold."""

    right: int
    seen: int
    accuracy: float | None


class AgreementFigures(BaseModel):
    """How far workers agree on tasks with two accepted answers or more.

    `measure` says what `pairwise` is the mean of: "equal" answers of two workers, or for open kinds "similar": the
    share of weight that agrees with the consensus; in the report of a delivery "alike": how alike two answers are.
    `alpha` is Krippendorff's, nominal for choices and interval for numbers; it measures single answers, not the
    consensus. `ac1` is Gwet's. The bounds are bootstrap intervals of 95 %.
    """

    measure: str
    tasks: int
    pairwise: float | None
    alpha: float | None
    ac1: float | None = None
    pairwise_low: float | None = None
    pairwise_high: float | None = None
    alpha_low: float | None = None
    alpha_high: float | None = None
    ac1_low: float | None = None
    ac1_high: float | None = None


class SubmissionFigures(BaseModel):
    """What became of the bundles that were submitted; `rejected_share` is of those decided, `rework_share` of all."""

    decided: int
    accepted: int
    rejected: int
    reworked: int
    rejected_share: float | None
    rework_share: float | None
    reasons: dict[str, int]


class QualityReport(BaseModel):
    """The quality of a dataset request's labels, as far as the work has come.

    The members from `accuracy` on are there once the request is delivered: they need all of its evidence.
    """

    request_id: UUID
    made_at: datetime
    label_kind: str
    label_schema_version: int
    guideline_version: int
    gate_set_version: str | None
    tasks: int
    labeled: int
    done: int
    answers: int
    workers: int
    answers_per_task: float | None
    mean_confidence: float | None
    overlap: list[OverlapCount]
    gold: GoldFigures
    agreement: AgreementFigures
    submissions: SubmissionFigures
    classes: list[ClassCount]
    confidence: list[ConfidenceBin]
    accuracy: AccuracyFigures | None = None
    reliability: ReliabilityFigures | None = None
    class_figures: list[ClassFigures] = []
    confusion: ConfusionFigures | None = None
    worker_distribution: WorkerDistribution | None = None
    label_use: LabelUse | None = None
    gates: GateFigures | None = None
    sample: SampleFigures | None = None
    appeals: AppealFigures | None = None
    method: MethodFigures | None = None
    refit: RefitFigures | None = None


class DatasetCard(BaseModel):
    """What somebody who uses the labels must know about them."""

    title: str
    description: str
    subject: str
    languages: list[str]
    data_class: str
    residency: list[str]
    items: int
    label_kind: str
    label_definition: dict[str, Any]
    answer_schema: dict[str, Any]
    guideline_version: int
    guideline: str
    quality_plan: dict[str, Any]
    method: str
    report: QualityReport


class ItemFilter(BaseModel):
    """Which items to show; what is left out does not narrow."""

    confidence_below: Annotated[float | None, Field(ge=0, le=1)] = None
    disagreement: Annotated[bool, Field(description="Only items whose answers do not all say the same")] = False
    label: Annotated[str | None, Field(max_length=200, description="Only items whose consensus has this label")] = None
    is_done: bool | None = None


class AnswerView(BaseModel):
    """One accepted answer to an item; the worker stands under a number of this request, not under a name."""

    worker: str
    value: Any
    seconds: float


class ItemView(BaseModel):
    """An item with its consensus; `consensus` is null while it has no accepted answer."""

    id: UUID
    external_id: str
    data: dict[str, Any]
    media_key: str | None
    consensus: Any
    confidence: float | None
    distribution: dict[str, float] | None
    answers: int
    is_done: bool


class SampleItemView(ItemView):
    """An item of a sample, with the single answers behind its label."""

    given: list[AnswerView]


class SampleView(BaseModel):
    """A random sample of a request's labeled items; the same size and seed give the same sample."""

    size: int
    seed: int
    items: list[SampleItemView]


class VerdictView(BaseModel):
    """A verdict: what, why, on what evidence, by which version of the gates, and until when it can be appealed."""

    id: UUID
    request_id: UUID
    claim_id: UUID
    revision: int
    outcome: Outcome
    reason_code: ReasonCode
    evidence: dict[str, Any]
    gate_set_version: str
    decided_by: str
    state: VerdictState
    created_at: datetime
    final_at: datetime
    can_appeal: bool


class AppealIn(BaseModel):
    """Why the verdict is wrong, in the worker's words."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "我按照指南第 3 条标注。"}]})

    text: Words


class AppealDecision(BaseModel):
    """The decision on an appeal, with an answer to the worker."""

    model_config = ConfigDict(extra="forbid")

    decision: Annotated[AppealState, Field(description="`upheld`: the verdict stays; `overturned`: it was wrong")]
    answer: Words


class AppealView(BaseModel):
    """An appeal with the verdict it is against; it is overdue when it was not answered by `answer_due_at`."""

    id: UUID
    request_id: UUID
    verdict_id: UUID
    claim_id: UUID
    worker_id: UUID
    text: str
    state: AppealState
    answer: str | None
    created_at: datetime
    answer_due_at: datetime
    answered_at: datetime | None
    is_overdue: bool
    outcome: Outcome
    reason_code: ReasonCode
    evidence: dict[str, Any]
