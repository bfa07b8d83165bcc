"""Commands and views of deliveries and exports."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from marketplace.catalog.states import ExportFormat, ExportState


class DeliveryView(BaseModel):
    """The delivery of a request: its quality report, and what the enterprise decided."""

    id: UUID
    request_id: UUID
    report: dict[str, Any]
    accepted_at: datetime | None
    disputed_at: datetime | None
    dispute_reason: str | None
    dismissal_reason: str | None
    created_at: datetime


class ExportDraft(BaseModel):
    """Which file to make. `with_answers` adds the single answers to the consensus of each item.

    `evidence` is the file from which every figure of the quality report can be computed anew; it has all answers.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"format": "parquet", "with_answers": True}]}
    )

    format: ExportFormat
    with_answers: bool = False


class ExportView(BaseModel):
    """One file of a delivery; `url` is there once it is ready, and expires."""

    id: UUID
    request_id: UUID
    format: ExportFormat
    with_answers: bool
    state: ExportState
    rows: int | None
    size_bytes: int | None
    sha256: Annotated[str | None, Field(description="Of the whole file, in hexadecimal")]
    url: Annotated[str | None, Field(description="A signed address; ask again for a new one")]
    created_at: datetime
