"""Commands and views of the work."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from marketplace.tasks.states import ClaimState

MAX_DRAFT_ANSWERS = 500


class FeedEntry(BaseModel):
    """Work that a worker may take, or could take with what is `missing`. Pay is what the worker gets, after the fee.

    `pay_per_hour_minor` rests on the median time of the last 100 bundles done (`is_measured`), else on the request's
    own estimate; it is null when the vendor pays its workers itself.
    """

    request_id: UUID
    contract_id: UUID
    title: str
    description: str
    subject: str
    languages: list[str]
    label_kind: str
    vendor_organisation_id: UUID | None
    guideline_version: int
    is_confirmed: bool
    deadline: datetime
    currency: str
    tasks_per_bundle: int
    pay_per_bundle_minor: int | None
    pay_per_hour_minor: int | None
    minutes_per_bundle: float
    is_measured: bool
    open_seats_for_you: bool
    reserved_seats: int
    missing: list[str]


class Feed(BaseModel):
    """What a worker sees: work that is open first, then what is missing for the rest."""

    entries: list[FeedEntry]


class Confirmation(BaseModel):
    """A worker says: I have read this version of the guideline and work by it."""

    guideline_version: Annotated[int, Field(ge=1, examples=[1])]


class ClaimCreate(BaseModel):
    """Take the next seat of a contract. `key` is your own (a UUID will do): sending it again gets the same claim."""

    key: Annotated[str, Field(min_length=8, max_length=64, examples=["0f9d5c1e-6d2b-4a53-a9e8-3c3f1f0c2b77"])]


class TaskView(BaseModel):
    """One task as a worker sees it; whether it is gold is not said."""

    task_id: UUID
    data: dict[str, Any]
    media_url: str | None


class ClaimView(BaseModel):
    """A claim: the tasks in the order to do them, and how long the lease lasts."""

    claim_id: UUID
    request_id: UUID
    lease_expires_at: datetime
    tasks: list[TaskView]


class AnswerIn(BaseModel):
    """One answer: its value has the form that the request's label schema asks for; seconds spent on it."""

    model_config = ConfigDict(extra="forbid")

    task_id: UUID
    value: Any
    seconds: Annotated[float, Field(ge=0, le=86_400)]


class SubmissionIn(BaseModel):
    """The answers of a whole bundle. Tasks that are not named are taken from the draft."""

    submission_id: Annotated[UUID, Field(description="Made by you; sending it again gets the same answer")]
    answers: Annotated[list[AnswerIn], Field(max_length=MAX_DRAFT_ANSWERS)]


class SubmissionView(BaseModel):
    """What became of a submission: "submitted" (it counts, verdict follows) or "kept" (it came too late; why)."""

    state: str
    revision: int
    reason: str


class DraftIn(BaseModel):
    """Answers to save before the submission."""

    answers: Annotated[list[AnswerIn], Field(max_length=MAX_DRAFT_ANSWERS)]


class DraftView(BaseModel):
    """How many answers of this claim are saved."""

    saved: int


class LeaseView(BaseModel):
    """When the lease ends now."""

    lease_expires_at: datetime


class WorkerClaimView(BaseModel):
    """One of a worker's claims, in their history."""

    claim_id: UUID
    request_id: UUID
    contract_id: UUID
    state: ClaimState
    units: int
    revision: int
    claimed_at: datetime
    lease_expires_at: datetime
    submitted_at: datetime | None


class ReservationCreate(BaseModel):
    """Reserve seats for one of your workers: bundles with just these items, in this order, one seat each."""

    worker_id: UUID
    external_ids: Annotated[list[str], Field(min_length=1, max_length=20_000)]


class ReservationView(BaseModel):
    """What was reserved."""

    bundles: int
    tasks: int


class ContractWorkView(BaseModel):
    """What of a contract is not decided yet."""

    contract_id: UUID
    state: str
    open_seats: int
    held: int
    submitted: int
