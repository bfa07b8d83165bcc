"""The ledger's tables; triggers and rights that guard them are in migrations 0003 and 0011."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType
from sqlmodel import Field, SQLModel

from marketplace.core.clock import now
from marketplace.core.tables import Identified, Timed, enum_field, json_field, minor_field
from marketplace.ledger.states import Side


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id, which never wraps around."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        """Return the type's name in SQL."""
        return "XID8"


ischema_names["xid8"] = Xid8  # so that reflection (autogenerate) knows the type
_THIS_TRANSACTION: Final = text("pg_current_xact_id()")


class Account(Identified, table=True):
    """One account; only a guarded one has a balance row value, in its normal direction."""

    __tablename__ = "account"
    __table_args__ = (
        UniqueConstraint("path", "currency"),
        UniqueConstraint("id", "currency"),
        CheckConstraint("guarded = (balance_minor IS NOT NULL)", name="balance_iff_guarded"),
        CheckConstraint("balance_minor >= 0", name="never_negative"),
    )

    path: str
    currency: str = Field(max_length=3)
    normal: Side = enum_field(Side, "side")
    guarded: bool
    balance_minor: int | None = minor_field(nullable=True)
    version: int = minor_field(default=0)


class Txn(Identified, table=True):
    """One posted transaction; `key` says which event it books, so that an event is booked once."""

    __tablename__ = "txn"
    __table_args__ = (Index("uq_txn_reverses", "reverses", unique=True, postgresql_where=text("reverses IS NOT NULL")),)

    key: str = Field(unique=True)
    kind: str = Field(index=True)
    payload_hash: str = Field(max_length=64)
    effective_at: datetime = Field(default_factory=now)
    reverses: UUID | None = Field(default=None, foreign_key="txn.id")
    facts: dict[str, Any] = json_field(default_factory=dict)
    xid8: int | None = Field(
        default=None, sa_type=Xid8, nullable=False, index=True, sa_column_kwargs={"server_default": _THIS_TRANSACTION}
    )


class Posting(Identified, table=True):
    """One leg: debit positive, credit negative, in minor units."""

    __tablename__ = "posting"
    __table_args__ = (
        ForeignKeyConstraint(["account_id", "currency"], ["account.id", "account.currency"]),
        CheckConstraint("amount_minor <> 0", name="not_zero"),
        Index(None, "account_id", "id", postgresql_include=["amount_minor"]),
    )

    txn_id: UUID = Field(foreign_key="txn.id", index=True)
    account_id: UUID
    currency: str = Field(max_length=3)
    amount_minor: int = minor_field()


class LedgerBlock(Timed, table=True):
    """A sealed run of transactions: its hash covers their content and the hash of the block before.

    All transactions of the database below `below_xid8` had ended when it was sealed, so that none can be added to it.
    """

    __tablename__ = "ledger_block"
    __table_args__ = (CheckConstraint("txn_count > 0", name="not_empty"),)

    number: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    previous_hash: str = Field(max_length=64, unique=True)
    block_hash: str = Field(max_length=64)
    merkle_root: str = Field(max_length=64)
    first_txn: UUID
    last_txn: UUID
    txn_count: int
    below_xid8: int = Field(sa_type=Xid8)
    sealed_at: datetime


class LedgerBlockTxn(SQLModel, table=True):
    """Which block holds a transaction, where, and the hash of its content when it was sealed."""

    __tablename__ = "ledger_block_txn"
    __table_args__ = (UniqueConstraint("block_number", "position"),)

    txn_id: UUID = Field(primary_key=True, foreign_key="txn.id")
    block_number: int = Field(foreign_key="ledger_block.number", sa_type=BigInteger)
    position: int
    leaf_hash: str = Field(max_length=64)
