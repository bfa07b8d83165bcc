"""Commands and views of uploads."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from marketplace.catalog.json_values import KEPT
from marketplace.catalog.states import UploadFormat, UploadState
from marketplace.core.storage import MAX_OBJECT_BYTES

_EXAMPLE: Final[dict[str, Any]] = {
    "filename": "reviews.jsonl",
    "size_bytes": 4820133,
    "format": "jsonl",
    "keep_good_rows": False,
}


class UploadDraft(BaseModel):
    """What will be uploaded. With `keep_good_rows` false, one bad row refuses the whole upload."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    filename: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), KEPT]
    size_bytes: Annotated[int, Field(gt=0, le=MAX_OBJECT_BYTES)]
    format: UploadFormat
    keep_good_rows: bool = False


class RowProblem(BaseModel):
    """A row that was refused: its line (of a ZIP: the number of the file in it), where in it, and why."""

    line: int | None
    field: str
    reason: str


class UploadView(BaseModel):
    """Where an upload stands. `rows_bad` counts all refused rows, `report` lists the first of them."""

    id: UUID
    request_id: UUID
    filename: str
    format: UploadFormat
    keep_good_rows: bool
    size_bytes: int
    offset_bytes: int
    state: UploadState
    rows_good: int
    rows_bad: int
    report: list[RowProblem]
    created_at: datetime
