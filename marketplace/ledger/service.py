"""Posting: the one way into the ledger.

Lock order, always: the caller's own rows, then guarded accounts by id, then `txn` and `posting` (money.md §4). A caller
that posts several entries in one transaction gives them to `post_many` at once, so that the order holds over all; one
that must know balances first takes all of them with `hold`.
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
from marketplace.ledger.models import Txn

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
# Only guarded accounts are locked, in the order of their ids; an account's id, once known, never changes.
_HOLD = text(
    """
    WITH wanted AS (
        SELECT path, currency FROM unnest(CAST(:paths AS text[]), CAST(:currencies AS text[])) AS w (path, currency)
    ), held AS (
        SELECT account.id, path, currency, balance_minor FROM account JOIN wanted USING (path, currency)
        WHERE guarded ORDER BY account.id FOR UPDATE OF account
    )
    SELECT id, path, currency, balance_minor FROM held
    UNION ALL
    SELECT account.id, path, currency, NULL FROM account JOIN wanted USING (path, currency) WHERE NOT guarded
    """
)
# A key that somebody else has posted meanwhile adds nothing, neither postings nor balances.
_WRITE = text(
    """
    WITH added AS (
        INSERT INTO txn (id, created_at, key, kind, payload_hash, effective_at, reverses, facts)
        SELECT id, now(), key, kind, payload_hash, effective_at, reverses, CAST(facts AS jsonb)
        FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[]), CAST(:kinds AS text[]), CAST(:hashes AS text[]),
                    CAST(:effective AS timestamptz[]), CAST(:reverses AS uuid[]), CAST(:facts AS text[]))
             AS new (id, key, kind, payload_hash, effective_at, reverses, facts)
        ORDER BY key
        ON CONFLICT (key) DO NOTHING
        RETURNING id
    ), leg AS (
        SELECT leg.* FROM unnest(CAST(:leg_ids AS uuid[]), CAST(:txns AS uuid[]), CAST(:accounts AS uuid[]),
                                 CAST(:currencies AS text[]), CAST(:amounts AS bigint[]))
             AS leg (id, txn_id, account_id, currency, amount_minor)
        JOIN added ON added.id = leg.txn_id
    ), posted AS (
        INSERT INTO posting (id, created_at, txn_id, account_id, currency, amount_minor)
        SELECT id, now(), txn_id, account_id, currency, amount_minor FROM leg
    ), moved AS (
        UPDATE account
        SET balance_minor = balance_minor + CASE normal WHEN 'debit' THEN delta ELSE -delta END, version = version + 1
        FROM (SELECT account_id, CAST(sum(amount_minor) AS bigint) AS delta FROM leg GROUP BY account_id) AS change
        WHERE account.id = change.account_id AND guarded AND delta <> 0
    )
    SELECT id FROM added
    """
)


@dataclass(frozen=True, slots=True)
class Held:
    """An account; the balance of a guarded one cannot move until the transaction ends, another has None."""

    id: UUID
    balance_minor: int | None


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
    drafts = [_draft(entry) for entry in entries]
    hashes = {draft.row.key: draft.row.payload_hash for draft in drafts}
    held = await hold(session, {(path, draft.currency) for draft in drafts for path in draft.amounts})
    # What was posted before has already moved the balances, so that it neither needs money nor brings any.
    if _shortage([_only_takes(draft) for draft in drafts], held) is not None:
        stored = await _stored(session, hashes)
        drafts = [draft for draft in drafts if draft.row.key not in stored]
        if (shortage := _shortage(drafts, held)) is not None:
            raise shortage
    added = await _write(session, drafts, held)
    posted = {draft.row.key: draft.row for draft in drafts if draft.row.id in added}
    posted |= await _stored(session, {key: hashes[key] for key in keys if key not in posted})
    return [posted[key] for key in keys]


async def hold(session: AsyncSession, wanted: set[AccountKey]) -> dict[AccountKey, Held]:
    """Return the accounts, those that are missing made, the guarded ones locked in the ledger's order.

    Whoever decides by a balance what to post holds all guarded accounts of it first, and at once.

    Raises:
        AccountUnknown: a path is not in the chart.
    """
    held = await _hold(session, wanted)
    missing = sorted(wanted - held.keys())
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
        held = await _hold(session, wanted)
    return held


async def lock_balances(session: AsyncSession, paths: list[str], currency: str) -> dict[str, int]:
    """Lock guarded accounts as `hold` does, and return what stands on them, in minor units.

    An account that was never used is left out: nothing stands on it.
    """
    held = await _hold(session, {(path, currency) for path in paths})
    return {path: account.balance_minor for (path, _), account in held.items() if account.balance_minor is not None}


async def _hold(session: AsyncSession, wanted: set[AccountKey]) -> dict[AccountKey, Held]:
    columns = {"paths": [path for path, _ in wanted], "currencies": [currency for _, currency in wanted]}
    found = await session.execute(_HOLD, columns)
    return {(path, currency): Held(account_id, balance) for account_id, path, currency, balance in found}


def _draft(entry: Entry) -> _Draft:
    amounts = entry.net()
    row = Txn(
        id=new_id(), key=entry.key, kind=entry.kind, payload_hash=entry.payload_hash(amounts), facts=entry.facts,
        effective_at=entry.effective_at or now(), reverses=entry.reverses,
    )  # fmt: skip
    return _Draft(row, entry.currency, amounts)


def _only_takes(draft: _Draft) -> _Draft:
    """Return a draft as if what it brings to accounts did not come."""
    takes = {path: amount for path, amount in draft.amounts.items() if amount * type_of(path).normal.sign < 0}
    return _Draft(draft.row, draft.currency, takes)


def _shortage(drafts: list[_Draft], held: dict[AccountKey, Held]) -> InsufficientFunds | None:
    """Return the refusal of the first entry by which a guarded account would go negative."""
    left = {key: account.balance_minor for key, account in held.items() if account.balance_minor is not None}
    for draft in drafts:
        for path, amount in draft.amounts.items():
            key = (path, draft.currency)
            if key not in left:
                continue
            left[key] += amount * type_of(path).normal.sign
            if left[key] < 0:
                detail = f"{path} lacks {-left[key]} minor units of {draft.currency}"
                return InsufficientFunds(detail, account=path, lacking_minor=-left[key], currency=draft.currency)
    return None


async def _stored(session: AsyncSession, hashes: dict[str, str]) -> dict[str, Txn]:
    if not hashes:
        return {}
    found = await session.exec(select(Txn).where(col(Txn.key).in_(hashes)))
    stored = {txn.key: txn for txn in found}
    for key, txn in stored.items():
        if txn.payload_hash != hashes[key]:
            raise IdempotencyConflict(f"{key} was posted before with other amounts", key=key)
    return stored


async def _write(session: AsyncSession, drafts: list[_Draft], held: dict[AccountKey, Held]) -> set[UUID]:
    """Write the transactions whose keys are new, with their postings and balances; return their ids."""
    if not drafts:
        return set()
    rows = [draft.row for draft in drafts]
    legs = [(draft, path, amount) for draft in drafts for path, amount in draft.amounts.items()]
    added = await session.execute(
        _WRITE,
        {
            "ids": [row.id for row in rows],
            "keys": [row.key for row in rows],
            "kinds": [row.kind for row in rows],
            "hashes": [row.payload_hash for row in rows],
            "effective": [row.effective_at for row in rows],
            "reverses": [row.reverses for row in rows],
            "facts": [msgspec.json.encode(row.facts).decode() for row in rows],
            "leg_ids": [new_id() for _ in legs],
            "txns": [draft.row.id for draft, _, _ in legs],
            "accounts": [held[path, draft.currency].id for draft, path, _ in legs],
            "currencies": [draft.currency for draft, _, _ in legs],
            "amounts": [amount for _, _, amount in legs],
        },
    )
    return set(added.scalars())
