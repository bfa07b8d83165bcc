"""The manual rail: lines and files for the bank, and the bank's results.

Revision: 0018, after 0017. What the rail was told and what the bank said is never changed once written.
"""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_ENUM: Final[dict[str, Any]] = {"native_enum": False, "create_constraint": True, "length": 32}
_TABLES: Final = ("bank_file_batch", "bank_file_import", "bank_file_object", "bank_file_line")


def _bank_file_batch() -> None:
    op.create_table(
        "bank_file_batch",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column(
            "state",
            sa.Enum("draft", "approved", "exported", "settled", "discarded", name="state", **_ENUM),
            nullable=False,
        ),
        sa.Column("line_count", sa.Integer(), nullable=False),
        sa.Column("sum_minor", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("released_by", sa.String(), nullable=True),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("exported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("signature", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_file_batch")),
    )


def _bank_file_import() -> None:
    op.create_table(
        "bank_file_import",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("imported_by", sa.String(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("applied", sa.Integer(), nullable=False),
        sa.Column("repeated", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("report", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("stated_minor", sa.BigInteger(), nullable=True),
        sa.Column("stated_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_file_import")),
        sa.UniqueConstraint("sha256", name=op.f("uq_bank_file_import_sha256")),
    )
    op.create_index(op.f("ix_bank_file_import_currency_stated_on"), "bank_file_import", ["currency", "stated_on"])


def _bank_file_object() -> None:
    op.create_table(
        "bank_file_object",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("charge", "payee", "transfer", "payout", "reversal", "refund", name="kind", **_ENUM),
            nullable=False,
        ),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("payee_ref", sa.String(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("value_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_file_object")),
        sa.UniqueConstraint("key", name=op.f("uq_bank_file_object_key")),
        sa.UniqueConstraint("kind", "ref", name=op.f("uq_bank_file_object_kind_ref")),
    )
    op.create_index(
        op.f("ix_bank_file_object_currency"), "bank_file_object", ["currency"], postgresql_include=["amount_minor"]
    )


def _bank_file_line() -> None:
    op.create_table(
        "bank_file_line",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("payee_ref", sa.String(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("holder_name", sa.String(), nullable=False),
        sa.Column("bank_code", sa.String(), nullable=False),
        sa.Column("account_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("account_tail", sa.String(), nullable=False),
        sa.Column(
            "state", sa.Enum("queued", "exported", "paid", "failed", "returned", name="state", **_ENUM), nullable=False
        ),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("bank_reference", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("paid_on", sa.Date(), nullable=True),
        sa.Column("returned_on", sa.Date(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_bank_file_line_amount_positive")),
        sa.ForeignKeyConstraint(["batch_id"], ["bank_file_batch.id"], name=op.f("fk_bank_file_line_batch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_file_line")),
        sa.UniqueConstraint("ref", name=op.f("uq_bank_file_line_ref")),
    )
    op.create_index(op.f("ix_bank_file_line_batch_id_id"), "bank_file_line", ["batch_id", "id"])
    op.create_index(op.f("ix_bank_file_line_changed_at"), "bank_file_line", ["changed_at"])
    op.create_index(
        "ix_bank_file_line_queue", "bank_file_line", ["currency", "id"], postgresql_where=sa.text("state = 'queued'")
    )


def upgrade() -> None:
    """Make the tables."""
    _bank_file_batch()
    _bank_file_import()
    _bank_file_object()
    _bank_file_line()
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON bank_file_object, bank_file_import FROM kapok_app")
    op.execute("REVOKE DELETE, TRUNCATE ON bank_file_line, bank_file_batch FROM kapok_app")


def downgrade() -> None:
    """Drop the tables."""
    for name in reversed(_TABLES):
        op.drop_table(name)
