"""Control rules and what they did, measures that claims read, and findings of fraud.

Revision: 0024, after 0023.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_ENUM = {"native_enum": False, "create_constraint": True, "length": 32}
_JSON = postgresql.JSONB(astext_type=sa.Text())
_MOMENT = sa.DateTime(timezone=True)


def _made() -> sa.Column[Any]:
    return sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False)


def upgrade() -> None:
    _measures()
    _rules()
    _findings()
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON control_rule_set FROM kapok_app")
    op.execute("REVOKE DELETE, TRUNCATE ON control_action, work_measure FROM kapok_app")


def downgrade() -> None:
    for table in ("conduct_mark", "worker_integrity", "control_action", "control_rule_set", "work_measure"):
        op.drop_table(table)


def _measures() -> None:
    op.create_table(
        "work_measure",
        _made(),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("scope_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Enum("pause", "more_gold", name="kind", **_ENUM), nullable=False),
        sa.Column("extra_gold", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("until", _MOMENT, nullable=False),
        sa.Column("lifted_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_measure")),
    )
    op.create_index(op.f("ix_work_measure_worker_id_until"), "work_measure", ["worker_id", "until"])


def _rules() -> None:
    op.create_table(
        "control_rule_set",
        _made(),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("definition", _JSON, nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_control_rule_set")),
    )
    op.create_index(op.f("ix_control_rule_set_scope_id_id"), "control_rule_set", ["scope_id", "id"])
    once = ("request_id", "rule_set_id", "rule", "worker_id", "event_id")
    op.create_table(
        "control_action",
        _made(),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("rule_set_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("action", _JSON, nullable=False),
        sa.Column("collector", sa.String(), nullable=False),
        sa.Column("figures", _JSON, nullable=False),
        sa.Column("until", _MOMENT, nullable=True),
        sa.Column("measure_id", sa.Uuid(), nullable=True),
        sa.Column("lifted_at", _MOMENT, nullable=True),
        sa.Column("lifted_by", sa.String(), nullable=True),
        sa.Column("lift_reason", sa.String(), nullable=True),
        sa.Column("objection", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_control_action")),
        sa.UniqueConstraint(*once, name=op.f("uq_control_action_request_id_rule_set_id_rule_worker_id_event_id")),
    )
    op.create_index(op.f("ix_control_action_request_id_id"), "control_action", ["request_id", "id"])
    op.create_index(op.f("ix_control_action_worker_id_id"), "control_action", ["worker_id", "id"])


def _findings() -> None:
    op.create_table(
        "worker_integrity",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("labels", sa.Integer(), nullable=False),
        sa.Column("spammer_score", sa.Float(), nullable=False),
        sa.Column("spammer_p", sa.Float(), nullable=True),
        sa.Column("is_spammer", sa.Boolean(), nullable=False),
        sa.Column("copy_z", sa.Float(), nullable=True),
        sa.Column("copy_p", sa.Float(), nullable=True),
        sa.Column("copied_with", sa.Uuid(), nullable=True),
        sa.Column("common_tasks", sa.Integer(), nullable=False),
        sa.Column("is_copier", sa.Boolean(), nullable=False),
        sa.Column("pattern_period", sa.Integer(), nullable=True),
        sa.Column("pattern_p", sa.Float(), nullable=True),
        sa.Column("is_bot", sa.Boolean(), nullable=False),
        sa.Column("fast_run", sa.Integer(), nullable=False),
        sa.Column("false_alarm_rate", sa.Float(), nullable=False),
        sa.Column("flagged_at", _MOMENT, nullable=True),
        sa.Column("made_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("request_id", "worker_id", name=op.f("pk_worker_integrity")),
    )
    op.create_index(op.f("ix_worker_integrity_worker_id_request_id"), "worker_integrity", ["worker_id", "request_id"])
    op.create_table(
        "conduct_mark",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("last_verdict_id", sa.Uuid(), nullable=True),
        sa.Column("tested_verdicts", sa.Integer(), nullable=False),
        sa.Column("is_final", sa.Boolean(), nullable=False),
        sa.Column("checked_at", _MOMENT, nullable=False),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_conduct_mark")),
    )
    open_only = sa.text("NOT is_final")
    op.create_index("ix_conduct_mark_open", "conduct_mark", ["request_id"], postgresql_where=open_only)
