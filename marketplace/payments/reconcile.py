"""Comparing our books with the provider's, and payouts with what payees were owed."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.ledger import accounts
from marketplace.ledger import queries as ledger
from marketplace.ledger.verify import MAX_BREAKS_NAMED, Check
from marketplace.payments.filing import taken_minor
from marketplace.payments.gateway import Gateway, RemoteBalance, RemoteEntry
from marketplace.payments.models import Payee, Payout
from marketplace.payments.states import PayoutState

IN_FLIGHT_LIMIT: Final = timedelta(hours=24)
_LOOKS: Final = 20
Key = TypeVar("Key")
EntryKey = tuple[str, str, str]  # (kind of object, our reference, currency)


async def reconcile(session: AsyncSession, *gateways: Gateway) -> list[Check]:
    """Compare entry by entry and in total. Our books are read first, so that nothing of ours can be missing there.

    The checks of every gateway behind the first carry its name.
    """
    checks: list[Check] = []
    for gateway in gateways:
        posted = await posted_at(session, gateway.name)
        entries, balances = await at_rest(gateway)
        found = provider_checks(posted, entries, balances)
        checks += [replace(check, name=f"{check.name}:{gateway.name}") for check in found] if checks else found
    return [*checks, await payouts_match(session)]


async def posted_at(session: AsyncSession, provider: str) -> dict[EntryKey, int]:
    """Return what we posted on our account at a provider, by the object there that it was posted for."""
    return _sum(
        ((line.facts.get("object", line.key), line.facts.get("ref", ""), line.currency), line.amount_minor)
        for line in await ledger.postings_with_facts(session, accounts.psp(provider))
    )


async def at_rest(gateway: Gateway) -> tuple[list[RemoteEntry], dict[str, RemoteBalance]]:
    """Read entries and balance of the same moment: until no money moved at the provider between two looks."""
    before = await gateway.balance()
    for _ in range(_LOOKS):
        entries = await gateway.list_entries()
        after = await gateway.balance()
        if after == before:
            break
        before = after
    return entries, after


def provider_checks(
    posted: dict[EntryKey, int], entries: list[RemoteEntry], balances: dict[str, RemoteBalance]
) -> list[Check]:
    """Return the checks of our postings against a provider's entries and balance. Pure."""
    remote = _sum(((entry.kind.value, entry.ref, entry.currency), entry.amount_minor) for entry in entries)
    made = {(entry.kind.value, entry.ref, entry.currency): entry.created_at for entry in entries}
    breaks = [
        f"{key[0]} {key[1]}: {posted.get(key, 0)} {key[2]} here, {remote.get(key, 0)} there"
        for key in sorted({*posted, *remote})
        if posted.get(key, 0) != remote.get(key, 0) and not _in_flight(key, posted, made)
    ]
    moving = _sum((key, amount) for key, amount in remote.items() if _in_flight(key, posted, made))
    figures = {"entries compared": len(remote), "entries in flight": len(moving)}
    matched = Check("provider_entries", "each entry of the provider is posted once", figures, breaks[:MAX_BREAKS_NAMED])
    return [matched, _balance_check(posted, moving, balances)]


def _in_flight(key: EntryKey, posted: dict[EntryKey, int], made: dict[EntryKey, datetime]) -> bool:
    """Whether the provider has an entry that we have not posted yet, and is young enough for that."""
    return key not in posted and key in made and made[key] > now() - IN_FLIGHT_LIMIT


def _balance_check(
    posted: dict[EntryKey, int], moving: dict[EntryKey, int], balances: dict[str, RemoteBalance]
) -> Check:
    here = _sum((currency, amount) for (_, _, currency), amount in [*posted.items(), *moving.items()])
    there = {currency: found.available_minor + found.pending_minor for currency, found in balances.items()}
    breaks = [
        f"{currency}: {here.get(currency, 0)} by our postings, {there.get(currency, 0)} at the provider"
        for currency in sorted({*here, *there})
        if here.get(currency, 0) != there.get(currency, 0)
    ]
    figures = {f"balance {currency}": amount for currency, amount in sorted(there.items())}
    return Check("provider_balance", "our balance at the provider is what we posted", figures, breaks)


async def payouts_match(session: AsyncSession) -> Check:
    """What left a payee's account by payouts, and did not come back, is the sum of the payouts that live."""
    left = _sum(
        ((flow.owner, flow.currency), -flow.minor)
        for flow in await ledger.flows(session, ["vendor", "worker"])
        if flow.kind in {"payout.reserve", "payout.restore", "payout.tax_back"}
    )
    alive = func.sum(taken_minor())
    paid = func.sum(col(Payout.amount_minor)).filter(col(Payout.state) == PayoutState.PAID)
    found = await session.exec(
        select(Payee.owner_id, Payout.currency, func.coalesce(alive, 0), func.coalesce(paid, 0))
        .join(Payout, col(Payout.payee_id) == col(Payee.id))
        .group_by(col(Payee.owner_id), col(Payout.currency))
    )
    rows = {(str(owner), currency): (int(live), int(arrived)) for owner, currency, live, arrived in found}
    breaks = [
        f"payee {owner}: {left.get((owner, currency), 0)} {currency} left the ledger, "
        f"{rows.get((owner, currency), (0, 0))[0]} are in payouts"
        for owner, currency in sorted({*left, *rows})
        if left.get((owner, currency), 0) != rows.get((owner, currency), (0, 0))[0]
    ]
    figures = {"payees": len(rows), "paid": sum(arrived for _, arrived in rows.values())}
    rule = "what left a payee's account is what payouts paid or carry"
    return Check("payouts", rule, figures, breaks[:MAX_BREAKS_NAMED])


def _sum(pairs: Iterable[tuple[Key, int]]) -> dict[Key, int]:
    sums: dict[Key, int] = {}
    for key, amount in pairs:
        sums[key] = sums.get(key, 0) + amount
    return sums
