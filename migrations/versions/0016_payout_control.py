"""Pauses, circuits, payout preferences, planned periods and payout methods; a payee may lapse. Never changed later.

Revision: 0016.
"""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0013"
branch_labels = None
depends_on = None

_ENUM: Final[dict[str, Any]] = {"native_enum": False, "create_constraint": True, "length": 32}


def _created_at() -> sa.Column[Any]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _kind() -> sa.Column[Any]:
    return sa.Column("kind", sa.Enum("vendor", "worker", name="kind", **_ENUM), nullable=False)


def upgrade() -> None:
    _pause()
    _circuit()
    _preference()
    _plan()
    _method()
    op.drop_constraint(op.f("ck_payee_state"), "payee")
    op.create_check_constraint(op.f("ck_payee_state"), "payee", "state IN ('new', 'ready', 'lapsed', 'refused')")
    op.execute("REVOKE DELETE, TRUNCATE ON payment_pause, payout_plan, payout_method FROM kapok_app")


def _pause() -> None:
    scope = sa.Enum("provider", "organisation", "payee", name="scope", **_ENUM)
    op.create_table(
        "payment_pause",
        _created_at(),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope", scope, nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_pause")),
    )
    op.create_index(
        "uq_payment_pause_standing",
        "payment_pause",
        ["scope", "target"],
        unique=True,
        postgresql_where=sa.text("lifted_at IS NULL"),
    )


def _circuit() -> None:
    op.create_table(
        "provider_circuit",
        _created_at(),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("state", sa.Enum("closed", "open", "half_open", name="state", **_ENUM), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("openings", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("probe_id", sa.Uuid(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_provider_circuit")),
    )


def _preference() -> None:
    schedule = sa.Enum("manual", "at_once", "weekly", "monthly", name="schedule", **_ENUM)
    op.create_table(
        "payout_preference",
        _created_at(),
        _kind(),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("schedule", schedule, nullable=False),
        sa.Column("minimums_minor", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("planned_period", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "owner_id", name=op.f("pk_payout_preference")),
    )
    op.create_index(op.f("ix_payout_preference_schedule"), "payout_preference", ["schedule"])


def _plan() -> None:
    op.create_table(
        "payout_plan",
        _created_at(),
        sa.Column("payee_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("payout_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["payee_id"], ["payee.id"], name=op.f("fk_payout_plan_payee_id")),
        sa.ForeignKeyConstraint(["payout_id"], ["payout.id"], name=op.f("fk_payout_plan_payout_id")),
        sa.PrimaryKeyConstraint("payee_id", "currency", "period", name=op.f("pk_payout_plan")),
    )


def _method() -> None:
    op.create_table(
        "payout_method",
        _created_at(),
        _kind(),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("holder_name", sa.String(), nullable=False),
        sa.Column("bank_name", sa.String(), nullable=False),
        sa.Column("bank_code", sa.String(), nullable=False),
        sa.Column("account_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("account_last4", sa.String(length=4), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("usable_from", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(account_last4) <= 4", name=op.f("ck_payout_method_last4_short")),
        sa.PrimaryKeyConstraint("kind", "owner_id", "provider", "currency", name=op.f("pk_payout_method")),
        sa.UniqueConstraint("id", name=op.f("uq_payout_method_id")),
    )


def downgrade() -> None:
    for table in ("payout_method", "payout_plan", "payout_preference", "provider_circuit", "payment_pause"):
        op.drop_table(table)
    op.execute("UPDATE payee SET state = 'ready' WHERE state = 'lapsed'")
    op.drop_constraint(op.f("ck_payee_state"), "payee")
    op.create_check_constraint(op.f("ck_payee_state"), "payee", "state IN ('new', 'ready', 'refused')")
