"""Commands and views of models as workers."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from marketplace.catalog.json_values import KEPT
from marketplace.quality.annotators.states import AnnotatorState

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), KEPT]
Address = Annotated[str, Field(max_length=500, pattern=r"^https?://[^\s/@]+(/[^\s?#]*)?$")]


class ConnectAnnotator(BaseModel):
    """A model behind Label Studio's ML-backend protocol, and where it runs."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "sentiment-v3", "url": "https://ml.example.com", "place": "CN"}]},
    )

    name: Name
    url: Annotated[Address, Field(description="The backend's address; `/health`, `/setup` and `/predict` are below it")]
    place: Annotated[
        str,
        Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$", description="ISO 3166 code of where it runs; the request's "
              "residency must allow it, since the data go there"),
    ]  # fmt: skip
    token: Annotated[SecretStr | None, Field(max_length=1_000, description="Sent as `Authorization: Bearer …`")] = None


class AnnotatorView(BaseModel):
    """A model with its progress and its measured quality: how probably a label of its is right, with a 95 % interval.

    `refused` counts what it said that the label schema does not take. The quality is null until it has been measured.
    """

    id: UUID
    name: str
    url: str
    place: str
    state: AnnotatorState
    model_version: str | None
    problem: str | None
    labeled: int
    refused: int
    created_at: datetime
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
