"""Guards taken away, one or a pair of twins at a time: each must be noticed, or the simulator proves nothing.

Where two guards cover the same mistake, taking one away goes unnoticed by design, so both go (money.md §3).
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Final
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from cli.simulation.world import replaced
from marketplace.core import money
from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.payments import inbox, outcomes, policy, saga
from marketplace.payments.errors import Rejected, Throttled, Unknown
from marketplace.payments.gateway import Gateway, RemoteObject, RemoteState
from marketplace.payments.models import Charge, Payout, ProviderCall
from marketplace.payments.policy import AfterAbsence
from marketplace.payments.sandbox import signing
from marketplace.payments.states import CallState, PayoutState
from marketplace.settlement import policy as settlement_policy
from marketplace.settlement.policy import BPS, Split, Terms


@contextmanager
def _all(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, name, value in changes:
            stack.enter_context(replaced(owner, name, value))
        yield


def _no_call_row() -> AbstractContextManager[None]:
    """Each try is a call of its own: nothing remembers the key under which an earlier one left."""
    perform = saga._perform

    async def under_a_new_key(gateway: Gateway, call: ProviderCall) -> RemoteObject:
        fresh = ProviderCall.model_validate({**call.model_dump(), "key": new_id().hex})
        return await perform(gateway, fresh)

    return _all((saga, "_perform", under_a_new_key))


def _instead_of_looking(decide: Callable[[AsyncSession, Any, ProviderCall], Awaitable[None]]) -> Any:
    """Return a `resolve` that asks the provider nothing and decides about an unknown call, locked with its row."""

    async def resolve(session: AsyncSession, _gateway: Gateway, call_id: UUID) -> None:
        call = await session.get_one(ProviderCall, call_id)
        row = await saga._lock_open(session, call)
        if row is not None and call.state is CallState.UNKNOWN:
            await decide(session, row, call)

    return resolve


def _no_look_up() -> AbstractContextManager[None]:
    """What is unknown is taken to have had no effect."""

    async def new_attempt(session: AsyncSession, row: Any, call: ProviderCall) -> None:
        saga._step(call, CallState.ABSENT)
        await saga._again(session, row, call, "not looked up")

    return _all((saga, "resolve", _instead_of_looking(new_attempt)))


def _replay_for_ever() -> AbstractContextManager[None]:
    """The same key is repeated, without looking, however old it is."""

    async def repeat(session: AsyncSession, _row: Any, call: ProviderCall) -> None:
        saga.reopen(call)
        emit(session, "payments.send", {"call_id": str(call.id)})

    async def whatever_its_age(gateway: Gateway, call: ProviderCall) -> Any:
        try:
            return await saga._perform(gateway, call)
        except (Throttled, Rejected, Unknown) as error:
            return error

    return _all((saga, "resolve", _instead_of_looking(repeat)), (saga, "_outcome", whatever_its_age))


def _new_attempt_at_once() -> AbstractContextManager[None]:
    """A call without a trace is repeated under a new key, though the first one may still be on its way."""
    return _all((policy, "after_absence", lambda *_, **__: AfterAbsence.NEW_ATTEMPT))


def _no_posting_key_and_no_state() -> AbstractContextManager[None]:
    """A charge is booked whenever news of it comes: neither its state nor the key of the posting is asked."""

    async def book(session: AsyncSession, charge: Charge, remote: RemoteObject) -> None:
        charge.state = policy.CHARGE_OF_REMOTE[remote.state]
        if remote.state is RemoteState.SUCCEEDED:
            legs = [
                debit(accounts.psp(charge.provider), charge.amount_minor - remote.fee_minor),
                debit(accounts.PSP_FEE, remote.fee_minor),
                credit(accounts.org_cash(charge.organisation_id), charge.amount_minor),
            ]
            await ledger.post(session, f"topup:{new_id()}", "topup", legs, charge.currency)

    return _all((outcomes, "_charge", book))


def _no_gap_fill() -> AbstractContextManager[None]:
    """Nobody asks the provider for events whose webhook was lost."""

    async def nothing(_session: AsyncSession, _gateway: Gateway) -> int:
        return 0

    return _all((inbox, "fill_gaps", nothing))


def _paid_is_the_end() -> AbstractContextManager[None]:
    """A payout that was paid is never looked at again."""
    submitted = outcomes._submitted

    async def unless_paid(session: AsyncSession, payout: Payout, remote: RemoteObject) -> None:
        if payout.state is not PayoutState.PAID:
            await submitted(session, payout, remote)

    return _all((outcomes, "_submitted", unless_paid))


def _no_restore() -> AbstractContextManager[None]:
    """A payout that failed is cancelled, and its money stays where it was."""

    async def cancel(_session: AsyncSession, payout: Payout, code: str) -> None:
        payout.state, payout.failure_code = PayoutState.CANCELLED, code

    return _all((outcomes, "restore", cancel))


def _no_reversal() -> AbstractContextManager[None]:
    """The payee has its money back at once, and the transfer is never reversed at the provider."""
    submitted = outcomes._submitted

    async def give_back_at_once(session: AsyncSession, payout: Payout, remote: RemoteObject) -> None:
        await submitted(session, payout, remote)
        if payout.state is PayoutState.FAILED:
            payout.state = PayoutState.REVERSED
            await outcomes.restore(session, payout, payout.failure_code or "")

    return _all((outcomes, "_submitted", give_back_at_once))


def _no_signature() -> AbstractContextManager[None]:
    """Webhooks are taken from anybody."""
    return _all((signing, "check", lambda *_: None))


def _naive_split() -> AbstractContextManager[None]:
    """Every part is rounded by itself."""

    def rounded(amount: int, terms: Terms) -> Split:
        fee = round(amount * terms.platform_fee_bps / BPS)
        worker = round((amount - fee) * terms.worker_share_bps / BPS)
        return Split(fee, round((amount - fee) * (BPS - terms.worker_share_bps) / BPS), worker)

    return _all((settlement_policy, "split", rounded))


def _per_bundle_rounding() -> AbstractContextManager[None]:
    """Each bundle is rounded by itself, and nobody adds up."""
    units_before = [0]

    def rounded(units: int, unit_price: int, already_minor: int) -> int:
        own = units - units_before[0] if already_minor else units
        units_before[0] = units
        return (own * unit_price * 2 + money.PRICE_SCALE) // (2 * money.PRICE_SCALE)

    return _all((money, "cumulative_due", rounded))


MUTANTS: Final[dict[str, Callable[[], AbstractContextManager[None]]]] = {
    "no_call_row": _no_call_row,
    "no_look_up": _no_look_up,
    "replay_for_ever": _replay_for_ever,
    "new_attempt_at_once": _new_attempt_at_once,
    "no_posting_key_and_no_state": _no_posting_key_and_no_state,
    "no_gap_fill": _no_gap_fill,
    "paid_is_the_end": _paid_is_the_end,
    "no_restore": _no_restore,
    "no_reversal": _no_reversal,
    "no_signature": _no_signature,
    "naive_split": _naive_split,
    "per_bundle_rounding": _per_bundle_rounding,
}
