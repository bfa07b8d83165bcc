"""Commands and views of vetting."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from marketplace.identity.schemas import Command, Country, Region
from marketplace.vetting.policy import MAX_SECURITY_LEVEL
from marketplace.vetting.states import Modality, PaperKind, SubjectKind, VettingState

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=5000)]
Languages = Annotated[
    list[Annotated[str, StringConstraints(min_length=2, max_length=35)]],
    Field(min_length=1, max_length=50, description="BCP 47 tags"),
]
Subject = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class SetWorkerProfile(Command):
    """Say which languages you work in, where you work, and how well you know which subjects (0 to 100)."""

    languages: Languages
    country: Country
    region: Region | None = None
    skills: Annotated[dict[Subject, Annotated[int, Field(ge=0, le=100)]], Field(max_length=100, default_factory=dict)]


class SetVendorProfile(Command):
    """Say what your organisation offers."""

    languages: Languages
    modalities: Annotated[list[Modality], Field(min_length=1, max_length=len(Modality))]
    capacity_per_day: Annotated[int, Field(gt=0, le=100_000_000, description="Answers a day")]
    about: Text = ""


class Apply(Command):
    """Ask to be vetted."""

    statement: Text = ""


class Decide(Command):
    """End a review; against the applicant only with a reason."""

    verdict: Literal[VettingState.APPROVED, VettingState.REFUSED, VettingState.NEEDS_PAPERS]
    reason: Text = ""
    security_level: Annotated[
        int | None,
        Field(ge=0, le=MAX_SECURITY_LEVEL, description="What a vendor's papers prove (GB/T 22240); kept when left out"),
    ] = None


class Suspend(Command):
    """Stop an approved subject until a person has looked again."""

    reason: Text


@dataclass(frozen=True, slots=True)
class WorkerStanding:
    """What decides whether a worker may see and take work, and which; made by one query."""

    person_id: UUID
    approved: bool
    languages: frozenset[str]
    country: str | None
    region: str | None
    vendor_ids: frozenset[UUID]
    skills: dict[str, int]


class WorkerProfileView(BaseModel):
    """A worker's profile."""

    model_config = ConfigDict(from_attributes=True)

    person_id: UUID
    languages: list[str]
    country: str
    region: str | None
    skills: dict[str, int]


class VendorProfileView(BaseModel):
    """A vendor's profile; the security level is the one that the operator found proven."""

    model_config = ConfigDict(from_attributes=True)

    organisation_id: UUID
    languages: list[str]
    modalities: list[Modality]
    capacity_per_day: int
    security_level: int
    about: str


class PaperView(BaseModel):
    """A paper, without its content."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: PaperKind
    filename: str
    media_type: str
    size_bytes: int
    sha256: str
    created_at: datetime


class DecisionView(BaseModel):
    """A step of a vetting file; `decided_by` is null when Kapok itself did it."""

    model_config = ConfigDict(from_attributes=True)

    verdict: VettingState
    reason: str
    decided_by: UUID | None
    created_at: datetime


class VettingFileView(BaseModel):
    """A vetting file in a list."""

    id: UUID
    subject: SubjectKind
    subject_id: UUID
    subject_name: str
    state: VettingState
    created_at: datetime
    expires_at: datetime | None


class VettingFileDetailView(VettingFileView):
    """A vetting file with all that a decision rests on."""

    statement: str
    papers: list[PaperView]
    decisions: list[DecisionView]
    worker_profile: WorkerProfileView | None
    vendor_profile: VendorProfileView | None


class PaperAddressView(BaseModel):
    """Where a paper can be read, for a short while."""

    url: str
    expires_in: Annotated[int, Field(description="Seconds")]
