"""Postings by hand, which two operators make; a transaction is reversed once; work rejected by a dispute.

Revision: 0015, after 0014.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

KINDS = ("manual", "reverse", "write_off", "claw_back", "sweep", "tax_remitted", "promo_bonus")
STATES = ("proposed", "approved", "rejected", "expired")
# What was proposed never changes; only the decision is written later.
DECISION = "state, decided_by, decided_at, decision_reason, txn_id"

REASONS = ("passed", "incomplete", "too_fast", "gold_accuracy", "agreement", "overturned")


def _reasons(*codes: str) -> None:
    op.drop_constraint(op.f("ck_verdict_reason_code"), "verdict")
    op.create_check_constraint(op.f("ck_verdict_reason_code"), "verdict", f"reason_code IN {codes}")


def _one_of(name: str, values: tuple[str, ...]) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=False, length=32)


def upgrade() -> None:
    """Make the table, and the index that lets each transaction be reversed once."""
    op.create_table(
        "manual_posting",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", _one_of("kind", KINDS), nullable=False),
        sa.Column("terms", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("state", _one_of("state", STATES), nullable=False),
        sa.Column("proposed_by", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decision_reason", sa.String(), nullable=True),
        sa.Column("txn_id", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.Uuid(), nullable=True),
        sa.Column("claim_id", sa.Uuid(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=True),
        sa.CheckConstraint(f"kind IN {KINDS}", name=op.f("ck_manual_posting_kind")),
        sa.CheckConstraint(f"state IN {STATES}", name=op.f("ck_manual_posting_state")),
        sa.CheckConstraint("(state = 'approved') = (txn_id IS NOT NULL)",
                           name=op.f("ck_manual_posting_posted_iff_approved")),
        sa.CheckConstraint("(state = 'proposed') = (decided_by IS NULL)",
                           name=op.f("ck_manual_posting_decided_by_somebody")),
        sa.CheckConstraint("state <> 'approved' OR decided_by <> proposed_by",
                           name=op.f("ck_manual_posting_four_eyes")),
        sa.ForeignKeyConstraint(["txn_id"], ["txn.id"], name=op.f("fk_manual_posting_txn_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_manual_posting")),
        sa.UniqueConstraint("txn_id", name=op.f("uq_manual_posting_txn_id")),
    )  # fmt: skip
    op.create_index(op.f("ix_manual_posting_state"), "manual_posting", ["state"])
    op.create_index(
        "uq_manual_posting_clawed_back_once", "manual_posting", ["request_id", "claim_id", "revision"],
        unique=True, postgresql_where=sa.text("state = 'approved'"),
    )  # fmt: skip
    op.create_index(
        "uq_txn_reverses", "txn", ["reverses"], unique=True, postgresql_where=sa.text("reverses IS NOT NULL")
    )
    _reasons(*REASONS, "disputed")
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON manual_posting FROM kapok_app")
    op.execute(f"GRANT UPDATE ({DECISION}) ON manual_posting TO kapok_app")


def downgrade() -> None:
    """Drop table and index; what a dispute rejected is told as overturned."""
    op.execute("UPDATE verdict SET reason_code = 'overturned' WHERE reason_code = 'disputed'")
    _reasons(*REASONS)
    op.drop_index("uq_txn_reverses", "txn")
    op.drop_table("manual_posting")
