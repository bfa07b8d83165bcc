"""Reading single transactions back."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.ledger.entries import Leg
from marketplace.ledger.models import Account, Posting, Txn


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
