"""Tables of the catalog. `dataset_request.id` is the distribution key of the whole market (`request_id` elsewhere)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field

from marketplace.catalog.states import (
    AwardMode,
    Channel,
    DataClass,
    ExportFormat,
    ExportState,
    LabelKind,
    RefundTo,
    RequestState,
    UploadFormat,
    UploadState,
)
from marketplace.core.tables import Identified, OfRequest, Timed, enum_field, json_field, minor_field


class DatasetRequest(Identified, table=True):
    """The demand. Prices are per accepted answer at `PRICE_SCALE`; amounts are minor units of `currency`.

    `quality_plan` holds a `schemas.QualityPlan`, `scoring` the weights of the published award formula.
    """

    __tablename__ = "dataset_request"
    __table_args__ = (
        CheckConstraint("unit_price_ceiling > 0", name="price_positive"),
        CheckConstraint("budget_minor > 0", name="budget_positive"),
        Index(None, "organisation_id", "id"),
        Index(None, "state", "id"),
    )

    organisation_id: UUID
    title: str
    description: str
    subject: str
    languages: list[str] = json_field()
    currency: str = Field(max_length=3)
    unit_price_ceiling: int = minor_field()
    budget_minor: int = minor_field()
    deadline: datetime
    bid_deadline: datetime
    quality_plan: dict[str, Any] = json_field()
    scoring: dict[str, float] = json_field()
    data_class: DataClass = enum_field(DataClass, "data_class")
    residency: list[str] = json_field()
    channel: Channel = enum_field(Channel, "channel")
    award_mode: AwardMode = enum_field(AwardMode, "award_mode")
    refund_to: RefundTo = enum_field(RefundTo, "refund_to")
    release_window_seconds: int
    seconds_per_task: float
    seed: int = minor_field()
    label_schema_version: int = 0
    guideline_version: int = 0
    item_count: int = 0
    gold_count: int = 0
    state: RequestState = enum_field(RequestState, "state", RequestState.DRAFT)
    suspended_from: str | None = None
    published_at: datetime | None = None
    closed_at: datetime | None = None


class LabelSchema(Timed, table=True):
    """One version of what an answer is: the kind's own definition, and the JSON Schema made from it."""

    __tablename__ = "label_schema"

    request_id: UUID = Field(primary_key=True)
    version: int = Field(primary_key=True)
    kind: LabelKind = enum_field(LabelKind, "kind")
    definition: dict[str, Any] = json_field()
    json_schema: dict[str, Any] = json_field()


class Guideline(Timed, table=True):
    """One version of the labeling task description, with examples and, by reason code, the clauses verdicts rest on."""

    __tablename__ = "guideline"

    request_id: UUID = Field(primary_key=True)
    version: int = Field(primary_key=True)
    body: str
    examples: list[dict[str, Any]] = json_field(default_factory=list)
    clauses: dict[str, str] = json_field(default_factory=dict, sa_column_kwargs={"server_default": "{}"})


class Item(OfRequest, table=True):
    """One unit of data to label. `position` counts from 0 in the order of arrival; gold items have a position of -1."""

    __tablename__ = "item"
    __table_args__ = (
        UniqueConstraint("request_id", "external_id"),
        Index("ix_item_request_id_position", "request_id", "position"),
    )

    external_id: str
    position: int
    data: dict[str, Any] = json_field()
    media_key: str | None = None


class Gold(Timed, table=True):
    """The known truth of an item, and why it is so (shown to a worker who got it wrong once it is out of use)."""

    __tablename__ = "gold"

    request_id: UUID = Field(primary_key=True)
    item_id: UUID = Field(primary_key=True)
    truth: Any = json_field()
    note: str = ""


class Upload(OfRequest, table=True):
    """A resumable upload of data and the import that follows; `report` lists refused rows with line and reason."""

    __tablename__ = "upload"

    organisation_id: UUID
    filename: str
    format: UploadFormat = enum_field(UploadFormat, "format")
    keep_good_rows: bool
    size_bytes: int = minor_field()
    offset_bytes: int = minor_field(0)
    state: UploadState = enum_field(UploadState, "state", UploadState.RECEIVING)
    rows_good: int = 0
    rows_bad: int = 0
    report: list[dict[str, Any]] = json_field(default_factory=list)


class UploadPart(Timed, table=True):
    """A stretch of an upload, stored as an object of its own; the key keeps two senders from writing one stretch."""

    __tablename__ = "upload_part"

    request_id: UUID = Field(primary_key=True)
    upload_id: UUID = Field(primary_key=True)
    offset_bytes: int = minor_field(primary_key=True)
    size_bytes: int = minor_field()
    object_key: str


class Delivery(OfRequest, table=True):
    """What the enterprise decides on: the quality report, and acceptance or dispute with reasons.

    `dismissal_reason` is the arbitrator's, when a dispute ended by accepting the delivery in the enterprise's place.
    """

    __tablename__ = "delivery"
    __table_args__ = (UniqueConstraint("request_id"),)

    report: dict[str, Any] = json_field()
    accepted_at: datetime | None = None
    disputed_at: datetime | None = None
    dispute_reason: str | None = None
    dismissal_reason: str | None = None


class Export(OfRequest, table=True):
    """One file of a delivery in the object store."""

    __tablename__ = "export"

    format: ExportFormat = enum_field(ExportFormat, "format")
    with_answers: bool
    state: ExportState = enum_field(ExportState, "state", ExportState.WAITING)
    object_key: str | None = None
    rows: int | None = None
    size_bytes: int | None = Field(default=None, sa_type=BigInteger)
    sha256: str | None = None
