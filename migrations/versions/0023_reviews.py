"""More gold after implausibly fast work; lots of labels reviewed by sample, the items drawn, and what reviewers found.

Revision: 0023, after 0022.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_JSON = postgresql.JSONB(astext_type=sa.Text())
_FAULTS = ("wrong_class", "missed", "invented", "inexact", "text", "guideline", "other")


def _enum(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def _created() -> sa.Column[Any]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def upgrade() -> None:
    op.add_column("request_worker", sa.Column("more_gold", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "review_lot",
        _created(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contract_id", sa.Uuid(), nullable=True),
        sa.Column("plan", _JSON, nullable=False),
        sa.Column("plan_hash", sa.String(), nullable=False),
        sa.Column("population_sha256", sa.String(), nullable=False),
        sa.Column("state", _enum("state", "open", "accepted", "rejected"), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("opened_by", sa.String(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("0 <= wrong AND wrong <= items", name=op.f("ck_review_lot_wrong_of_items")),
        sa.PrimaryKeyConstraint("request_id", "id", name=op.f("pk_review_lot")),
    )
    op.create_table(
        "review_item",
        _created(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("lot_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("label", _JSON, nullable=False),
        sa.Column("is_double", sa.Boolean(), nullable=False),
        sa.Column("is_wrong", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", "lot_id", "position", name=op.f("pk_review_item")),
        sa.UniqueConstraint("request_id", "lot_id", "item_id", name=op.f("uq_review_item_request_id_lot_id_item_id")),
    )
    op.create_table(
        "item_review",
        _created(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("lot_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("reviewer_id", sa.Uuid(), nullable=False),
        sa.Column("part", _enum("part", "review", "arbitration"), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_wrong", sa.Boolean(), nullable=True),
        sa.Column("fault", _enum("fault", *_FAULTS), nullable=True),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(is_wrong IS NULL) = (given_at IS NULL)", name=op.f("ck_item_review_given_with_finding")),
        sa.PrimaryKeyConstraint("request_id", "lot_id", "position", "reviewer_id", name=op.f("pk_item_review")),
    )


def downgrade() -> None:
    op.drop_table("item_review")
    op.drop_table("review_item")
    op.drop_table("review_lot")
    op.drop_column("request_worker", "more_gold")
