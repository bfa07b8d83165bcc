"""Tables of models as workers."""

from typing import Any
from uuid import UUID

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field

from marketplace.core.tables import OfRequest, Timed, enum_field, json_field
from marketplace.quality.annotators.states import AnnotatorState


class Annotator(OfRequest, table=True):
    """A model that labels a request's items; its id stands where a worker's would in the consensus.

    `place` is where it runs, as its enterprise declares it (ISO 3166). `token` is sealed for this row. Its labels are
    of the label schema's `schema_version`; when it was done the request had `items_seen` items, gold among them.
    """

    __tablename__ = "annotator"

    name: str
    url: str
    place: str
    token: bytes | None = Field(default=None, sa_type=LargeBinary)
    state: AnnotatorState = enum_field(AnnotatorState, "state", AnnotatorState.CONNECTING)
    model_version: str | None = None
    problem: str | None = None
    labeled: int = 0
    refused: int = 0
    schema_version: int = 0
    items_seen: int = 0


class AnnotatorLabel(Timed, table=True):
    """What a model says of an item: an answer object, or null with the reason why what it said is none."""

    __tablename__ = "annotator_label"
    __table_args__ = (Index("ix_annotator_label_request_id_task_id", "request_id", "task_id"),)

    request_id: UUID = Field(primary_key=True)
    annotator_id: UUID = Field(primary_key=True)
    task_id: UUID = Field(primary_key=True)
    value: Any = json_field(nullable=True)
    score: float | None = None
    problem: str | None = None
