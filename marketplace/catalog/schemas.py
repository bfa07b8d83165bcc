"""Commands and views of dataset requests. (QualityPlan is read by matching, tasks and quality too.)"""

from datetime import datetime
from typing import Annotated, Any, Final, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from marketplace.catalog.gates import GatesAsked, check_order
from marketplace.catalog.json_values import KEPT, KEPT_JSON
from marketplace.catalog.label_schemas import Definition, LocaleTag
from marketplace.catalog.states import AwardMode, Channel, DataClass, LabelKind, RefundTo, RequestState

# Bounds keep every product of a count and a price far inside 64 bits.
MAX_UNIT_PRICE: Final = 10**12
MAX_BUDGET_MINOR: Final = 10**13
ANYWHERE: Final = "*"


class AdaptiveOverlap(BaseModel):
    """By how many votes a sure label must lead before its task gets no more answers.

    A confidence by itself stops too early, so that the label needs `lead` more votes than any other; `calibrated_lead`
    is enough where confidences were calibrated on gold. 0 leaves the confidence alone to decide.
    """

    model_config = ConfigDict(extra="forbid")

    lead: Annotated[float, Field(ge=0, le=50)] = 3.0
    calibrated_lead: Annotated[float, Field(ge=0, le=50)] = 2.0


class QualityPlan(BaseModel):
    """How good the dataset must be and how that is checked; fixed before the first claim.

    A task starts with `overlap_min` answers and gets more until its consensus reaches `confidence_target` with the lead
    that `adaptive` asks for, or it has `overlap_max`. Of the tasks a worker sees, `gold_share` are gold. The gates'
    bars: `gold_pass_share` of a bundle's gold right, `min_seconds_per_task` on average, `min_agreement` with the
    consensus of others. `gates` is for those who want other gates or parameters than follow from these bars.
    """

    overlap_min: Annotated[int, Field(ge=1, le=50)] = 3
    overlap_max: Annotated[int, Field(ge=1, le=50)] = 5
    confidence_target: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    adaptive: AdaptiveOverlap = AdaptiveOverlap()
    gold_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    gold_pass_share: Annotated[float, Field(ge=0, le=1)] = 0.7
    min_seconds_per_task: Annotated[float, Field(ge=0, le=600)] = 1.0
    min_agreement: Annotated[float, Field(ge=0, le=1)] = 0.5
    bundle_minutes: Annotated[float, Field(gt=0, le=120)] = 5.0
    bundle_max_tasks: Annotated[int, Field(ge=1, le=200)] = 20
    max_reworks: Annotated[int, Field(ge=0, le=5)] = 1
    gates: GatesAsked | None = None

    @model_validator(mode="after")
    def overlap_in_order(self) -> "QualityPlan":
        """Refuse a plan whose overlap could never be reached."""
        if self.overlap_max < self.overlap_min:
            raise ValueError("overlap_max must be at least overlap_min")
        return self

    @model_validator(mode="after")
    def gates_in_order(self) -> "QualityPlan":
        """Refuse gates that stand twice or cannot begin."""
        if self.gates is not None:
            check_order(self.gates)
        return self


