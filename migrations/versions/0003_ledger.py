"""Tables of ledger, with the triggers and rights that make it balanced and insert-only.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from marketplace.ledger.models import Xid8

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BALANCED = """
CREATE FUNCTION ledger_check_posting() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total numeric;
BEGIN
    SELECT sum(amount_minor) INTO total FROM posting WHERE txn_id = NEW.txn_id AND currency = NEW.currency;
    IF total <> 0 THEN
        RAISE EXCEPTION 'ledger: txn % adds up to % %, not to zero', NEW.txn_id, total, NEW.currency
            USING ERRCODE = 'check_violation';
    END IF;
    IF (SELECT xid8 FROM txn WHERE id = NEW.txn_id) <> pg_current_xact_id() THEN
        RAISE EXCEPTION 'ledger: txn % is closed; correct it by a reversing one', NEW.txn_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$
"""
_NOT_EMPTY = """
CREATE FUNCTION ledger_check_txn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM posting WHERE txn_id = NEW.id) THEN
        RAISE EXCEPTION 'ledger: txn % has no postings', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$
"""
_REFUSE = """
CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger: % of % is not possible; correct by a reversing transaction', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$
"""
_TRIGGERS = (
    """CREATE CONSTRAINT TRIGGER posting_balanced AFTER INSERT ON posting DEFERRABLE INITIALLY DEFERRED
       FOR EACH ROW EXECUTE FUNCTION ledger_check_posting()""",
    """CREATE CONSTRAINT TRIGGER txn_not_empty AFTER INSERT ON txn DEFERRABLE INITIALLY DEFERRED
       FOR EACH ROW EXECUTE FUNCTION ledger_check_txn()""",
    *(
        f"""CREATE TRIGGER {table}_insert_only BEFORE {when} ON {table}
            FOR EACH {each} EXECUTE FUNCTION ledger_refuse_change()"""
        for table, when, each in (
            ("txn", "UPDATE OR DELETE", "ROW"),
            ("posting", "UPDATE OR DELETE", "ROW"),
        )
    ),
    "CREATE TRIGGER txn_no_truncate BEFORE TRUNCATE ON txn EXECUTE FUNCTION ledger_refuse_change()",
    "CREATE TRIGGER posting_no_truncate BEFORE TRUNCATE ON posting EXECUTE FUNCTION ledger_refuse_change()",
)


def _create_tables() -> None:
    op.create_table(
        "account",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column(
            "normal",
            sa.Enum("debit", "credit", name="side", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("guarded", sa.Boolean(), nullable=False),
        sa.Column("balance_minor", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("guarded = (balance_minor IS NOT NULL)", name=op.f("ck_account_balance_iff_guarded")),
        sa.CheckConstraint("balance_minor >= 0", name=op.f("ck_account_never_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("path", "currency", name=op.f("uq_account_path_currency")),
        sa.UniqueConstraint("id", "currency", name=op.f("uq_account_id_currency")),
    )
    op.create_table(
        "txn",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("payload_hash", sa.String(length=64), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reverses", sa.Uuid(), nullable=True),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("xid8", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.ForeignKeyConstraint(["reverses"], ["txn.id"], name=op.f("fk_txn_reverses")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_txn")),
        sa.UniqueConstraint("key", name=op.f("uq_txn_key")),
    )
    op.create_index(op.f("ix_txn_kind"), "txn", ["kind"])
    op.create_table(
        "posting",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("txn_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_posting_not_zero")),
        sa.ForeignKeyConstraint(
            ["account_id", "currency"], ["account.id", "account.currency"], name=op.f("fk_posting_account_id_currency")
        ),
        sa.ForeignKeyConstraint(["txn_id"], ["txn.id"], name=op.f("fk_posting_txn_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_posting")),
    )
    op.create_index(op.f("ix_posting_txn_id"), "posting", ["txn_id"])
    op.create_index(
        op.f("ix_posting_account_id_id"), "posting", ["account_id", "id"], postgresql_include=["amount_minor"]
    )


def upgrade() -> None:
    _create_tables()
    for statement in (_BALANCED, _NOT_EMPTY, _REFUSE, *_TRIGGERS):
        op.execute(statement)
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON txn, posting, audit_entry FROM kapok_app")
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON account FROM kapok_app")
    op.execute("GRANT UPDATE (balance_minor, version) ON account TO kapok_app")


def downgrade() -> None:
    op.execute("GRANT UPDATE, DELETE ON audit_entry TO kapok_app")
    op.drop_table("posting")
    op.drop_table("txn")
    op.drop_table("account")
    for function in ("ledger_check_posting", "ledger_check_txn", "ledger_refuse_change"):
        op.execute(f"DROP FUNCTION {function}()")
