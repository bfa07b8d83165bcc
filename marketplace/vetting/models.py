"""Tables of vetting; the subject (a vendor's or a person's id) is the distribution key."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, text
from sqlmodel import Field

from marketplace.core.ids import new_id
from marketplace.core.tables import Timed, enum_field, json_field
from marketplace.vetting.states import PaperKind, SubjectKind, VettingState


class WorkerProfile(Timed, table=True):
    """What a worker says about themselves: languages (BCP 47), where they work, skills {subject: 0 to 100}."""

    __tablename__ = "worker_profile"

    person_id: UUID = Field(primary_key=True, foreign_key="person.id")
    languages: list[str] = json_field()
    country: str = Field(max_length=2)
    region: str | None = Field(default=None, max_length=6)
    skills: dict[str, int] = json_field()


class VendorProfile(Timed, table=True):
    """What a vendor offers; `security_level` (0 to 5) is what the operator found proven, not what is claimed."""

    __tablename__ = "vendor_profile"
    __table_args__ = (
        CheckConstraint("security_level BETWEEN 0 AND 5", name="security_level"),
        CheckConstraint("capacity_per_day > 0", name="capacity_per_day"),
    )

    organisation_id: UUID = Field(primary_key=True, foreign_key="organisation.id")
    languages: list[str] = json_field()
    modalities: list[str] = json_field()
    capacity_per_day: int
    security_level: int = 0
    about: str = Field(max_length=5000)


class OfSubject(Timed):
    """A row of a vetted subject."""

    subject_id: UUID = Field(primary_key=True)
    id: UUID = Field(default_factory=new_id, primary_key=True)


class VettingFile(OfSubject, table=True):
    """What was checked about a vendor or worker; one that is not final at a time."""

    __tablename__ = "vetting_file"
    __table_args__ = (
        Index(
            "uq_vetting_file_open", "subject_id", unique=True,
            postgresql_where=text("state NOT IN ('refused', 'expired')"),
        ),
        Index(None, "id"),
        Index(None, "state", "id"),
        Index("ix_vetting_file_expiring", "expires_at", postgresql_where=text("state = 'approved'")),
    )  # fmt: skip

    subject: SubjectKind = enum_field(SubjectKind, "subject")
    state: VettingState = enum_field(VettingState, "state", VettingState.APPLIED)
    statement: str = Field(max_length=5000)
    applied_by: UUID
    expires_at: datetime | None = None


class Paper(OfSubject, table=True):
    """A paper in the object store, with the hash and type of its content."""

    __tablename__ = "vetting_paper"
    __table_args__ = (
        ForeignKeyConstraint(["subject_id", "file_id"], ["vetting_file.subject_id", "vetting_file.id"]),
        Index(None, "subject_id", "file_id"),
    )

    file_id: UUID
    kind: PaperKind = enum_field(PaperKind, "kind")
    filename: str = Field(max_length=200)
    media_type: str = Field(max_length=100)
    size_bytes: int = Field(sa_type=BigInteger)
    sha256: str = Field(max_length=64)
    object_key: str
    uploaded_by: UUID


class Decision(OfSubject, table=True):
    """A step of a file: to which state, by whom (None: by Kapok itself), and why."""

    __tablename__ = "vetting_decision"
    __table_args__ = (
        ForeignKeyConstraint(["subject_id", "file_id"], ["vetting_file.subject_id", "vetting_file.id"]),
        Index(None, "subject_id", "file_id"),
    )

    file_id: UUID
    verdict: VettingState = enum_field(VettingState, "verdict")
    reason: str = Field(max_length=5000)
    decided_by: UUID | None = None
