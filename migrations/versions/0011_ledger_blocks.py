"""Sealed blocks over the ledger's transactions: insert-only, as the transactions are.

Revision: 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op

from marketplace.ledger.models import Xid8

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TABLES = ("ledger_block", "ledger_block_txn")


def upgrade() -> None:
    op.create_table(
        "ledger_block",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("block_hash", sa.String(length=64), nullable=False),
        sa.Column("merkle_root", sa.String(length=64), nullable=False),
        sa.Column("first_txn", sa.Uuid(), nullable=False),
        sa.Column("last_txn", sa.Uuid(), nullable=False),
        sa.Column("txn_count", sa.Integer(), nullable=False),
        sa.Column("below_xid8", Xid8(), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("txn_count > 0", name=op.f("ck_ledger_block_not_empty")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ledger_block")),
        sa.UniqueConstraint("previous_hash", name=op.f("uq_ledger_block_previous_hash")),
    )
    op.create_table(
        "ledger_block_txn",
        sa.Column("txn_id", sa.Uuid(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("leaf_hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["txn_id"], ["txn.id"], name=op.f("fk_ledger_block_txn_txn_id")),
        sa.ForeignKeyConstraint(
            ["block_number"], ["ledger_block.number"], name=op.f("fk_ledger_block_txn_block_number")
        ),
        sa.PrimaryKeyConstraint("txn_id", name=op.f("pk_ledger_block_txn")),
        sa.UniqueConstraint("block_number", "position", name=op.f("uq_ledger_block_txn_block_number_position")),
    )
    op.create_index(op.f("ix_txn_xid8"), "txn", ["xid8"])
    for table in _TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_insert_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} EXECUTE FUNCTION ledger_refuse_change()"
        )
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM kapok_app")


def downgrade() -> None:
    op.drop_index(op.f("ix_txn_xid8"), "txn")
    op.drop_table("ledger_block_txn")
    op.drop_table("ledger_block")
