"""Tasks, bundles, seats, claims and answers.

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "answer",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("claim_id", sa.Uuid(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("is_gold", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "task_id", "worker_id", "revision", name=op.f("pk_answer")),
    )
    op.create_index(op.f("ix_answer_request_id_claim_id"), "answer", ["request_id", "claim_id"], unique=False)
    op.create_table(
        "bundle",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contract_id", sa.Uuid(), nullable=False),
        sa.Column("task_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("blocks", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("gold_wanted", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "id", name=op.f("pk_bundle")),
    )
    op.create_index(op.f("ix_bundle_request_id_contract_id"), "bundle", ["request_id", "contract_id"], unique=False)
    op.create_table(
        "claim",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seat_id", sa.Uuid(), nullable=False),
        sa.Column("bundle_id", sa.Uuid(), nullable=False),
        sa.Column("contract_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "claimed",
                "submitted",
                "accepted",
                "rework",
                "rejected",
                "returned",
                "expired",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("gold_start", sa.Integer(), nullable=False),
        sa.Column("gold_count", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("submission_id", sa.Uuid(), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("active_seconds", sa.Float(), nullable=True),
        sa.CheckConstraint("revision >= 0", name=op.f("ck_claim_revision_counts")),
        sa.PrimaryKeyConstraint("request_id", "id", name=op.f("pk_claim")),
        sa.UniqueConstraint("request_id", "worker_id", "key", name=op.f("uq_claim_request_id_worker_id_key")),
    )
    op.create_index(
        "ix_claim_lease",
        "claim",
        ["lease_expires_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('claimed', 'rework')"),
    )
    op.create_index(
        "ix_claim_undecided",
        "claim",
        ["request_id", "contract_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('claimed', 'rework', 'submitted')"),
    )
    op.create_index(op.f("ix_claim_worker_id_id"), "claim", ["worker_id", "id"], unique=False)
    op.create_index(
        "uq_claim_seat",
        "claim",
        ["request_id", "seat_id"],
        unique=True,
        postgresql_where=sa.text("state NOT IN ('returned', 'expired') AND state <> 'rejected'"),
    )
    op.create_index(
        "uq_claim_worker_bundle",
        "claim",
        ["request_id", "worker_id", "bundle_id"],
        unique=True,
        postgresql_where=sa.text("state NOT IN ('returned', 'expired')"),
    )
    op.create_table(
        "contract_plan",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("contract_id", sa.Uuid(), nullable=False),
        sa.Column("planned_units", sa.BigInteger(), nullable=False),
        sa.Column("bundle_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "contract_id", name=op.f("pk_contract_plan")),
    )
    op.create_table(
        "draft",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("claim_id", sa.Uuid(), nullable=False),
        sa.Column("answers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "claim_id", name=op.f("pk_draft")),
    )
    op.create_table(
        "late_submission",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("claim_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("submission_id", sa.Uuid(), nullable=False),
        sa.Column("answers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "id", name=op.f("pk_late_submission")),
        sa.UniqueConstraint("request_id", "claim_id", name=op.f("uq_late_submission_request_id_claim_id")),
    )
    op.create_table(
        "open_seat",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("seat_id", sa.Uuid(), nullable=False),
        sa.Column("contract_id", sa.Uuid(), nullable=False),
        sa.Column("bundle_id", sa.Uuid(), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("blocks", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("gold_wanted", sa.Integer(), nullable=False),
        sa.Column("reserved_for", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", "seat_id", name=op.f("pk_open_seat")),
    )
    op.create_index(
        "ix_open_seat_open",
        "open_seat",
        ["request_id", "contract_id", "rank"],
        unique=False,
        postgresql_where=sa.text("reserved_for IS NULL"),
    )
    op.create_index(
        "ix_open_seat_reserved",
        "open_seat",
        ["request_id", "reserved_for", "contract_id", "rank"],
        unique=False,
        postgresql_where=sa.text("reserved_for IS NOT NULL"),
    )
    op.create_table(
        "request_worker",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("guideline_version", sa.Integer(), nullable=False),
        sa.Column("contract_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("seen_blocks", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("gold_cursor", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "worker_id", name=op.f("pk_request_worker")),
    )
    op.create_index(op.f("ix_request_worker_worker_id"), "request_worker", ["worker_id"], unique=False)
    op.create_table(
        "seat",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("bundle_id", sa.Uuid(), nullable=False),
        sa.Column("contract_id", sa.Uuid(), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("reserved_for", sa.Uuid(), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "ready",
                "claimed",
                "submitted",
                "accepted",
                "rework",
                "rejected",
                "closed",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("request_id", "id", name=op.f("pk_seat")),
    )
    op.create_index(op.f("ix_seat_request_id_bundle_id"), "seat", ["request_id", "bundle_id"], unique=False)
    op.create_table(
        "task",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contract_id", sa.Uuid(), nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column("planned", sa.Integer(), nullable=False),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "id", name=op.f("pk_task")),
    )
    op.create_index(
        "ix_task_open",
        "task",
        ["request_id", "contract_id", "block"],
        unique=False,
        postgresql_where=sa.text("NOT done"),
    )
    op.create_index(op.f("ix_task_request_id_contract_id"), "task", ["request_id", "contract_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_task_request_id_contract_id"), table_name="task")
    op.drop_index("ix_task_open", table_name="task", postgresql_where=sa.text("NOT done"))
    op.drop_table("task")
    op.drop_index(op.f("ix_seat_request_id_bundle_id"), table_name="seat")
    op.drop_table("seat")
    op.drop_index(op.f("ix_request_worker_worker_id"), table_name="request_worker")
    op.drop_table("request_worker")
    op.drop_index("ix_open_seat_reserved", table_name="open_seat", postgresql_where=sa.text("reserved_for IS NOT NULL"))
    op.drop_index("ix_open_seat_open", table_name="open_seat", postgresql_where=sa.text("reserved_for IS NULL"))
    op.drop_table("open_seat")
    op.drop_table("late_submission")
    op.drop_table("draft")
    op.drop_table("contract_plan")
    op.drop_index(
        "uq_claim_worker_bundle", table_name="claim", postgresql_where=sa.text("state NOT IN ('returned', 'expired')")
    )
    op.drop_index(
        "uq_claim_seat",
        table_name="claim",
        postgresql_where=sa.text("state NOT IN ('returned', 'expired') AND state <> 'rejected'"),
    )
    op.drop_index(op.f("ix_claim_worker_id_id"), table_name="claim")
    op.drop_index(
        "ix_claim_undecided",
        table_name="claim",
        postgresql_where=sa.text("state IN ('claimed', 'rework', 'submitted')"),
    )
    op.drop_index("ix_claim_lease", table_name="claim", postgresql_where=sa.text("state IN ('claimed', 'rework')"))
    op.drop_table("claim")
    op.drop_index(op.f("ix_bundle_request_id_contract_id"), table_name="bundle")
    op.drop_table("bundle")
    op.drop_index(op.f("ix_answer_request_id_claim_id"), table_name="answer")
    op.drop_table("answer")
