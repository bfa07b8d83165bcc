"""Reading single transactions back, and holding balances still while a posting depends on what they are."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.ledger.entries import Leg
from marketplace.ledger.models import Account, Posting, Txn

_HOLD: Final = text(
    """
    SELECT path, balance_minor FROM account
    WHERE path = ANY(CAST(:paths AS text[])) AND currency = :currency AND guarded ORDER BY id FOR UPDATE
    """
)


@dataclass(frozen=True, slots=True)
class PostedTxn:
    """A transaction as it stands in the ledger, with its legs."""

    id: UUID
    kind: str
    currency: str
    facts: dict[str, Any]
    legs: list[Leg]


async def posted_txn(session: AsyncSession, txn_id: UUID) -> PostedTxn | None:
    """Return a transaction, or None when there is none of this id."""
    txn = await session.get(Txn, txn_id)
    if txn is None:
        return None
    found = await session.exec(
        select(Account.path, Account.currency, Posting.amount_minor)
        .join(Account, col(Account.id) == col(Posting.account_id))
        .where(Posting.txn_id == txn_id)
        .order_by(col(Posting.id))
    )
    rows = found.all()
    return PostedTxn(txn.id, txn.kind, rows[0][1], txn.facts, [Leg(path, amount) for path, _, amount in rows])


async def is_reversed(session: AsyncSession, txn_id: UUID) -> bool:
    """Return whether a transaction that reverses this one was posted."""
    found = await session.exec(select(Txn.id).where(Txn.reverses == txn_id))
    return found.first() is not None


async def hold(session: AsyncSession, paths: list[str], currency: str) -> dict[str, int]:
    """Lock guarded accounts in the ledger's order and return their balances; name all that will be posted to.

    Accounts that were never used are left out: they hold nothing.
    """
    found = await session.execute(_HOLD, {"paths": paths, "currency": currency})
    return {row.path: int(row.balance_minor) for row in found}
