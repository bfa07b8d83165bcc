"""Commands and views of matching."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from marketplace.catalog.json_values import KeptText
from marketplace.catalog.schemas import OpenRequestView
from marketplace.catalog.states import RequestState
from marketplace.matching.states import Assignment, BidState, ContractState

Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Part = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
# one offset and one precision, so that the same moment always has the same canonical form
Moment = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


class BidTerms(BaseModel):
    """A vendor's offer. `unit_price` is per accepted answer at `PRICE_SCALE` (10⁻⁴ minor units), fee included."""

    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)

    unit_price: Annotated[int, Field(gt=0, le=2**53)]
    capacity_per_day: Annotated[int, Field(gt=0, le=10**9, description="Answers a day")]
    delivery_at: Moment
    promised_quality: Annotated[Part, Field(description="Share of answers that will be accepted")]
    share_wanted: Annotated[Share, Field(description="The largest share of the items that the vendor takes")]
    worker_share_bps: Annotated[int, Field(ge=0, le=10_000, description="Of what is left after the platform fee")]
    pay_workers_directly: bool
    assignment: Assignment = Assignment.OPEN
    note: Annotated[KeptText, Field(max_length=2000)] = ""


class OpenedTerms(BidTerms):
    """Terms after opening, with the salt by which anybody can check the commitment given at submission."""

    commitment_salt: str


class AwardReasonCode(StrEnum):
    """Why a bid got the share it got."""

    WHOLE_SHARE = "whole_share"
    CAPACITY_BOUND = "capacity_bound"
    BUDGET_BOUND = "budget_bound"
    REST_OF_ITEMS = "rest_of_items"
    NOTHING_LEFT = "nothing_left"
    NO_CAPACITY = "no_capacity"
    NO_BUDGET = "no_budget"
    VENDOR_UNFIT = "vendor_unfit"
    CHOSEN = "chosen"
    NOT_CHOSEN = "not_chosen"
    OPEN_CROWD = "open_crowd"


class BidScore(BaseModel):
    """The parts of a bid's score by the published formula (policy.py), and the share the formula proposes."""

    price: float
    quality: float
    capacity: float
    track_record: float
    total: float
    bundles_judged: int
    proposed_share: float
    reason: AwardReasonCode
    reason_text: str


class OwnBidView(BaseModel):
    """A bid as its own vendor sees it; `terms` and `commitment_salt` are null once it is withdrawn."""

    id: UUID
    request_id: UUID
    state: BidState
    terms: BidTerms | None
    commitment: str
    commitment_salt: str | None
    score: BidScore | None
    submitted_at: datetime


class BidView(BaseModel):
    """A bid as the enterprise sees it: no more than the commitment until it is opened."""

    id: UUID
    state: BidState
    commitment: str
    vendor_organisation_id: UUID | None
    opened: OpenedTerms | None
    score: BidScore | None


class BidsView(BaseModel):
    """All bids of a request. `bids_closed_at` is null while bids are taken; `formula` holds the weights.

    `share_left` is what the formula's proposal gives to no bid (null before the opening): the open crowd's, if the
    request is open to it.
    """

    request_id: UUID
    state: RequestState
    count: int
    bid_deadline: datetime
    bids_closed_at: datetime | None
    may_extend: bool
    formula: dict[str, float]
    share_left: float | None
    bids: list[BidView]


class Misfit(BaseModel):
    """One reason why a vendor may not bid."""

    code: str
    reason: str


class Fit(BaseModel):
    """Whether a vendor may bid on a request, and if not, why."""

    may_bid: bool
    misfits: list[Misfit]


class BiddableRequestView(OpenRequestView):
    """A request that takes bids, as vendors see it: with whether they may bid, and whether they have."""

    has_own_bid: bool
    fit: Fit


class AwardShare(BaseModel):
    """A part of an award: a bid's share of the items, or the open crowd's when `bid_id` is null."""

    bid_id: UUID | None = None
    share: Share


class AwardCommand(BaseModel):
    """The enterprise's decision; `note` is published with the reasons."""

    shares: Annotated[list[AwardShare], Field(min_length=1, max_length=200)]
    note: Annotated[KeptText, Field(max_length=2000)] = ""


class ExtendCommand(BaseModel):
    """A later bid deadline for a request that got no bid."""

    bid_deadline: Moment


class AwardReason(BaseModel):
    """What became of one bid (or of the open crowd), and why."""

    bid_id: UUID | None
    vendor_organisation_id: UUID | None
    share: float
    score: float | None
    code: AwardReasonCode
    text: str


class ContractView(BaseModel):
    """A contract: items at positions `first_position` up to, not including, `end_position`."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    request_id: UUID
    vendor_organisation_id: UUID | None
    first_position: int
    end_position: int
    unit_price: int
    currency: str
    platform_fee_bps: int
    worker_share_bps: int
    pay_workers_directly: bool
    assignment: Assignment
    delivery_at: datetime
    state: ContractState


class AwardView(BaseModel):
    """The decision, with its reasons and the contracts it made."""

    id: UUID
    request_id: UUID
    decided_by: str
    decided_at: datetime
    formula: dict[str, float]
    note: str
    open_crowd_share: float
    reasons: list[AwardReason]
    contracts: list[ContractView]
