"""Due process (held verdicts, the brake, answers that are due, clauses of a guideline) and the life of gold.

Revision: 0029, after 0028.
"""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_JSON = postgresql.JSONB(astext_type=sa.Text())


def _at(name: str, *, nullable: bool = True) -> "sa.Column[datetime]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _made() -> "sa.Column[datetime]":
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _state(*values: str) -> "sa.Column[str]":
    kind = sa.Enum(*values, name="state", native_enum=False, create_constraint=True, length=32)
    return sa.Column("state", kind, nullable=False)


def _appeals() -> None:
    op.add_column("appeal", _at("answer_due_at"))
    op.add_column("appeal", _at("answered_at"))
    op.execute("UPDATE appeal SET answer_due_at = created_at + interval '7 days'")
    op.execute("UPDATE appeal SET answered_at = now() WHERE state <> 'open'")
    op.alter_column("appeal", "answer_due_at", nullable=False)
    op.drop_index("ix_appeal_open", table_name="appeal")
    op.create_index("ix_appeal_open", "appeal", ["answer_due_at", "id"], postgresql_where=sa.text("state = 'open'"))
    op.create_index(op.f("ix_appeal_id"), "appeal", ["id"])


def upgrade() -> None:
    _appeals()
    op.add_column("guideline", sa.Column("clauses", _JSON, server_default="{}", nullable=False))
    op.create_table(
        "brake",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        _at("closed_at", nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("figures", _JSON, nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        _at("opened_at"),
        sa.Column("opened_by", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_brake")),
    )
    op.create_table(
        "held_verdict",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("claim_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("verdict", _JSON, nullable=False),
        _state("waiting", "confirmed", "accepted"),
        sa.Column("decided_by", sa.String(), nullable=True),
        _at("decided_at"),
        sa.Column("reason", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", "id", name=op.f("pk_held_verdict")),
        sa.UniqueConstraint(
            "request_id", "claim_id", "revision", name=op.f("uq_held_verdict_request_id_claim_id_revision")
        ),
    )
    op.create_index("ix_held_verdict_waiting", "held_verdict", ["id"], postgresql_where=sa.text("state = 'waiting'"))
    op.create_index(op.f("ix_held_verdict_worker_id_id"), "held_verdict", ["worker_id", "id"])
    _gold()


def _gold() -> None:
    op.add_column("request_worker", sa.Column("gold_scale", sa.Float(), server_default=sa.text("1"), nullable=False))
    op.create_table(
        "gold_addition",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("origin_id", sa.Uuid(), nullable=False),
        sa.Column("met", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "item_id", name=op.f("pk_gold_addition")),
    )
    op.create_table(
        "gold_pause",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        _at("from_at", nullable=False),
        _at("until_at"),
        sa.PrimaryKeyConstraint("request_id", "item_id", "from_at", name=op.f("pk_gold_pause")),
    )
    op.create_table(
        "gold_item",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        _state("active", "in_doubt", "kept", "corrected", "retired"),
        sa.Column("why", sa.String(), nullable=False),
        _at("changed_at", nullable=False),
        sa.Column("figures", _JSON, nullable=False),
        sa.Column("decided_by", sa.String(), nullable=True),
        _at("decided_at"),
        sa.Column("reason", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", "item_id", name=op.f("pk_gold_item")),
    )
    op.create_index("ix_gold_item_doubt", "gold_item", ["request_id"], postgresql_where=sa.text("state = 'in_doubt'"))
    source = sa.Enum("confident", "adjudicated", name="source", native_enum=False, create_constraint=True, length=32)
    op.create_table(
        "gold_candidate",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("value", _JSON, nullable=False),
        sa.Column("source", source, nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("answers", sa.Integer(), nullable=False),
        _state("proposed", "confirmed", "declined"),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", "task_id", name=op.f("pk_gold_candidate")),
    )
    op.create_index(
        "ix_gold_candidate_proposed", "gold_candidate", ["request_id"], postgresql_where=sa.text("state = 'proposed'")
    )


def downgrade() -> None:
    op.drop_column("request_worker", "gold_scale")
    for name in ("gold_candidate", "gold_item", "gold_pause", "gold_addition"):
        op.drop_table(name)
    op.drop_table("held_verdict")
    op.drop_table("brake")
    op.drop_column("guideline", "clauses")
    op.drop_index(op.f("ix_appeal_id"), table_name="appeal")
    op.drop_index("ix_appeal_open", table_name="appeal")
    op.drop_column("appeal", "answered_at")
    op.drop_column("appeal", "answer_due_at")
    op.create_index("ix_appeal_open", "appeal", ["id"], postgresql_where=sa.text("state = 'open'"))
