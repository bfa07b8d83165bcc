"""What the operator sets at the sandbox: faults in a queue, its clock, and what its webhooks suffer.

Revision: 0019, after 0018.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_ENUM = {"native_enum": False, "create_constraint": True, "length": 32}
_LEGS = ("charge", "payee", "transfer", "payout", "reversal", "refund", "dispute")
_FAULTS = ("lost_request", "late_request", "lost_response", "error_before", "error_after", "throttled")


def upgrade() -> None:
    op.create_table(
        "sandbox_fault",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("leg", sa.Enum(*_LEGS, name="leg", **_ENUM), nullable=True),
        sa.Column("fault", sa.Enum(*_FAULTS, name="fault", **_ENUM), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sandbox_fault")),
    )
    op.create_index("ix_sandbox_fault_waiting", "sandbox_fault", ["id"], postgresql_where=sa.text("taken_at IS NULL"))
    op.create_table(
        "sandbox_knobs",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("clock_ahead_seconds", sa.BigInteger(), nullable=False),
        sa.Column("webhook_duplicate", sa.Boolean(), nullable=False),
        sa.Column("webhook_reorder", sa.Boolean(), nullable=False),
        sa.Column("webhook_drop", sa.Boolean(), nullable=False),
        sa.Column("webhook_delay_seconds", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_sandbox_knobs_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sandbox_knobs")),
    )


def downgrade() -> None:
    op.drop_table("sandbox_knobs")
    op.drop_table("sandbox_fault")
