"""Reading balances and statements."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.paging import PageQuery, read_page
from marketplace.ledger.accounts import type_of
from marketplace.ledger.models import Account, Posting, Txn

_BALANCES = text(
    """
    SELECT a.path, a.currency, coalesce(a.balance_minor, (
        SELECT sum(p.amount_minor) * CASE a.normal WHEN 'debit' THEN 1 ELSE -1 END FROM posting p
        WHERE p.account_id = a.id
    ), 0)
    FROM account a WHERE a.path = ANY(CAST(:paths AS text[])) ORDER BY a.path, a.currency
    """
)


_FLOWS = text(
    """
    SELECT split_part(a.path, ':', 2) AS owner, a.currency, t.kind,
           sum(p.amount_minor * CASE a.normal WHEN 'debit' THEN 1 ELSE -1 END)
    FROM account a JOIN posting p ON p.account_id = a.id JOIN txn t ON t.id = p.txn_id
    WHERE split_part(a.path, ':', 1) = ANY(CAST(:types AS text[]))
    GROUP BY owner, a.currency, t.kind ORDER BY owner, a.currency, t.kind
    """
)
_MOVED = text(
    """
    SELECT coalesce(sum(p.amount_minor * CASE a.normal WHEN 'debit' THEN 1 ELSE -1 END), 0)
    FROM account a JOIN posting p ON p.account_id = a.id JOIN txn t ON t.id = p.txn_id
    WHERE a.path = :path AND a.currency = :currency AND t.kind = ANY(CAST(:kinds AS text[]))
    """
)
_CREDITS = text(
    """
    SELECT txn_id, facts, minor, least(upto, :ending) - greatest(upto - minor, :start) AS taken FROM (
        SELECT t.id AS txn_id, t.facts, -p.amount_minor AS minor,
               sum(-p.amount_minor) OVER (ORDER BY p.id) AS upto
        FROM account a JOIN posting p ON p.account_id = a.id JOIN txn t ON t.id = p.txn_id
        WHERE a.path = :path AND a.currency = :currency AND p.amount_minor < 0
          AND t.kind NOT IN ('payout.restore', 'payout.tax_back')
    ) credits WHERE upto > :start AND upto - minor < :ending ORDER BY upto
    """
)
_DEBITS_BEFORE = text(
    """
    SELECT coalesce(sum(p.amount_minor), 0)
    FROM account a JOIN posting p ON p.account_id = a.id JOIN txn t ON t.id = p.txn_id
    WHERE a.path = :path AND a.currency = :currency AND p.amount_minor > 0 AND t.kind <> :kind
      AND p.id < (SELECT own.id FROM posting own JOIN txn o ON o.id = own.txn_id
                  WHERE o.key = :key AND own.account_id = a.id)
    """
)


_OLDER = text(
    """
    SELECT a.path, a.currency, a.balance_minor - coalesce(sum(-p.amount_minor) FILTER (
        WHERE t.effective_at >= :since AND NOT (t.kind = ANY(CAST(:not_new AS text[])))), 0) AS older_minor
    FROM account a LEFT JOIN posting p ON p.account_id = a.id AND p.amount_minor < 0
    LEFT JOIN txn t ON t.id = p.txn_id
    WHERE split_part(a.path, ':', 1) = ANY(CAST(:types AS text[])) AND a.balance_minor > 0
    GROUP BY a.id
    HAVING a.balance_minor > coalesce(sum(-p.amount_minor) FILTER (
        WHERE t.effective_at >= :since AND NOT (t.kind = ANY(CAST(:not_new AS text[])))), 0)
    ORDER BY a.path, a.currency
    """
)


@dataclass(frozen=True, slots=True)
class CreditTaken:
    """A credit of an account, and how much of it lies in the stretch that was asked for, in minor units."""

    txn_id: UUID
    facts: dict[str, Any]
    credited_minor: int
    taken_minor: int


@dataclass(frozen=True, slots=True)
class Flow:
    """What one kind of transaction moved on all accounts of an owner, in their normal direction."""

    owner: str
    currency: str
    kind: str
    minor: int


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """What stands on one account, in minor units, in the account's normal direction."""

    path: str
    currency: str
    minor: int


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One movement on an account, positive when the balance grew."""

    id: UUID
    kind: str
    key: str
    amount_minor: int
    currency: str
    effective_at: datetime
    facts: dict[str, Any]


async def balances(session: AsyncSession, paths: list[str]) -> list[AccountBalance]:
    """Return the balance of every account under these paths, in all currencies; unused accounts are left out."""
    found = await session.execute(_BALANCES, {"paths": paths})
    return [AccountBalance(path, currency, int(minor)) for path, currency, minor in found]


async def older_balances(
    session: AsyncSession, account_types: list[str], since: datetime, *, not_new: list[str]
) -> list[AccountBalance]:
    """Return what lies on guarded credit accounts of these types since before a moment, where there is any.

    Money is taken to leave in the order it came. Credits of the kinds `not_new` bring back what was there before.
    """
    found = await session.execute(_OLDER, {"types": account_types, "since": since, "not_new": not_new})
    return [AccountBalance(path, currency, int(minor)) for path, currency, minor in found]


async def balance(session: AsyncSession, path: str, currency: str) -> int:
    """Return what stands on an account, in minor units, in its normal direction; zero if it was never used."""
    type_of(path)
    return sum(found.minor for found in await balances(session, [path]) if found.currency == currency)


async def flows(session: AsyncSession, account_types: list[str]) -> list[Flow]:
    """Return what each kind of transaction moved on the accounts of these types, per owner (of `type:owner[:…]`)."""
    found = await session.execute(_FLOWS, {"types": account_types})
    return [Flow(owner, currency, kind, int(minor)) for owner, currency, kind, minor in found]


async def moved(session: AsyncSession, path: str, currency: str, *kinds: str) -> int:
    """Return what these kinds of transactions moved on an account, in minor units, in its normal direction."""
    found = await session.execute(_MOVED, {"path": path, "currency": currency, "kinds": list(kinds)})
    return int(found.scalar_one())


async def balances_of_type(session: AsyncSession, account_type: str) -> list[AccountBalance]:
    """Return the balances of all guarded accounts of a type, as their rows say."""
    found = await session.exec(
        select(Account.path, Account.currency, Account.balance_minor).where(
            col(Account.path).startswith(f"{account_type}:"), col(Account.guarded)
        )
    )
    return [AccountBalance(path, currency, minor or 0) for path, currency, minor in found]


async def postings_with_facts(session: AsyncSession, path: str) -> list[StatementLine]:
    """Return every movement on an account in all currencies, oldest first; for reconciliation."""
    found = await session.exec(
        select(Posting, Txn, Account)
        .join(Txn, col(Txn.id) == col(Posting.txn_id))
        .join(Account, col(Account.id) == col(Posting.account_id))
        .where(Account.path == path)
        .order_by(col(Posting.id))
    )
    return [_line(posting, txn, account.normal.sign) for posting, txn, account in found]


async def statement(
    session: AsyncSession, paths: list[str], currency: str, query: PageQuery
) -> tuple[list[StatementLine], str | None]:
    """Return one page of the movements on some accounts, newest first, and the cursor of the next page."""
    owned = (
        await session.exec(select(Account).where(col(Account.path).in_(paths), Account.currency == currency))
    ).all()
    signs = {account.id: account.normal.sign for account in owned}
    chosen = select(Posting).where(col(Posting.account_id).in_(signs))
    rows, cursor = await read_page(session, chosen, Posting.id, query)
    found = await session.exec(select(Txn).where(col(Txn.id).in_({row.txn_id for row in rows})))
    txns = {txn.id: txn for txn in found}
    lines = [_line(row, txns[row.txn_id], signs[row.account_id]) for row in rows]
    return lines, cursor


def _line(row: Posting, txn: Txn, sign: int) -> StatementLine:
    return StatementLine(
        row.id, txn.kind, txn.key, row.amount_minor * sign, row.currency, txn.effective_at, txn.facts
    )  # fmt: skip


async def credits_between(
    session: AsyncSession, path: str, currency: str, start_minor: int, end_minor: int
) -> list[CreditTaken]:
    """Return the credits, in the order they were booked, that are from `start_minor` to `end_minor` of their sum."""
    where = {"path": path, "currency": currency, "start": start_minor, "ending": end_minor}
    found = await session.execute(_CREDITS, where)
    return [CreditTaken(txn_id, facts, int(minor), int(taken)) for txn_id, facts, minor, taken in found]


async def debited_before(session: AsyncSession, path: str, currency: str, key: str, but_kind: str) -> int:
    """Return what all other kinds of transaction debited an account before the one of this key, in minor units."""
    where = {"path": path, "currency": currency, "key": key, "kind": but_kind}
    return int((await session.execute(_DEBITS_BEFORE, where)).scalar_one())


async def txn_ids_of(session: AsyncSession, keys: list[str]) -> list[UUID]:
    """Return the transactions that were posted under any of these keys, oldest first."""
    found = await session.exec(select(Txn.id).where(col(Txn.key).in_(keys)).order_by(col(Txn.id)))
    return list(found)
