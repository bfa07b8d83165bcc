"""What a payment provider must offer (money.md §6). The sandbox implements it; a real provider is one more module.

Every mutating method takes `key` (one try; the provider repeats its first answer to it) and `ref` (our own id, the same
across tries and stored at the provider, so that `find` can tell whether something happened).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from marketplace.core.money import Money
from marketplace.payments.states import Leg


class RemoteState(StrEnum):
    """The state of an object at the provider, in words common to all providers."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DisputeFacts:
    """What only a chargeback has: the charge it takes back (our reference; empty: none of ours), why, and until when.

    `fee_back_minor` is what the provider gives back of its fee when the chargeback is won.
    """

    charge_ref: str
    reason: str
    evidence_due_at: datetime | None = None
    fee_back_minor: int = 0


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """An object at the provider, as it is now. Amounts in minor units; a payee has none.

    `next_action` is what the payer's own browser needs to go on: `kind` (of `schemas.NextActionKind`) and the fields of
    `schemas.NextAction` that it has. It is never stored or logged. `requirements` is what a payee has yet to tell.

    A chargeback's reference is the provider's own id of it; it is `pending` while the provider has our money,
    `succeeded` when the money is back with us, and `failed` when the payer keeps it.
    """

    kind: Leg
    id: str
    ref: str
    state: RemoteState
    amount_minor: int
    currency: str
    fee_minor: int = 0
    failure_code: str | None = None
    next_action: Mapping[str, str] | None = None
    requirements: tuple[str, ...] = ()
    dispute: DisputeFacts | None = None


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """One movement of our balance at the provider, positive when it grew, fee included."""

    id: str
    kind: Leg
    ref: str
    amount_minor: int
    currency: str
    created_at: datetime


def reinstated(dispute_ref: str) -> str:
    """Return the reference of the entry by which the money of a chargeback that was won comes back."""
    return f"{dispute_ref}:won"


@dataclass(frozen=True, slots=True)
class RemoteBalance:
    """Our balance at the provider: what can be used now, and what will be."""

    available_minor: int
    pending_minor: int


@dataclass(frozen=True, slots=True)
class RemoteEvent:
    """A notice that an object changed; it says which one, and the object itself is fetched."""

    id: str
    kind: Leg
    ref: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do, and the limits that bind us. Limits per currency are in minor units."""

    currencies: frozenset[str]
    minimum_payout_minor: Mapping[str, int]
    granularity_minor: Mapping[str, int]
    key_lifetime: timedelta
    find_delay: timedelta  # an object is found at the latest this long after the call that made it was answered
    hold_limit: timedelta
    event_history: timedelta
    needs_bank_details: bool = False  # the payee tells us, and not the provider, where to pay


class Gateway(Protocol):
    """A payment provider.

    Mutating methods raise `Rejected` (definitely no effect), `Unknown` (look it up), `Throttled` (no effect, wait) or
    `Misconfigured`; reading ones raise `Unknown`, `Throttled` or `Misconfigured`.
    """

    @property
    def name(self) -> str:
        """The provider's name in accounts and rows."""
        ...

    def capabilities(self) -> Capabilities:
        """Return the limits; a constant of the provider."""
        ...

    async def create_payee(self, key: str, ref: str, *, display_name: str) -> RemoteObject:
        """Make a payee known to the provider; ready when its state is `succeeded`."""
        ...

    async def onboarding_link(self, key: str, payee_ref: str, *, return_url: str, refresh_url: str) -> str | None:
        """Return the address where a payee tells the provider who they are; None when nothing is asked for."""
        ...

    async def create_charge(self, key: str, ref: str, amount: Money) -> RemoteObject:
        """Take money in."""
        ...

    async def get_charge(self, ref: str) -> RemoteObject | None:
        """Return a charge as it is now."""
        ...

    async def refund(self, key: str, ref: str, amount: Money, *, charge_ref: str) -> RemoteObject:
        """Give a charge back, in whole or in part."""
        ...

    async def transfer(self, key: str, ref: str, amount: Money, *, payee_ref: str) -> RemoteObject:
        """Move money from our balance to the payee's balance at the provider."""
        ...

    async def reverse_transfer(self, key: str, ref: str, amount: Money, *, transfer_ref: str) -> RemoteObject:
        """Take a transfer back whole."""
        ...

    async def payout(self, key: str, ref: str, amount: Money, *, payee_ref: str) -> RemoteObject:
        """Move money from the payee's balance to the payee's bank."""
        ...

    async def find(self, kind: Leg, ref: str) -> RemoteObject | None:
        """Return the object with our reference, or None when there is none.

        All objects of a payout (transfer, payout, reversal) carry the payout's reference. A payee's may be the
        provider's own id as well, as events tell it; a chargeback's always is.
        """
        ...

    async def list_entries(self, since: datetime | None = None) -> list[RemoteEntry]:
        """Return the movements of our balance, oldest first."""
        ...

    async def balance(self) -> dict[str, RemoteBalance]:
        """Return our balance per currency."""
        ...

    def verify_webhook(self, raw: bytes, headers: Mapping[str, str]) -> RemoteEvent | None:
        """Return the event of a webhook (None: a genuine one, about nothing of ours), or raise `WebhookRefused`."""
        ...

    async def list_events(self, since: datetime) -> list[RemoteEvent]:
        """Return the events since a time, oldest first, also those whose webhook was lost."""
        ...
