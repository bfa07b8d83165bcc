"""Tables of quality."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from marketplace.core.tables import OfRequest, Timed, enum_field, json_field
from marketplace.quality.states import AppealState, Outcome, ReasonCode, VerdictState


class GateSet(Timed, table=True):
    """The ordered gates of a request with their bars; `version` is the hash of `definition`, fixed once."""

    __tablename__ = "gate_set"

    request_id: UUID = Field(primary_key=True)
    version: str = Field(primary_key=True)
    definition: dict[str, Any] = json_field()


class Verdict(OfRequest, table=True):
    """What was decided on one revision of a claim: why, by which gates, with evidence the worker may read.

    `final_at` is when it can no longer be appealed; `evidence` never names a gold task.
    """

    __tablename__ = "verdict"
    __table_args__ = (
        UniqueConstraint("request_id", "claim_id", "revision"),
        Index(None, "worker_id", "id"),
        Index("ix_verdict_given", "final_at", postgresql_where=text("state = 'given'")),
        Index("ix_verdict_rejected", "request_id", postgresql_where=text("outcome = 'rejected'")),
    )

    claim_id: UUID
    revision: int
    contract_id: UUID
    worker_id: UUID
    outcome: Outcome = enum_field(Outcome, "outcome")
    reason_code: ReasonCode = enum_field(ReasonCode, "reason_code")
    evidence: dict[str, Any] = json_field()
    gate_set_version: str
    decided_by: str
    final_at: datetime
    state: VerdictState = enum_field(VerdictState, "state", VerdictState.GIVEN)


class WorkerGold(Timed, table=True):
    """A worker's running record in a request: gold answers, and answers compared with the consensus of others."""

    __tablename__ = "worker_gold"
    __table_args__ = (
        CheckConstraint('0 <= "right" AND "right" <= seen', name="right_of_seen"),
        CheckConstraint("0 <= agreed AND agreed <= compared", name="agreed_of_compared"),
    )

    request_id: UUID = Field(primary_key=True)
    worker_id: UUID = Field(primary_key=True)
    right: int = 0
    seen: int = 0
    agreed: int = 0
    compared: int = 0


class Consensus(Timed, table=True):
    """The label of a task, computed from `answers` accepted answers, with its posterior probability `confidence`."""

    __tablename__ = "consensus"
    __table_args__ = (
        CheckConstraint("0 <= confidence AND confidence <= 1", name="confidence_is_a_probability"),
        Index(None, "request_id", "confidence", "task_id"),
    )

    request_id: UUID = Field(primary_key=True)
    task_id: UUID = Field(primary_key=True)
    value: Any = json_field()
    confidence: float
    distribution: dict[str, Any] = json_field()
    answers: int
    done: bool


class Appeal(OfRequest, table=True):
    """A worker's objection to a verdict, and the answer of the person who decided it, owed by `answer_due_at`."""

    __tablename__ = "appeal"
    __table_args__ = (
        UniqueConstraint("request_id", "verdict_id"),
        Index(None, "id"),
        Index("ix_appeal_open", "answer_due_at", "id", postgresql_where=text("state = 'open'")),
    )

    verdict_id: UUID
    worker_id: UUID
    text: str
    state: AppealState = enum_field(AppealState, "state", AppealState.OPEN)
    decided_by: str | None = None
    answer: str | None = None
    answer_due_at: datetime
    answered_at: datetime | None = None
