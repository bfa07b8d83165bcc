"""At rest, Kapok's books of a seed against the provider's, reference by reference."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.ledger import accounts
from marketplace.ledger.queries import balances
from marketplace.payments.chargebacks import STEPS, posting_key
from marketplace.payments.policy import payout_keys

_MADE: Final = text(
    """
    SELECT kind, ref, count(*) FROM sandbox_object WHERE ref = ANY(CAST(:refs AS text[])) AND state <> 'failed'
    GROUP BY kind, ref HAVING count(*) > 1
    """
)
_THERE: Final = text(
    """
    SELECT o.ref, o.kind, sum(e.amount_minor) FROM sandbox_object o JOIN sandbox_entry e ON e.object_id = o.id
    WHERE o.ref = ANY(CAST(:refs AS text[])) GROUP BY o.ref, o.kind
    """
)
_HERE: Final = text(
    """
    SELECT split_part(t.facts->>'ref', ':', 1), t.facts->>'object', sum(p.amount_minor)
    FROM txn t JOIN posting p ON p.txn_id = t.id JOIN account a ON a.id = p.account_id AND a.path = 'psp:sandbox'
    WHERE t.key = ANY(CAST(:keys AS text[])) GROUP BY 1, 2
    """
)
_NOT_AT_REST: Final = text(
    """
    SELECT a.path, sum(p.amount_minor)
    FROM txn t JOIN posting p ON p.txn_id = t.id JOIN account a ON a.id = p.account_id
    WHERE t.key = ANY(CAST(:keys AS text[]))
      AND (a.path IN ('in_transit:sandbox', 'dispute_held:sandbox') OR a.path LIKE 'frozen:%')
    GROUP BY a.path HAVING sum(p.amount_minor) <> 0
    """
)
_DISPUTES: Final = text(
    """
    SELECT d.ref, CASE WHEN d.state = 'failed' THEN d.amount_minor ELSE 0 END FROM sandbox_object d
    JOIN sandbox_object c ON c.id = d.parent_id AND c.kind = 'charge' AND c.ref = ANY(CAST(:refs AS text[]))
    WHERE d.kind = 'dispute'
    """
)
_LOST: Final = text(
    "SELECT coalesce(sum(amount_minor), 0) FROM chargeback WHERE charge_id = ANY(:ids) AND state = 'lost'"
)
_AT_BANKS: Final = text(
    """
    SELECT coalesce(sum(amount_minor), 0) FROM sandbox_object
    WHERE kind = 'payout' AND state = 'succeeded' AND ref = ANY(CAST(:refs AS text[]))
    """
)
_MOVING: Final = text(
    """
    SELECT 'payout ' || id || ' is ' || state FROM payout WHERE id = ANY(:ids) AND state NOT IN ('paid', 'cancelled')
    UNION ALL SELECT 'refund ' || id || ' is ' || state FROM refund
        WHERE id = ANY(:ids) AND state NOT IN ('done', 'failed')
    UNION ALL SELECT 'charge ' || id || ' is ' || state FROM charge
        WHERE id = ANY(:ids) AND state NOT IN ('succeeded', 'failed')
    UNION ALL SELECT 'chargeback ' || id || ' is open' FROM chargeback WHERE charge_id = ANY(:ids) AND state = 'open'
    UNION ALL SELECT leg || ' call of ' || subject_id || ' is ' || state FROM provider_call
        WHERE subject_id = ANY(:ids) AND state IN ('sending', 'unknown')
    """
)
_PAID: Final = text("SELECT coalesce(sum(amount_minor), 0) FROM payout WHERE id = ANY(:ids) AND state = 'paid'")
_REFUNDED: Final = text("SELECT coalesce(sum(amount_minor), 0) FROM refund WHERE id = ANY(:ids) AND state = 'done'")
_CHARGED: Final = text("SELECT coalesce(sum(amount_minor), 0) FROM charge WHERE id = ANY(:ids) AND state = 'succeeded'")


@dataclass(slots=True)
class Cast:
    """Whose money a seed moves, and by which rows; `earned_minor` went from the enterprise to the worker."""

    organisation_id: UUID
    worker_id: UUID
    earned_minor: int = 0
    charges: list[UUID] = field(default_factory=list)
    payouts: list[UUID] = field(default_factory=list)
    refunds: list[UUID] = field(default_factory=list)
    payees: list[UUID] = field(default_factory=list)

    @property
    def ids(self) -> list[UUID]:
        """Every row that moves."""
        return [*self.charges, *self.payouts, *self.refunds, *self.payees]


@dataclass(slots=True)
class Findings:
    """What is wrong after a seed: objects made twice, minor units that nobody can explain, and why, in sentences."""

    double_payments: int = 0
    unexplained_minor: int = 0
    problems: list[str] = field(default_factory=list)

    def differ(self, what: str, here: int, there: int) -> None:
        """Compare two figures that must be the same."""
        if here != there:
            self.unexplained_minor += abs(here - there)
            self.problems.append(f"{what}: {here} and {there}")

    def and_those(self, other: "Findings") -> "Findings":
        """Return what is wrong in either."""
        return Findings(
            self.double_payments + other.double_payments,
            self.unexplained_minor + other.unexplained_minor,
            self.problems + other.problems,
        )


async def check(session: AsyncSession, cast: Cast) -> Findings:
    """Compare everything of a seed that has come to rest."""
    found = Findings()
    disputes = {ref: int(lost) for ref, lost in await session.execute(_DISPUTES, {"refs": _hex(cast.charges)})}
    ids, refs, keys = {"ids": cast.ids}, {"refs": [*_hex(cast.ids), *disputes]}, _keys(cast, disputes)
    found.problems += list((await session.execute(_MOVING, ids)).scalars())
    for kind, ref, times in await session.execute(_MADE, refs):
        found.double_payments += times - 1
        found.problems.append(f"{kind} {ref} was made {times} times")
    here = {(ref, kind): int(minor) for ref, kind, minor in await session.execute(_HERE, {"keys": keys})}
    there = {(ref, kind): int(minor) for ref, kind, minor in await session.execute(_THERE, refs)}
    for key in sorted({*here, *there}):
        found.differ(f"{key[1]} {key[0]} here and at the provider", here.get(key, 0), there.get(key, 0))
    for path, minor in await session.execute(_NOT_AT_REST, {"keys": keys}):
        found.differ(f"{path} at rest", int(minor), 0)
    lost = int((await session.execute(_LOST, ids)).scalar_one())
    found.differ("lost in chargebacks here and at the provider", lost, sum(disputes.values()))
    await _check_people(session, cast, found, lost)
    return found


async def _check_people(session: AsyncSession, cast: Cast, found: Findings, lost: int) -> None:
    """Whoever earned has it or was paid it; whoever put money in has it, spent it, or got it back, by us or a bank."""
    ids = {"ids": cast.ids}
    paid = int((await session.execute(_PAID, ids)).scalar_one())
    at_banks = await session.execute(_AT_BANKS, {"refs": _hex(cast.payouts)})
    found.differ("paid here and at banks", paid, int(at_banks.scalar_one()))
    clearing = [accounts.payout_pending(row) for row in cast.payouts]
    clearing += [accounts.refund_pending(row) for row in cast.refunds]
    owed = accounts.receivable(cast.organisation_id)
    wanted = [accounts.worker(cast.worker_id), accounts.org_cash(cast.organisation_id), owed, *clearing]
    held: dict[str, int] = {line.path: line.minor for line in await balances(session, wanted)}
    for path in clearing:
        found.differ(f"{path} at rest", held.get(path, 0), 0)
    found.differ("the worker's and paid, and earned", held.get(wanted[0], 0) + paid, cast.earned_minor)
    refunded = int((await session.execute(_REFUNDED, ids)).scalar_one())
    charged = int((await session.execute(_CHARGED, ids)).scalar_one())
    spent = held.get(wanted[1], 0) - held.get(owed, 0) + cast.earned_minor + refunded + lost
    found.differ("the enterprise's, spent, refunded and lost, less what it owes, and charged", spent, charged)


def _hex(ids: Iterable[UUID]) -> list[str]:
    return [row.hex for row in ids]


def _keys(cast: Cast, disputes: Iterable[str]) -> Sequence[str]:
    """Return the keys of every transaction by which money came in or goes out."""
    keys = [f"topup:{row}" for row in cast.charges] + [f"refund:{row}:done" for row in cast.refunds]
    keys += [posting_key(ref, step) for ref in disputes for step in STEPS]
    return keys + [key for row in cast.payouts for key in payout_keys(row)]
