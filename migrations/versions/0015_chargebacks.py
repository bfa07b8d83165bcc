"""Chargebacks, and the kind of object at a provider that they are.

Revision: 0015.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0013"
branch_labels = None
depends_on = None

_LEGS = ("charge", "payee", "transfer", "payout", "reversal", "refund")
_COLUMNS = (
    ("provider_call", "leg"),
    ("webhook_event", "object_kind"),
    ("sandbox_object", "kind"),
    ("sandbox_event", "kind"),
)
_ENUM = {"native_enum": False, "create_constraint": True, "length": 32}


def upgrade() -> None:
    _allow(*_LEGS, "dispute")
    op.create_table(
        "chargeback",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("charge_id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("remote_ref", sa.String(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("state", sa.Enum("open", "won", "lost", name="state", **_ENUM), nullable=False),
        sa.Column("evidence_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("frozen", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_chargeback_amount_positive")),
        sa.ForeignKeyConstraint(["charge_id"], ["charge.id"], name=op.f("fk_chargeback_charge_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chargeback")),
        sa.UniqueConstraint("provider", "remote_ref", name=op.f("uq_chargeback_provider_remote_ref")),
    )
    op.create_index(op.f("ix_chargeback_charge_id"), "chargeback", ["charge_id"])
    op.create_index(op.f("ix_chargeback_organisation_id_id"), "chargeback", ["organisation_id", "id"])
    op.create_index("ix_chargeback_open", "chargeback", ["evidence_due_at"], postgresql_where=sa.text("state = 'open'"))
    op.execute("REVOKE DELETE, TRUNCATE ON chargeback FROM kapok_app")


def downgrade() -> None:
    op.drop_table("chargeback")
    _allow(*_LEGS)


def _allow(*kinds: str) -> None:
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    for table, column in _COLUMNS:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_{column}")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{column} CHECK ({column} IN ({listed}))")