class Scoring(BaseModel):
    """The weights of the published award formula: Σ weight · part / Σ weight, each part between 0 and 1."""

    model_config = ConfigDict(extra="forbid")

    price: Annotated[float, Field(ge=0, le=1)] = 0.4
    quality: Annotated[float, Field(ge=0, le=1)] = 0.3
    capacity: Annotated[float, Field(ge=0, le=1)] = 0.1
    track_record: Annotated[float, Field(ge=0, le=1)] = 0.2

    @model_validator(mode="after")
    def weighs_something(self) -> Self:
        """Refuse weights that say nothing."""
        if self.price + self.quality + self.capacity + self.track_record <= 0:
            raise ValueError("at least one weight must be greater than 0")
        return self


Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), KEPT]
Description = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000), KEPT]
Subject = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    KEPT,
    Field(description="What skill it asks for, as a short code: `sentiment`, `translation.th-zh`, `traffic-signs`"),
]
Languages = Annotated[
    list[LocaleTag], Field(min_length=1, max_length=20, description="BCP 47 tags of the data's languages")
]
Currency = Annotated[
    str, Field(min_length=3, max_length=3, description="ISO 4217: CNY, THB, VND, …; later it cannot be changed")
]
UnitPrice = Annotated[
    int,
    Field(gt=0, le=MAX_UNIT_PRICE, description="The most one accepted answer may cost, in 1/10,000 of a minor unit: "
          "3.5 fen are 35,000"),
]  # fmt: skip
Budget = Annotated[
    int, Field(gt=0, le=MAX_BUDGET_MINOR, description="The most the whole may cost, in minor units (fen, satang, đồng)")
]
Place = Annotated[str, Field(pattern=r"^([A-Z]{2}(-[A-Z0-9]{1,3})?|\*)$")]
Residency = Annotated[
    list[Place],
    Field(max_length=50, description="Where the data may be seen: ISO 3166 codes (`CN`, `CN-GX`), or `*` for anywhere "
          "(public data only). What is not named is refused."),
]  # fmt: skip
Window = Annotated[
    int, Field(ge=0, le=30 * 24 * 3600, description="Seconds from acceptance of work until its pay is released")
]
TaskSeconds = Annotated[float, Field(gt=0, le=24 * 3600, description="Seconds one answer is expected to take")]

_GUIDELINE_EXAMPLE: Final[dict[str, Any]] = {
    "body": "Choose **positive** when the buyer would buy again. Irony counts by what is meant.",
    "examples": [
        {"data": {"text": "很好用！"}, "answer": {"choice": "positive"}, "right": True, "why": "Open praise."},
        {"data": {"text": "Great, broken again."}, "answer": {"choice": "positive"}, "right": False, "why": "Irony."},
    ],
}
_DEFINITION_EXAMPLE: Final[dict[str, Any]] = {
    "kind": "single_choice",
    "choices": [
        {"value": "positive", "label": {"zh-CN": "正面", "en": "Positive"}},
        {"value": "negative", "label": {"zh-CN": "负面", "en": "Negative"}},
    ],
}
_DRAFT_EXAMPLE: Final[dict[str, Any]] = {
    "title": "商品评论情感 · Sentiment of product reviews",
    "description": "20,000 short reviews in Chinese and Thai; is the buyer content?",
    "subject": "sentiment",
    "languages": ["zh", "th"],
    "currency": "CNY",
    "unit_price_ceiling": 35000,
    "budget_minor": 500000,
    "deadline": "2030-03-01T00:00:00+08:00",
    "bid_deadline": "2030-01-15T00:00:00+08:00",
    "quality_plan": {"overlap_min": 3, "overlap_max": 5, "gold_share": 0.1},
    "data_class": "public",
    "residency": ["CN", "TH"],
    "channel": "both",
    "label_schema": _DEFINITION_EXAMPLE,
    "guideline": _GUIDELINE_EXAMPLE,
}


class GuidelineExample(BaseModel):
    """An answer to some data, whether it is right, and why."""

    model_config = ConfigDict(extra="forbid")

    data: Annotated[dict[str, Any], KEPT_JSON]
    answer: Annotated[dict[str, Any], KEPT_JSON]
    right: bool
    why: Annotated[str, Field(max_length=2_000), KEPT] = ""


ClauseKey = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")]


class GuidelineDraft(BaseModel):
    """The labeling task description in Markdown, with right and wrong examples.

    `clauses` names for a verdict's reason code (such as `gold_accuracy`) the heading or text of the guideline that it
    rests on; a worker whose work is sent back or rejected reads it.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_GUIDELINE_EXAMPLE]})

    body: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100_000), KEPT]
    examples: Annotated[list[GuidelineExample], Field(max_length=100)] = []
    clauses: Annotated[dict[ClauseKey, Annotated[str, Field(max_length=2_000), KEPT]], Field(max_length=50)] = {}


class RequestDraft(BaseModel):
    """A new dataset request. `bid_deadline` is needed unless the channel is `open_crowd`, which takes no bids."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_DRAFT_EXAMPLE]})

    title: Title
    description: Description
    subject: Subject
    languages: Languages
    currency: Currency
    unit_price_ceiling: UnitPrice
    budget_minor: Budget
    deadline: AwareDatetime
    bid_deadline: AwareDatetime | None = None
    quality_plan: QualityPlan = QualityPlan()
    scoring: Scoring = Scoring()
    data_class: DataClass = DataClass.INTERNAL
    residency: Residency = []
    channel: Channel = Channel.BOTH
    award_mode: AwardMode = AwardMode.MANUAL
    refund_to: RefundTo = RefundTo.BALANCE
    release_window_seconds: Window = 72 * 3600
    seconds_per_task: TaskSeconds = 15.0
    label_schema: Definition | None = None
    guideline: GuidelineDraft | None = None


