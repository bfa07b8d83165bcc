"""What a control rule is: collector → conditions → action, as checked data.

The collectors are Toloka's, as far as they apply. Left out: captcha (Kapok shows none: people are vetted), training and
exam results (there is no training pool), and re-opening what was rejected (seats do that by themselves).
"""

import hashlib
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from marketplace.catalog.json_values import KEPT

MIN_GOLD_TO_PAUSE: Final = 20
"""Gold answers (or other judged answers) before an exclusion: a coin-flip worker passes fewer too often."""
LONGEST_HOURS: Final = 24 * 30
MOST_RULES: Final = 50
SkillName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), KEPT]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), KEPT]


class CollectorKind(StrEnum):
    """What is counted of a worker on the request; each event is one decided bundle, or one given up."""

    GOLD = "gold_answers"
    AGREEMENT = "consensus_agreement"
    FAST = "fast_responses"
    EARNINGS = "earnings"
    SKIPPED = "skipped_in_a_row"
    SUBMISSIONS = "submissions"
    ACCEPTANCE = "acceptance"
    ANSWERS = "answers"
    REVIEWS = "review_results"
    INTEGRITY = "integrity"


JUDGING: Final = frozenset(
    {CollectorKind.GOLD, CollectorKind.AGREEMENT, CollectorKind.ACCEPTANCE, CollectorKind.REVIEWS}
)
"""Collectors whose figures are shares of right answers: they exclude by their interval's bound only."""
NEVER_PAUSE: Final = frozenset({CollectorKind.FAST, CollectorKind.INTEGRITY})
"""Speed and suspicion ask for more evidence; the evidence may then exclude."""


class Figure(StrEnum):
    """A collector's figures: how many were counted, the sum of hits, their share, its one-sided 95 % Jeffreys bounds.

    For `earnings` the sum is in minor units of the contract's currency; `skipped_in_a_row` has its run as sum.
    """

    COUNT = "count"
    SUM = "sum"
    SHARE = "share"
    LOWER = "lower_bound"
    UPPER = "upper_bound"


SHARES: Final = frozenset({Figure.SHARE, Figure.LOWER, Figure.UPPER})
"""Figures between 0 and 1: beyond these a condition holds for everybody, or for nobody."""


class Operator(StrEnum):
    """How a figure is compared with a value."""

    LESS = "<"
    AT_MOST = "<="
    AT_LEAST = ">="
    MORE = ">"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Window(_Strict):
    """Which events count: the last so many, or those of the last hours; without either all since the last action."""

    last: Annotated[int | None, Field(ge=1, le=10_000)] = None
    hours: Annotated[float | None, Field(gt=0, le=24 * 365)] = None


class Collector(_Strict):
    """What is counted, over which window; `seconds` is what fast means, a task."""

    kind: CollectorKind
    window: Window = Window()
    seconds: Annotated[float | None, Field(gt=0, le=3600)] = None

    @model_validator(mode="after")
    def knows_what_fast_is(self) -> Self:
        """Refuse a speed without its seconds."""
        if (self.kind is CollectorKind.FAST) != (self.seconds is not None):
            raise ValueError("`seconds` belongs to fast_responses, which needs it")
        return self


class Condition(_Strict):
    """A comparison; all of a rule's must hold."""

    figure: Figure
    op: Operator
    value: float


class Pause(_Strict):
    """No new claims for so many hours, on this request or on all of its enterprise; never an account, never pay."""

    kind: Literal["pause"]
    scope: Literal["request", "requester"] = "request"
    hours: Annotated[float, Field(gt=0, le=LONGEST_HOURS)]
    reason: Reason


class MoreGold(_Strict):
    """So many more known answers in each bundle, for so many hours."""

    kind: Literal["more_gold"]
    extra: Annotated[int, Field(ge=1, le=20)]
    hours: Annotated[float, Field(gt=0, le=LONGEST_HOURS)] = 24.0


class SetSkill(_Strict):
    """Set a skill of the requester's own (0–100): to a value, or to the collector's share in percent."""

    kind: Literal["set_skill"]
    skill: SkillName
    value: Annotated[float | None, Field(ge=0, le=100)] = None


class AddSkill(_Strict):
    """Add to a skill of the requester's own (0–100); who has none starts from 0."""

    kind: Literal["add_skill"]
    skill: SkillName
    by: Annotated[float, Field(ge=-100, le=100)]


class Notify(_Strict):
    """Put the worker before a person of the requester, who sees it in the list of actions."""

    kind: Literal["notify"]
    message: Reason


Action = Annotated[Pause | MoreGold | SetSkill | AddSkill | Notify, Field(discriminator="kind")]


class ControlRule(_Strict):
    """One rule; below `min_count` counted it says nothing."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), KEPT]
    collector: Collector
    min_count: Annotated[int, Field(ge=1, le=100_000)] = 1
    conditions: Annotated[list[Condition], Field(min_length=1, max_length=5)]
    action: Action

    @model_validator(mode="after")
    def excludes_on_evidence_only(self) -> Self:
        """Refuse a pause on a point estimate, on few answers, on speed, or on suspicion."""
        if not isinstance(self.action, Pause):
            return self
        if self.collector.kind in NEVER_PAUSE:
            raise ValueError(f"{self.collector.kind} may ask for more gold or a person, not pause anybody")
        if self.collector.kind in JUDGING:
            bounded = any(
                each.figure is Figure.UPPER and each.op in {Operator.LESS, Operator.AT_MOST} for each in self.conditions
            )
            shares = [each.value for each in self.conditions if each.figure in SHARES]
            if not all(0 < value < 1 for value in shares):
                raise ValueError("a pause compares shares and their bounds with a value between 0 and 1, both excluded")
            if self.min_count < MIN_GOLD_TO_PAUSE or not bounded:
                raise ValueError(f"a pause needs upper_bound < value and min_count of at least {MIN_GOLD_TO_PAUSE}")
        return self


class ControlRules(_Strict):
    """The rules of a request, or of the platform, in their order."""

    rules: Annotated[list[ControlRule], Field(max_length=MOST_RULES)] = []

    @model_validator(mode="after")
    def names_are_distinct(self) -> Self:
        """Refuse two rules of one name: actions name their rule."""
        names = [rule.name for rule in self.rules]
        if len(set(names)) < len(names):
            raise ValueError("two rules have the same name")
        return self

    @property
    def version(self) -> str:
        """The hash by which these rules are known."""
        return hashlib.sha256(msgspec.json.encode(self.model_dump(mode="json"), order="sorted")).hexdigest()
