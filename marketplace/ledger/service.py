"""Posting: the one way into the ledger.

Lock order, always: the caller's own rows, then guarded accounts by id, then `txn` and `posting` (money.md §4). A caller
that posts several entries in one transaction gives them to `post_many` at once, so that the order holds over all.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.ledger.accounts import type_of
from marketplace.ledger.entries import Entry, Leg
from marketplace.ledger.errors import IdempotencyConflict, InsufficientFunds
from marketplace.ledger.models import Account, Txn

AccountKey = tuple[str, str]  # (path, currency)

_ADD_ACCOUNTS = text(
    """
    INSERT INTO account (id, created_at, path, currency, normal, guarded, balance_minor, version)
    SELECT id, now(), path, currency, normal, guarded, CASE WHEN guarded THEN 0 END, 0
    FROM unnest(CAST(:ids AS uuid[]), CAST(:paths AS text[]), CAST(:currencies AS text[]), CAST(:sides AS text[]),
                CAST(:guards AS boolean[])) AS new (id, path, currency, normal, guarded)
    ON CONFLICT (path, currency) DO NOTHING
    """
)
_LOCK_GUARDED = text(
    """
    SELECT id, balance_minor FROM account WHERE id = ANY(CAST(:ids AS uuid[])) AND guarded ORDER BY id FOR UPDATE
    """
)
_ADD_TXNS = text(
    """
    INSERT INTO txn (id, created_at, key, kind, payload_hash, effective_at, reverses, facts)
    SELECT id, now(), key, kind, payload_hash, effective_at, reverses, CAST(facts AS jsonb)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[]), CAST(:kinds AS text[]), CAST(:hashes AS text[]),
                CAST(:effective AS timestamptz[]), CAST(:reverses AS uuid[]), CAST(:facts AS text[]))
         AS new (id, key, kind, payload_hash, effective_at, reverses, facts)
    ORDER BY key
    ON CONFLICT (key) DO NOTHING
    RETURNING id
    """
)
_ADD_POSTINGS = text(
    """
    INSERT INTO posting (id, created_at, txn_id, account_id, currency, amount_minor)
    SELECT id, now(), txn_id, account_id, currency, amount_minor
    FROM unnest(CAST(:ids AS uuid[]), CAST(:txns AS uuid[]), CAST(:accounts AS uuid[]), CAST(:currencies AS text[]),
                CAST(:amounts AS bigint[])) AS new (id, txn_id, account_id, currency, amount_minor)
    """
)
_MOVE_BALANCES = text(
    """
    UPDATE account SET balance_minor = account.balance_minor + moved.delta, version = account.version + 1
    FROM unnest(CAST(:ids AS uuid[]), CAST(:deltas AS bigint[])) AS moved (id, delta)
    WHERE account.id = moved.id
    """
)


@dataclass(frozen=True, slots=True)
class _Draft:
    """An entry that is not in the ledger yet, with the row it will be."""

    row: Txn
    currency: str
    amounts: dict[str, int]


async def post(
    session: AsyncSession,
    key: str,
    kind: str,
    legs: list[Leg],
    currency: str,
    *,
    effective_at: datetime | None = None,
    facts: dict[str, Any] | None = None,
    reverses: UUID | None = None,
) -> Txn:
    """Post one transaction, or return the one that was posted under this key before.

    Raises:
        IdempotencyConflict: the key was posted with another kind, currency or other amounts.
        InsufficientFunds: a guarded account would go negative.
        Unbalanced, AccountUnknown, CurrencyUnknown: the entry is not one the ledger can hold.
    """
    entry = Entry(key, kind, legs, currency, effective_at, facts or {}, reverses)
    return (await post_many(session, [entry]))[0]


async def post_many(session: AsyncSession, entries: list[Entry]) -> list[Txn]:
    """Post several transactions as one step; each by the rules of `post`. Returns them in the given order."""
    keys = [entry.key for entry in entries]
    if len(set(keys)) != len(keys):
        raise ValueError("the same key twice in one batch")
    hashes = {entry.key: entry.payload_hash() for entry in entries}
    posted = await _stored(session, hashes)
    drafts = [_draft(entry, hashes[entry.key]) for entry in entries if entry.key not in posted]
    if drafts:
        accounts = await _accounts(session, drafts)
        balances = await _lock(session, accounts)
        added = await _add_txns(session, drafts)
        mine = [draft for draft in drafts if draft.row.id in added]
        await _move(session, mine, accounts, balances)
        await _add_postings(session, mine, accounts)
        posted |= {draft.row.key: draft.row for draft in mine}
        # Whoever lost the race for a key while waiting for it gets what the winner posted.
        posted |= await _stored(session, {key: hashes[key] for key in keys if key not in posted})
    return [posted[key] for key in keys]


async def lock_balances(session: AsyncSession, paths: list[str], currency: str) -> dict[str, int]:
    """Lock guarded accounts in the order in which posting does, and return what stands on them, in minor units.

    For an amount that depends on balances. An account that was never used is left out: nothing stands on it.
    """
    found = await session.exec(
        select(Account.path, Account.balance_minor)
        .where(col(Account.path).in_(paths), Account.currency == currency, col(Account.guarded))
        .order_by(col(Account.id))
        .with_for_update()
    )
    return {path: minor or 0 for path, minor in found}


def _draft(entry: Entry, payload_hash: str) -> _Draft:
    row = Txn(
        id=new_id(), key=entry.key, kind=entry.kind, payload_hash=payload_hash, facts=entry.facts,
        effective_at=entry.effective_at or now(), reverses=entry.reverses,
    )  # fmt: skip
    return _Draft(row, entry.currency, entry.net())


async def _stored(session: AsyncSession, hashes: dict[str, str]) -> dict[str, Txn]:
    if not hashes:
        return {}
    found = await session.exec(select(Txn).where(col(Txn.key).in_(hashes)))
    stored = {txn.key: txn for txn in found}
    for key, txn in stored.items():
        if txn.payload_hash != hashes[key]:
            raise IdempotencyConflict(f"{key} was posted before with other amounts", key=key)
    return stored


async def _accounts(session: AsyncSession, drafts: list[_Draft]) -> dict[AccountKey, UUID]:
    """Return the ids of all accounts of the drafts; makes those that are missing."""
    wanted = sorted({(path, draft.currency) for draft in drafts for path in draft.amounts})
    found = await _find_accounts(session, wanted)
    missing = [key for key in wanted if key not in found]
    if missing:
        types = [type_of(path) for path, _ in missing]
        await session.execute(
            _ADD_ACCOUNTS,
            {
                "ids": [new_id() for _ in missing],
                "paths": [path for path, _ in missing],
                "currencies": [currency for _, currency in missing],
                "sides": [line.normal.value for line in types],
                "guards": [line.guarded for line in types],
            },
        )
        found = await _find_accounts(session, wanted)
    return found


async def _find_accounts(session: AsyncSession, wanted: list[AccountKey]) -> dict[AccountKey, UUID]:
    paths = {path for path, _ in wanted}
    found = await session.exec(select(Account.id, Account.path, Account.currency).where(col(Account.path).in_(paths)))
    ids = {(path, currency): account_id for account_id, path, currency in found}
    return {key: ids[key] for key in wanted if key in ids}


async def _lock(session: AsyncSession, accounts: dict[AccountKey, UUID]) -> dict[UUID, int]:
    found = await session.execute(_LOCK_GUARDED, {"ids": list(accounts.values())})
    return {row.id: row.balance_minor for row in found}


async def _add_txns(session: AsyncSession, drafts: list[_Draft]) -> set[UUID]:
    rows = [draft.row for draft in drafts]
    added = await session.execute(
        _ADD_TXNS,
        {
            "ids": [row.id for row in rows],
            "keys": [row.key for row in rows],
            "kinds": [row.kind for row in rows],
            "hashes": [row.payload_hash for row in rows],
            "effective": [row.effective_at for row in rows],
            "reverses": [row.reverses for row in rows],
            "facts": [msgspec.json.encode(row.facts).decode() for row in rows],
        },
    )
    return set(added.scalars())


async def _move(
    session: AsyncSession, drafts: list[_Draft], accounts: dict[AccountKey, UUID], balances: dict[UUID, int]
) -> None:
    """Move the guarded balances, or refuse when one would go negative; the rows are locked."""
    deltas: dict[UUID, int] = {}
    for draft in drafts:
        for path, amount in draft.amounts.items():
            account_id = accounts[path, draft.currency]
            if account_id in balances:
                deltas[account_id] = deltas.get(account_id, 0) + amount * type_of(path).normal.sign
                if balances[account_id] + deltas[account_id] < 0:
                    lacking = -(balances[account_id] + deltas[account_id])
                    detail = f"{path} lacks {lacking} minor units of {draft.currency}"
                    raise InsufficientFunds(detail, account=path, lacking_minor=lacking, currency=draft.currency)
    moved = {account_id: delta for account_id, delta in deltas.items() if delta != 0}
    if moved:
        await session.execute(_MOVE_BALANCES, {"ids": list(moved), "deltas": list(moved.values())})


async def _add_postings(session: AsyncSession, drafts: list[_Draft], accounts: dict[AccountKey, UUID]) -> None:
    legs = [(draft, path, amount) for draft in drafts for path, amount in draft.amounts.items()]
    await session.execute(
        _ADD_POSTINGS,
        {
            "ids": [new_id() for _ in legs],
            "txns": [draft.row.id for draft, _, _ in legs],
            "accounts": [accounts[path, draft.currency] for draft, path, _ in legs],
            "currencies": [draft.currency for draft, _, _ in legs],
            "amounts": [amount for _, _, amount in legs],
        },
    )
