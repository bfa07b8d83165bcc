"""Commands and views of reviews by sample."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from marketplace.catalog.json_values import KEPT
from marketplace.quality.sampling.iso2859 import AQLS
from marketplace.quality.sampling.plans import Method
from marketplace.quality.sampling.states import LabelFault, LotState, Part

Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4_000), KEPT]


def _known_aql(value: float) -> float:
    if value not in AQLS:
        raise ValueError(f"must be one of {', '.join(map(str, AQLS))} (per cent)")
    return value


Aql = Annotated[float, AfterValidator(_known_aql)]


class LotDraft(BaseModel):
    """A lot to open: all labels of the request so far, or those of one contract.

    `aql` is in per cent, the share of wrong labels that is still fine; `single` is ISO 2859-1's plan for it, `sprt`
    Wald's test of p0 = aql against `p1`, with the risks `alpha` (to reject a fine lot) and `beta` (to accept one with
    `p1` wrong), which looks at no more items than the single plan. `double_share` of the items go to two people.
    """

    model_config = ConfigDict(extra="forbid")

    contract_id: UUID | None = None
    method: Method = Method.SPRT
    aql: Aql = 2.5
    p1: Annotated[float, Field(gt=0, lt=1)] = 0.1
    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    beta: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    double_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    seed: Annotated[int | None, Field(ge=0, lt=2**53, description="Draws the items; left out, one is drawn")] = None


class LotView(BaseModel):
    """A lot: its plan and the plan's hash, how many items count so far, how many of these are wrong."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    request_id: UUID
    contract_id: UUID | None
    plan: dict[str, Any]
    plan_hash: str
    population_sha256: str
    state: LotState
    items: int
    wrong: int
    created_at: datetime
    closed_at: datetime | None


class CurvePoint(BaseModel):
    """After so many items: up to `accept_at` wrong ones accept the lot (-1: none do), from `reject_at` on reject it.

    `wrong` is how many there were, null where nobody has come yet.
    """

    items: int
    accept_at: int
    reject_at: int
    wrong: int | None


class RiskView(BaseModel):
    """What the plan does to lots with a share `p` of wrong labels: how many it accepts, how many items it looks at."""

    model_config = ConfigDict(from_attributes=True)

    p: float
    accepted: float
    mean_items: float


class ReviewerView(BaseModel):
    """A reviewer under a name that holds in this request only, measured where two looked at the same item.

    `overruled` of the `double` findings differ from what was settled; the interval is Jeffreys' of 95 %. Errors that
    both make are not seen, so that the rate is a lower estimate. All null before the first.
    """

    reviewer: str
    given: int
    double: int
    overruled: int
    error_rate: float | None
    low: float | None
    high: float | None


class LotDetail(LotView):
    """A lot with its decision curve, the plan's risks, its reviewers, and whether the plan still has its hash."""

    plan_holds: bool
    curve: list[CurvePoint]
    risks: list[RiskView]
    reviewers: list[ReviewerView]


class Opinion(BaseModel):
    """What one of two reviewers found, shown to who decides between them."""

    right: bool
    fault: LabelFault | None
    note: str


class ItemToReview(BaseModel):
    """An item drawn for me, with the label to judge; `opinions` only where I decide between two."""

    lot_id: UUID
    position: int
    part: Part
    item_id: UUID
    external_id: str
    data: dict[str, Any]
    media_key: str | None
    label: Any
    opinions: list[Opinion]


class ReviewIn(BaseModel):
    """A finding: `right`, or not and then what is wrong."""

    model_config = ConfigDict(extra="forbid")

    position: Annotated[int, Field(ge=1, le=100_000)]
    right: bool
    fault: LabelFault | None = None
    note: Note = ""

    @model_validator(mode="after")
    def fault_of_wrong(self) -> Self:
        """Ask for what is wrong exactly where something is."""
        if self.right == (self.fault is not None):
            raise ValueError("`fault` is given when the label is not right, and only then")
        return self


class ReviewedAccuracy(BaseModel):
    """The share of reviewed labels that are right, over all lots, with Jeffreys' interval of 95 %; null before any."""

    right: int
    wrong: int
    estimate: float | None
    low: float
    high: float
    newest: LotView | None
