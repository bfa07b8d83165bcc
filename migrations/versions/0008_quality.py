"""Gate sets, verdicts, gold records, consensus and appeals.

Revision: 0008, after 0007.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gate_set",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("definition", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "version", name=op.f("pk_gate_set")),
    )
    op.create_table(
        "verdict",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("claim_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("contract_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum(
                "accepted", "rework", "rejected", name="outcome", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column(
            "reason_code",
            sa.Enum(
                "passed",
                "incomplete",
                "too_fast",
                "gold_accuracy",
                "agreement",
                "overturned",
                name="reason_code",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("evidence", postgresql.JSONB(), nullable=False),
        sa.Column("gate_set_version", sa.String(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.Column("final_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "given",
                "appealed",
                "upheld",
                "overturned",
                "final",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("request_id", "id", name=op.f("pk_verdict")),
        sa.UniqueConstraint("request_id", "claim_id", "revision", name=op.f("uq_verdict_request_id_claim_id_revision")),
    )
    op.create_index(
        "ix_verdict_given", "verdict", ["final_at"], unique=False, postgresql_where=sa.text("state = 'given'")
    )
    op.create_index(op.f("ix_verdict_worker_id_id"), "verdict", ["worker_id", "id"], unique=False)
    op.create_table(
        "worker_gold",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("right", sa.Integer(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("agreed", sa.Integer(), nullable=False),
        sa.Column("compared", sa.Integer(), nullable=False),
        sa.CheckConstraint('0 <= "right" AND "right" <= seen', name=op.f("ck_worker_gold_right_of_seen")),
        sa.CheckConstraint("0 <= agreed AND agreed <= compared", name=op.f("ck_worker_gold_agreed_of_compared")),
        sa.PrimaryKeyConstraint("request_id", "worker_id", name=op.f("pk_worker_gold")),
    )
    op.create_table(
        "consensus",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("value", postgresql.JSONB(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("distribution", postgresql.JSONB(), nullable=False),
        sa.Column("answers", sa.Integer(), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "0 <= confidence AND confidence <= 1", name=op.f("ck_consensus_confidence_is_a_probability")
        ),
        sa.PrimaryKeyConstraint("request_id", "task_id", name=op.f("pk_consensus")),
    )
    op.create_index(
        op.f("ix_consensus_request_id_confidence_task_id"),
        "consensus",
        ["request_id", "confidence", "task_id"],
        unique=False,
    )
    op.create_table(
        "appeal",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("verdict_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column(
            "state",
            sa.Enum("open", "upheld", "overturned", name="state", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("answer", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", "id", name=op.f("pk_appeal")),
        sa.UniqueConstraint("request_id", "verdict_id", name=op.f("uq_appeal_request_id_verdict_id")),
    )
    op.create_index("ix_appeal_open", "appeal", ["id"], unique=False, postgresql_where=sa.text("state = 'open'"))


def downgrade() -> None:
    for table in ("appeal", "consensus", "worker_gold", "verdict", "gate_set"):
        op.drop_table(table)
