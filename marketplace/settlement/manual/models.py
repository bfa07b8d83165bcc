"""The table of proposals."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field

from marketplace.core.tables import Identified, enum_field, json_field
from marketplace.settlement.manual.states import ManualKind, ProposalState


class ManualPosting(Identified, table=True):
    """A proposed posting and its decision; `request_id`, `claim_id`, `revision` name the accrual of a claw-back."""

    __tablename__ = "manual_posting"
    __table_args__ = (
        CheckConstraint("(state = 'approved') = (txn_id IS NOT NULL)", name="posted_iff_approved"),
        CheckConstraint("(state = 'proposed') = (decided_by IS NULL)", name="decided_by_somebody"),
        CheckConstraint("state <> 'approved' OR decided_by <> proposed_by", name="four_eyes"),
        Index(
            "uq_manual_posting_clawed_back_once", "request_id", "claim_id", "revision",
            unique=True, postgresql_where=text("state = 'approved'"),
        ),
    )  # fmt: skip

    kind: ManualKind = enum_field(ManualKind, "kind")
    terms: dict[str, Any] = json_field()
    reason: str
    state: ProposalState = enum_field(ProposalState, "state", ProposalState.PROPOSED, index=True)
    proposed_by: str
    expires_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None
    decision_reason: str | None = None
    txn_id: UUID | None = Field(default=None, unique=True, foreign_key="txn.id")
    request_id: UUID | None = None
    claim_id: UUID | None = None
    revision: int | None = None
