"""Law as configuration: months of withheld tax and their filing, tax forms, and pay below the minimum of a region.

Revision: 0020, after 0019.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables; a payout that was taxed before counts in its month by the clock of Shanghai, the tables' own."""
    _taxed_payout()
    _tax_filing()
    _tax_task()
    _tax_form()
    _minimum_pay()
    op.execute(
        "INSERT INTO taxed_payout (payout_id, authority, month)"
        " SELECT id, tax_authority, to_char(created_at AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM')"
        " FROM payout WHERE tax_authority IS NOT NULL"
    )
    op.execute("REVOKE UPDATE, DELETE ON taxed_payout, tax_filing, minimum_pay FROM kapok_app")
    op.execute("REVOKE DELETE ON tax_task FROM kapok_app")


def _taxed_payout() -> None:
    op.create_table(
        "taxed_payout",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("payout_id", sa.Uuid(), nullable=False),
        sa.Column("authority", sa.String(length=32), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.ForeignKeyConstraint(["payout_id"], ["payout.id"], name=op.f("fk_taxed_payout_payout_id")),
        sa.PrimaryKeyConstraint("payout_id", name=op.f("pk_taxed_payout")),
    )
    op.create_index(op.f("ix_taxed_payout_authority_month"), "taxed_payout", ["authority", "month"], unique=False)


def _tax_filing() -> None:
    op.create_table(
        "tax_filing",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("authority", sa.String(length=32), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("filed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("filed_by", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("authority", "month", name=op.f("pk_tax_filing")),
    )


def _tax_task() -> None:
    op.create_table(
        "tax_task",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("payout_id", sa.Uuid(), nullable=False),
        sa.Column("authority", sa.String(length=32), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column(
            "state",
            sa.Enum("open", "kept", "given_back", name="state", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.CheckConstraint("tax_minor > 0", name=op.f("ck_tax_task_tax_positive")),
        sa.ForeignKeyConstraint(["payout_id"], ["payout.id"], name=op.f("fk_tax_task_payout_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tax_task")),
        sa.UniqueConstraint("payout_id", name=op.f("uq_tax_task_payout_id")),
    )
    op.create_index(op.f("ix_tax_task_state_id"), "tax_task", ["state", "id"], unique=False)


def _tax_form() -> None:
    op.create_table(
        "tax_form",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("vendor", "worker", name="kind", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("form_type", sa.String(length=40), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.Column("filename", sa.String(length=200), nullable=False),
        sa.Column("media_type", sa.String(length=100), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("object_key", sa.String(), nullable=False),
        sa.Column("uploaded_by", sa.Uuid(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "uploaded", "verified", "refused", name="state", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.CheckConstraint("valid_until IS NULL OR valid_from <= valid_until", name=op.f("ck_tax_form_validity")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tax_form")),
    )
    op.create_index(op.f("ix_tax_form_owner_id_id"), "tax_form", ["owner_id", "id"], unique=False)
    op.create_index(op.f("ix_tax_form_state_id"), "tax_form", ["state", "id"], unique=False)


def _minimum_pay() -> None:
    op.create_table(
        "minimum_pay",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column(
            "action",
            sa.Enum("warn", "block", "top_up", name="action", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("earned_minor", sa.BigInteger(), nullable=False),
        sa.Column("minimum_minor", sa.BigInteger(), nullable=False),
        sa.Column("topped_up_minor", sa.BigInteger(), nullable=False),
        sa.Column(
            "paid_from",
            sa.Enum("reserve", "balance", name="paid_from", native_enum=False, create_constraint=True, length=32),
            nullable=True,
        ),
        sa.CheckConstraint(
            "topped_up_minor BETWEEN 0 AND minimum_minor - earned_minor",
            name=op.f("ck_minimum_pay_no_more_than_missing"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_minimum_pay")),
        sa.UniqueConstraint("request_id", "worker_id", name=op.f("uq_minimum_pay_request_id_worker_id")),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in ("minimum_pay", "tax_form", "tax_task", "tax_filing", "taxed_payout"):
        op.drop_table(name)
