"""Tables of payments, of the sandbox provider, and of settlement.

Revision: 0009, after 0008.
"""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ENUM: Final[dict[str, Any]] = {"native_enum": False, "create_constraint": True, "length": 32}


def _payee() -> None:
    op.create_table(
        "payee",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Enum("vendor", "worker", name="kind", **_ENUM), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("auto_payout", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Enum("new", "ready", "refused", name="state", **_ENUM), nullable=False),
        sa.Column("failure_code", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payee")),
        sa.UniqueConstraint("kind", "owner_id", "provider", name=op.f("uq_payee_kind_owner_id_provider")),
    )
    op.create_index("ix_payee_auto", "payee", ["id"], postgresql_where=sa.text("auto_payout"))


def _charge() -> None:
    op.create_table(
        "charge",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Enum("created", "pending", "succeeded", "failed", name="state", **_ENUM), nullable=False),
        sa.Column("failure_code", sa.String(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_charge_amount_positive")),
        sa.CheckConstraint("refunded_minor BETWEEN 0 AND amount_minor", name=op.f("ck_charge_refunded_within")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charge")),
    )
    op.create_index(op.f("ix_charge_organisation_id_id"), "charge", ["organisation_id", "id"])


def _payout() -> None:
    op.create_table(
        "payout",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("payee_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "reserved", "transferred", "submitted", "paid", "failed", "reversed", "cancelled", name="state", **_ENUM
            ),
            nullable=False,
        ),
        sa.Column("failure_code", sa.String(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payout_amount_positive")),
        sa.ForeignKeyConstraint(["payee_id"], ["payee.id"], name=op.f("fk_payout_payee_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout")),
    )
    op.create_index(
        "ix_payout_moving", "payout", ["changed_at"], postgresql_where=sa.text("state NOT IN ('paid', 'cancelled')")
    )
    op.create_index(op.f("ix_payout_payee_id_id"), "payout", ["payee_id", "id"])


def _refund() -> None:
    op.create_table(
        "refund",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("charge_id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Enum("asked", "pending", "done", "failed", name="state", **_ENUM), nullable=False),
        sa.Column("failure_code", sa.String(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_refund_amount_positive")),
        sa.ForeignKeyConstraint(["charge_id"], ["charge.id"], name=op.f("fk_refund_charge_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund")),
        sa.UniqueConstraint("charge_id", "cause", name=op.f("uq_refund_charge_id_cause")),
    )
    op.create_index(op.f("ix_refund_cause"), "refund", ["cause"])
    op.create_index(op.f("ix_refund_organisation_id_id"), "refund", ["organisation_id", "id"])


def _provider_call() -> None:
    op.create_table(
        "provider_call",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("subject", sa.Enum("charge", "payee", "payout", "refund", name="subject", **_ENUM), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column(
            "leg",
            sa.Enum("charge", "payee", "transfer", "payout", "reversal", "refund", name="leg", **_ENUM),
            nullable=False,
        ),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("request", postgresql.JSONB(), nullable=False),
        sa.Column(
            "state", sa.Enum("sending", "unknown", "done", "rejected", "absent", name="state", **_ENUM), nullable=False
        ),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("answered", sa.Boolean(), nullable=False),
        sa.Column("remote_id", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_call")),
        sa.UniqueConstraint("provider", "key", name=op.f("uq_provider_call_provider_key")),
        sa.UniqueConstraint("subject_id", "leg", "attempt", name=op.f("uq_provider_call_subject_id_leg_attempt")),
    )
    op.create_index(
        "ix_provider_call_open_age",
        "provider_call",
        ["created_at"],
        postgresql_where=sa.text("state IN ('sending', 'unknown')"),
    )
    op.create_index(
        "uq_provider_call_open",
        "provider_call",
        ["subject_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('sending', 'unknown')"),
    )


def _webhook_event() -> None:
    op.create_table(
        "webhook_event",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column(
            "object_kind",
            sa.Enum("charge", "payee", "transfer", "payout", "reversal", "refund", name="object_kind", **_ENUM),
            nullable=False,
        ),
        sa.Column("object_ref", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Enum("pending", "applied", name="state", **_ENUM), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_event")),
        sa.UniqueConstraint("provider", "event_id", name=op.f("uq_webhook_event_provider_event_id")),
    )
    op.create_index(
        "ix_webhook_event_pending", "webhook_event", ["created_at"], postgresql_where=sa.text("state = 'pending'")
    )


def _sandbox_object() -> None:
    op.create_table(
        "sandbox_object",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("charge", "payee", "transfer", "payout", "reversal", "refund", name="kind", **_ENUM),
            nullable=False,
        ),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Enum("pending", "succeeded", "failed", name="state", **_ENUM), nullable=False),
        sa.Column("failure_code", sa.String(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_state", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sandbox_object")),
    )
    op.create_index(
        "ix_sandbox_object_due", "sandbox_object", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.create_index(op.f("ix_sandbox_object_kind_ref"), "sandbox_object", ["kind", "ref"])
    op.create_index(op.f("ix_sandbox_object_parent_id_kind"), "sandbox_object", ["parent_id", "kind"])


def _sandbox_entry() -> None:
    op.create_table(
        "sandbox_entry",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["object_id"], ["sandbox_object.id"], name=op.f("fk_sandbox_entry_object_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sandbox_entry")),
    )
    op.create_index(
        op.f("ix_sandbox_entry_currency_available_at"),
        "sandbox_entry",
        ["currency", "available_at"],
        postgresql_include=["amount_minor"],
    )


def _sandbox_key() -> None:
    op.create_table(
        "sandbox_key",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("asked", sa.String(), nullable=False),
        sa.Column("answer", postgresql.JSONB(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sandbox_key")),
    )


def _sandbox_event() -> None:
    op.create_table(
        "sandbox_event",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("charge", "payee", "transfer", "payout", "reversal", "refund", name="kind", **_ENUM),
            nullable=False,
        ),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sandbox_event")),
    )
    op.create_index(op.f("ix_sandbox_event_occurred_at"), "sandbox_event", ["occurred_at"])


def _contract_accrual() -> None:
    op.create_table(
        "contract_accrual",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("contract_id", sa.Uuid(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("accrued_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("units >= 0 AND accrued_minor >= 0", name=op.f("ck_contract_accrual_not_negative")),
        sa.PrimaryKeyConstraint("request_id", "contract_id", name=op.f("pk_contract_accrual")),
    )


def _accrual() -> None:
    op.create_table(
        "accrual",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("claim_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("contract_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("vendor_organisation_id", sa.Uuid(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("vendor_minor", sa.BigInteger(), nullable=False),
        sa.Column("worker_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Enum("accrued", "released", "taken_back", name="state", **_ENUM), nullable=False),
        sa.Column("release_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "amount_minor = fee_minor + vendor_minor + worker_minor", name=op.f("ck_accrual_split_adds_up")
        ),
        sa.CheckConstraint(
            "least(fee_minor, vendor_minor, worker_minor) >= 0", name=op.f("ck_accrual_parts_not_negative")
        ),
        sa.PrimaryKeyConstraint("request_id", "claim_id", "revision", name=op.f("pk_accrual")),
    )
    op.create_index(
        "uq_accrual_paid_once",
        "accrual",
        ["request_id", "claim_id"],
        unique=True,
        postgresql_where=sa.text("state <> 'taken_back'"),
    )
    op.create_index("ix_accrual_due", "accrual", ["release_at"], postgresql_where=sa.text("state = 'accrued'"))
    op.create_index("ix_accrual_request_id_state", "accrual", ["request_id", "state"])
    op.create_index(
        "ix_accrual_vendor",
        "accrual",
        ["vendor_organisation_id"],
        postgresql_where=sa.text("state = 'accrued'"),
    )
    op.create_index("ix_accrual_worker", "accrual", ["worker_id"], postgresql_where=sa.text("state = 'accrued'"))


def upgrade() -> None:
    _payee()
    _charge()
    _payout()
    _refund()
    _provider_call()
    _webhook_event()
    _sandbox_object()
    _sandbox_entry()
    _sandbox_key()
    _sandbox_event()
    _contract_accrual()
    _accrual()


def downgrade() -> None:
    for table in (
        "accrual",
        "contract_accrual",
        "sandbox_event",
        "sandbox_key",
        "sandbox_entry",
        "sandbox_object",
        "webhook_event",
        "provider_call",
        "refund",
        "payout",
        "charge",
        "payee",
    ):
        op.drop_table(table)