class RequestPatch(BaseModel):
    """What to change of a draft; what is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"title": "Reviews, second batch", "budget_minor": 650000}]}
    )

    title: Title | None = None
    description: Description | None = None
    subject: Subject | None = None
    languages: Languages | None = None
    currency: Currency | None = None
    unit_price_ceiling: UnitPrice | None = None
    budget_minor: Budget | None = None
    deadline: AwareDatetime | None = None
    bid_deadline: AwareDatetime | None = None
    quality_plan: QualityPlan | None = None
    scoring: Scoring | None = None
    data_class: DataClass | None = None
    residency: Residency | None = None
    channel: Channel | None = None
    award_mode: AwardMode | None = None
    refund_to: RefundTo | None = None
    release_window_seconds: Window | None = None
    seconds_per_task: TaskSeconds | None = None

    @model_validator(mode="after")
    def no_nulls(self) -> Self:
        """Refuse an explicit null: every field of a request has a value."""
        nulls = sorted(name for name in self.model_fields_set if getattr(self, name) is None)
        if nulls:
            raise ValueError(f"null is not a value of {', '.join(nulls)}; leave the field out to keep what it is")
        return self


class CostEstimate(BaseModel):
    """What the answers cost at the price ceiling, from `overlap_min` to `overlap_max` answers an item."""

    answers_min: int
    answers_max: int
    lowest_minor: int
    highest_minor: int
    lowest: Annotated[str, Field(examples=["2,100.00 CNY"])]
    highest: Annotated[str, Field(examples=["3,500.00 CNY"])]


class OpenRequestView(BaseModel):
    """A published dataset request, as everybody sees it; the budget stays the enterprise's own matter."""

    id: UUID
    title: str
    description: str
    subject: str
    languages: list[str]
    currency: str
    unit_price_ceiling: Annotated[int, Field(description="Per accepted answer, in 1/10,000 of a minor unit")]
    unit_price_text: Annotated[str, Field(examples=["0.035 CNY"])]
    deadline: datetime
    bid_deadline: datetime
    quality_plan: QualityPlan
    scoring: dict[str, float]
    data_class: DataClass
    residency: list[str]
    channel: Channel
    award_mode: AwardMode
    seconds_per_task: float
    label_schema_version: int
    guideline_version: int
    item_count: int
    state: RequestState
    published_at: datetime | None


class RequestView(OpenRequestView):
    """A dataset request, as its enterprise and the operator see it; `item_count` is without gold."""

    organisation_id: UUID
    budget_minor: int
    budget_text: Annotated[str, Field(examples=["5,000.00 CNY"])]
    estimate: CostEstimate
    refund_to: RefundTo
    release_window_seconds: int
    gold_count: int
    suspended_from: RequestState | None
    created_at: datetime
    closed_at: datetime | None


class LabelSchemaView(BaseModel):
    """One version of a label schema: its definition, and the JSON Schema that every answer must satisfy."""

    request_id: UUID
    version: int
    kind: LabelKind
    definition: dict[str, Any]
    json_schema: dict[str, Any]


class GuidelineView(BaseModel):
    """One version of a guideline; workers confirm the version they work under."""

    request_id: UUID
    version: int
    body: str
    examples: list[GuidelineExample]
    clauses: dict[str, str] = {}


class Reason(BaseModel):
    """Why something is done; written down in the trail."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "A sample showed spam."}]})

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000), KEPT]
