"""Invoices, never changed once written, with gapless numbers; and indexes to read what a payee earned.

Revision: 0017, after 0016.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "invoice_counter",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("entity_tax_id", sa.String(length=64), nullable=False),
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("entity_tax_id", "year", name=op.f("pk_invoice_counter")),
    )
    op.create_table(
        "invoice",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("corrects", sa.Uuid(), nullable=True),
        sa.Column("entity_tax_id", sa.String(length=64), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("number", sa.String(length=40), nullable=False),
        sa.Column("entity_name", sa.String(), nullable=False),
        sa.Column("entity_address", sa.String(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("buyer_name", sa.String(), nullable=False),
        sa.Column("buyer_country", sa.String(length=2), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("period_end", sa.Date(), nullable=False),
        sa.Column("time_zone", sa.String(), nullable=False),
        sa.Column("work_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('invoice', 'credit_note')", name=op.f("ck_invoice_kind")),
        sa.CheckConstraint("sequence > 0", name=op.f("ck_invoice_sequence_counts")),
        sa.CheckConstraint("(corrects IS NULL) = (kind = 'invoice')", name=op.f("ck_invoice_note_corrects")),
        sa.CheckConstraint("(total_minor > 0) = (kind = 'invoice')", name=op.f("ck_invoice_sign_of_kind")),
        sa.CheckConstraint("total_minor = work_minor + fee_minor", name=op.f("ck_invoice_adds_up")),
        sa.ForeignKeyConstraint(["corrects"], ["invoice.id"], name=op.f("fk_invoice_corrects")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice")),
        sa.UniqueConstraint("entity_tax_id", "number", name=op.f("uq_invoice_entity_tax_id_number")),
        sa.UniqueConstraint("entity_tax_id", "year", "sequence", name=op.f("uq_invoice_entity_tax_id_year_sequence")),
    )
    op.create_index(op.f("ix_invoice_organisation_id_id"), "invoice", ["organisation_id", "id"])
    op.create_index(
        "uq_invoice_period",
        "invoice",
        ["entity_tax_id", "organisation_id", "currency", "period_start", "corrects"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "invoice_line",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("request_title", sa.String(), nullable=False),
        sa.Column("contract_id", sa.Uuid(), nullable=True),
        sa.Column("txn_id", sa.Uuid(), nullable=True),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("work_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('work', 'bonus', 'claw_back', 'reverse')", name=op.f("ck_invoice_line_kind")),
        sa.CheckConstraint("amount_minor = work_minor + fee_minor", name=op.f("ck_invoice_line_adds_up")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_invoice_line_invoice_id")),
        sa.PrimaryKeyConstraint("invoice_id", "position", name=op.f("pk_invoice_line")),
    )
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON invoice, invoice_line FROM kapok_app")
    op.execute("REVOKE DELETE, TRUNCATE ON invoice_counter FROM kapok_app")
    op.create_index("ix_accrual_worker_all", "accrual", ["worker_id", "claim_id"])
    op.create_index("ix_accrual_vendor_all", "accrual", ["vendor_organisation_id", "claim_id"])
    op.create_index("ix_accrual_released", "accrual", ["released_at"])


def downgrade() -> None:
    op.drop_index("ix_accrual_released", "accrual")
    op.drop_index("ix_accrual_vendor_all", "accrual")
    op.drop_index("ix_accrual_worker_all", "accrual")
    op.drop_table("invoice_line")
    op.drop_table("invoice")
    op.drop_table("invoice_counter")
