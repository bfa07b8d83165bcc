"""Gates that a quality plan may set by itself: each with its own parameters, all of them optional.

What a gate does stands in `quality.gates`; a parameter that is left out is derived from the plan's bars.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_GATES: Final = 20
Share = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[float, Field(ge=0.5, lt=1, description="One-sided level of the bound on a worker's record")]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that were given."""
        return self.model_dump(exclude_none=True, exclude={"gate"})


class CompletenessAsked(_Asked):
    """Every task has an answer that fits the label schema; always the first gate."""

    gate: Literal["completeness"]


class MinimumTimeAsked(_Asked):
    """A floor on the mean seconds a task; below it, work goes back only when its gold is below `gold_bar` too."""

    gate: Literal["minimum_time"]
    min_seconds_per_task: Annotated[float | None, Field(ge=0, le=600)] = None
    min_fast_tasks: Annotated[int | None, Field(ge=1, le=200)] = None
    gold_bar: Share | None = None


class GoldAccuracyAsked(_Asked):
    """The share of hidden known answers that must be right."""

    gate: Literal["gold_accuracy"]
    bar: Share | None = None
    level: Level | None = None


class AgreementAsked(_Asked):
    """The share of answers that agree with labels of at least `confidence` from at least `others` answers.

    A worker with `gold_seen` known answers and `gold_bar` of them right passes in any case.
    """

    gate: Literal["agreement"]
    bar: Share | None = None
    level: Level | None = None
    gold_bar: Share | None = None
    gold_seen: Annotated[int | None, Field(ge=1, le=1000)] = None
    confidence: Annotated[float | None, Field(ge=0.5, lt=1)] = None
    others: Annotated[int | None, Field(ge=2, le=50)] = None


GateAsked = Annotated[
    CompletenessAsked | MinimumTimeAsked | GoldAccuracyAsked | AgreementAsked, Field(discriminator="gate")
]
GatesAsked = Annotated[list[GateAsked], Field(min_length=1, max_length=MAX_GATES)]


def check_order(gates: Sequence[GateAsked]) -> None:
    """Refuse a list in which a gate stands twice, or that does not begin with completeness.

    Raises:
        ValueError: it does.
    """
    names = [asked.gate for asked in gates]
    if len(set(names)) < len(names):
        raise ValueError("gates: each gate may stand once")
    if names[0] != "completeness":
        raise ValueError("gates: completeness must be the first, since the others need whole answers")
