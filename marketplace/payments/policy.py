"""Rules of the saga: which call comes next, when to try again, what absence means. Pure."""

from datetime import timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from marketplace.ledger import accounts
from marketplace.payments.gateway import Capabilities, RemoteState
from marketplace.payments.states import ChargeState, Leg, PayeeKind, PayeeState, PayoutState, RefundState

MAX_ATTEMPTS: Final = 12
KEY_MARGIN: Final = timedelta(hours=1)
_FIRST_WAIT_SECONDS: Final = 5
_LONGEST_WAIT_SECONDS: Final = 3600
# Refusals that go away by themselves: our balance at the provider is still pending there, or the payee has lapsed and
# the notice of that is on its way.
PASSING_REFUSALS: Final = frozenset({"balance_insufficient", "payee_not_active"})

LEG_OF_CHARGE: Final = {ChargeState.CREATED: Leg.CHARGE}
LEG_OF_PAYEE: Final = {PayeeState.NEW: Leg.PAYEE}
LEG_OF_PAYOUT: Final = {
    PayoutState.RESERVED: Leg.TRANSFER,
    PayoutState.TRANSFERRED: Leg.PAYOUT,
    PayoutState.FAILED: Leg.REVERSAL,
}
LEG_OF_REFUND: Final = {RefundState.ASKED: Leg.REFUND}
# What is posted for a payout, each at most once; the steps at the provider touch no account of the payout's own.
PAYOUT_STEPS_POSTED: Final = ("reserve", "transferred:1", "paid:1", "returned:1", "reversed:1", "restore")

CHARGE_OF_REMOTE: Final = {
    RemoteState.PENDING: ChargeState.PENDING,
    RemoteState.SUCCEEDED: ChargeState.SUCCEEDED,
    RemoteState.FAILED: ChargeState.FAILED,
}
REFUND_OF_REMOTE: Final = {
    RemoteState.PENDING: RefundState.PENDING,
    RemoteState.SUCCEEDED: RefundState.DONE,
    RemoteState.FAILED: RefundState.FAILED,
}


class AfterAbsence(StrEnum):
    """What to do when a look-up finds nothing."""

    REPLAY = "replay"
    NEW_ATTEMPT = "new_attempt"
    WAIT = "wait"


def after_absence(age: timedelta, *, answered: bool, limits: Capabilities) -> AfterAbsence:
    """Say how to go on when a call of this age left no trace at the provider.

    While the key lives, a call without an answer is repeated under the same key, which is safe even if the first one
    is still on its way. A call that was answered by an error is over: its key would only repeat the error. Between the
    end of the key's life and a margin after it nothing is safe, so we wait.
    """
    if answered and age >= limits.find_delay:
        return AfterAbsence.NEW_ATTEMPT
    if not answered and age < limits.key_lifetime - KEY_MARGIN:
        return AfterAbsence.REPLAY
    if age > limits.key_lifetime + KEY_MARGIN:
        return AfterAbsence.NEW_ATTEMPT
    return AfterAbsence.WAIT


def wait_before(try_number: int) -> timedelta:
    """Return the wait before a further try: 5 s, doubled each time, an hour at most."""
    return timedelta(seconds=min(_FIRST_WAIT_SECONDS * 2 ** max(try_number - 1, 0), _LONGEST_WAIT_SECONDS))


def payable_part(balance_minor: int, currency: str, limits: Capabilities) -> int:
    """Return how much of a balance the provider can pay out now: a multiple of its granularity, 0 below its minimum."""
    amount = balance_minor - balance_minor % limits.granularity_minor.get(currency, 1)
    return amount if amount >= limits.minimum_payout_minor.get(currency, 1) else 0


def payout_key(payout_id: UUID, step: str) -> str:
    """Return the ledger's key of a step of a payout, one of `PAYOUT_STEPS_POSTED`."""
    return f"payout:{payout_id}:{step}"


def payout_keys(payout_id: UUID) -> list[str]:
    """Return the ledger's keys of everything that may be posted for a payout."""
    return [payout_key(payout_id, step) for step in PAYOUT_STEPS_POSTED]


def payable_path(kind: PayeeKind, owner_id: UUID) -> str:
    """Return the account that says what we owe a vendor or worker."""
    return accounts.vendor(owner_id) if kind is PayeeKind.VENDOR else accounts.worker(owner_id)
