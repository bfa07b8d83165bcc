"""Tables of what consensus learned: a request's model, and how good each worker proved to be in it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, LargeBinary
from sqlmodel import Field

from marketplace.core.clock import now
from marketplace.core.tables import Timed, json_field


class RequestModel(Timed, table=True):
    """The newest fit of a request: enough to give any of its tasks a posterior.

    `number` grows by one with each fit, `units` accepted and `answers` (gold among them) are what it rests
    on, `parameters` the model's own
    (zlib of JSON), `record` a `Convergence`, `calibration` a `Calibration` (how confidences were made honest).
    """

    __tablename__ = "request_model"
    __table_args__ = (CheckConstraint("number > 0 AND answers >= 0", name="counts"),)

    request_id: UUID = Field(primary_key=True)
    number: int
    units: int = Field(sa_type=BigInteger)
    answers: int = Field(sa_type=BigInteger)
    parameters: bytes = Field(sa_type=LargeBinary)
    record: dict[str, Any] = json_field()
    calibration: dict[str, Any] = json_field()
    fitted_at: datetime = Field(default_factory=now)


class RequestSkill(Timed, table=True):
    """How good a worker is at a request by its newest fit: mean accuracy with a 95 % interval, and what it rests on."""

    __tablename__ = "request_skill"
    __table_args__ = (
        CheckConstraint("0 <= low AND low <= high AND high <= 1 AND 0 <= accuracy AND accuracy <= 1", name="shares"),
    )

    request_id: UUID = Field(primary_key=True)
    worker_id: UUID = Field(primary_key=True)
    accuracy: float
    low: float
    high: float
    answers: int = Field(sa_type=BigInteger)
    gold: int
