"""Guards taken away, one or a pair of twins at a time: each must be noticed, or the simulator proves nothing.

Where two guards cover the same mistake, taking one away goes unnoticed by design, so both go (money.md §3).
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from cli.simulation.world import replaced
from marketplace.core import money
from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.payments import chargebacks, inbox, outcomes, policy, saga
from marketplace.payments.errors import Rejected, Throttled, Unknown
from marketplace.payments.gateway import DisputeFacts, Gateway, RemoteEvent, RemoteObject, RemoteState
from marketplace.payments.models import Charge, Chargeback, Payout, ProviderCall
from marketplace.payments.policy import AfterAbsence
from marketplace.payments.sandbox import signing
from marketplace.payments.states import CallState, ChargebackState, ChargeState, Leg, PayoutState, Subject
from marketplace.payments.subjects import lock_subject
from marketplace.settlement import policy as settlement_policy
from marketplace.settlement.policy import BPS, Split, Terms
from workers.jobs import payments as jobs

Change = tuple[Any, str, Any]  # whose, the name, what stands there instead


@contextmanager
def _all(*changes: Change) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, name, value in changes:
            stack.enter_context(replaced(owner, name, value))
        yield


def _unstable_key() -> AbstractContextManager[None]:
    """Each try has a key of its own: the provider cannot know that it has seen the call before."""
    perform = saga._perform

    async def under_a_new_key(gateway: Gateway, call: ProviderCall) -> RemoteObject:
        fresh = ProviderCall.model_validate({**call.model_dump(), "key": new_id().hex})
        return await perform(gateway, fresh)

    return _all((saga, "_perform", under_a_new_key))


def _no_call_row_and_unstable_key() -> AbstractContextManager[None]:
    """A call leaves before its row is committed, so a crash forgets it; and the next one has another key."""
    advance = saga.advance

    async def and_call_at_once(session: AsyncSession, subject: Subject, subject_id: UUID) -> None:
        await advance(session, subject, subject_id)
        for call in [row for row in session.new if isinstance(row, ProviderCall)]:
            call.key = new_id().hex
            with suppress(Throttled, Rejected, Unknown):  # the job after this one will be told again
                await saga._perform(vars(jobs)["open_gateway"](None, None), call)  # the gateway of this world

    return _all((saga, "advance", and_call_at_once))


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


async def _book_top_up(session: AsyncSession, charge: Charge, remote: RemoteObject, key: str) -> None:
    legs = [
        debit(accounts.psp(charge.provider), charge.amount_minor - remote.fee_minor),
        debit(accounts.PSP_FEE, remote.fee_minor),
        credit(accounts.org_cash(charge.organisation_id), charge.amount_minor),
    ]
    facts = {"object": remote.kind.value, "ref": remote.ref}
    await ledger.post(session, key, "topup", legs, charge.currency, facts=facts)


def _no_posting_key_and_no_state() -> AbstractContextManager[None]:
    """A charge is booked whenever news of it comes: neither its state nor the key of the posting is asked."""

    async def book(session: AsyncSession, charge: Charge, remote: RemoteObject) -> None:
        charge.state = policy.CHARGE_OF_REMOTE[remote.state]
        if remote.state is RemoteState.SUCCEEDED:
            await _book_top_up(session, charge, remote, f"topup:{new_id()}")

    return _all((outcomes, "_charge", book))


def _posted_by_event() -> list[Change]:
    """A charge is booked by webhooks only, under the key of the event, whatever its state: the inbox alone guards it.

    Not noticed while the inbox keeps each event once.
    """
    apply, apply_to = outcomes.apply, outcomes.apply_to

    async def whenever_told(session: AsyncSession, remote: RemoteObject) -> bool:
        if remote.kind is not Leg.CHARGE or remote.state is not RemoteState.SUCCEEDED:
            return await apply(session, remote)
        charge: Charge | None = await lock_subject(session, Subject.CHARGE, UUID(hex=remote.ref))
        if charge is not None:
            charge.state = ChargeState.SUCCEEDED
            key = charge.id if charge.fee_minor == 0 else new_id()  # the fee is kept when it is booked
            await _book_top_up(session, charge, remote, f"topup:{key}")
            charge.fee_minor = remote.fee_minor
        return charge is not None

    async def without_booking(session: AsyncSession, row: Any, remote: RemoteObject) -> None:
        if not isinstance(row, Charge):
            await apply_to(session, row, remote)
        elif remote.state is not RemoteState.PENDING:
            row.state = policy.CHARGE_OF_REMOTE[remote.state]

    return [(outcomes, "apply", whenever_told), (outcomes, "apply_to", without_booking)]


def _no_inbox_id_and_posted_by_event() -> AbstractContextManager[None]:
    """A webhook that comes again is a new event, and is booked again."""
    receive, fill_gaps = inbox.receive, inbox.fill_gaps
    listing = [False]

    async def as_new(session: AsyncSession, provider: str, event: RemoteEvent) -> bool:
        known = event if listing[0] else replace(event, id=str(new_id()))
        return await receive(session, provider, known)

    async def fill(session: AsyncSession, gateway: Gateway) -> int:
        listing[0] = True
        try:
            return await fill_gaps(session, gateway)
        finally:
            listing[0] = False

    return _all((inbox, "receive", as_new), (inbox, "fill_gaps", fill), *_posted_by_event())


def _no_parking_and_no_late_opening() -> AbstractContextManager[None]:
    """An event that fits nothing yet is dropped, and a chargeback that is over is not opened any more."""
    fits, opens = inbox._fits, chargebacks._open

    async def always(session: AsyncSession, remote: RemoteObject) -> bool:
        await fits(session, remote)
        return True

    async def only_while_open(session: AsyncSession, charge: Charge, remote: RemoteObject, facts: DisputeFacts) -> Any:
        if remote.state is RemoteState.PENDING:
            return await opens(session, charge, remote, facts)
        return SimpleNamespace(state=ChargebackState.LOST)  # which apply leaves alone

    return _all((inbox, "_fits", always), (chargebacks, "_open", only_while_open))


def _no_poll_and_no_webhooks() -> AbstractContextManager[None]:
    """Nobody looks a call of unknown outcome up, and nobody hears of it: it is closed as if it had had no effect."""

    async def close(_session: AsyncSession, _row: Any, call: ProviderCall) -> None:
        saga._step(call, CallState.ABSENT)

    async def deaf(_session: AsyncSession, _provider: str, _event: RemoteEvent) -> bool:
        return False

    return _all((saga, "resolve", _instead_of_looking(close)), (inbox, "receive", deaf))


def _chargeback_without_state_and_key() -> AbstractContextManager[None]:
    """A chargeback is decided whenever news of it comes: neither its state nor the key of the posting is asked."""
    apply = chargebacks.apply

    async def again(session: AsyncSession, remote: RemoteObject) -> bool:
        found = await session.exec(select(Chargeback).where(Chargeback.remote_ref == remote.ref).with_for_update())
        for row in found:
            row.state = ChargebackState.OPEN
        return await apply(session, remote)

    def new_key(remote_ref: str, step: str) -> str:
        return f"cb:{remote_ref}:{step}" if step == "open" else f"cb:{remote_ref}:{step}:{new_id()}"

    return _all((chargebacks, "apply", again), (chargebacks, "posting_key", new_key))


def _nothing_frozen_is_taken() -> AbstractContextManager[None]:
    """A chargeback that is lost leaves what was frozen where it is."""

    async def end(_session: AsyncSession, row: Chargeback) -> None:
        row.state = ChargebackState.LOST

    return _all((chargebacks, "_lost", end))


def _frozen_without_asking() -> AbstractContextManager[None]:
    """A chargeback freezes its whole amount, whether or not the enterprise has it."""

    async def all_of_it(_session: AsyncSession, row: Chargeback) -> dict[str, int]:
        return {accounts.org_cash(row.organisation_id): row.amount_minor}

    return _all((chargebacks, "_to_freeze", all_of_it))


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
    "no_call_row_and_unstable_key": _no_call_row_and_unstable_key,
    "unstable_key": _unstable_key,
    "no_look_up": _no_look_up,
    "replay_for_ever": _replay_for_ever,
    "new_attempt_at_once": _new_attempt_at_once,
    "no_posting_key_and_no_state": _no_posting_key_and_no_state,
    "no_inbox_id_and_posted_by_event": _no_inbox_id_and_posted_by_event,
    "no_parking_and_no_late_opening": _no_parking_and_no_late_opening,
    "no_poll_and_no_webhooks": _no_poll_and_no_webhooks,
    "chargeback_without_state_and_key": _chargeback_without_state_and_key,
    "nothing_frozen_is_taken": _nothing_frozen_is_taken,
    "frozen_without_asking": _frozen_without_asking,
    "no_gap_fill": _no_gap_fill,
    "paid_is_the_end": _paid_is_the_end,
    "no_restore": _no_restore,
    "no_reversal": _no_reversal,
    "no_signature": _no_signature,
    "naive_split": _naive_split,
    "per_bundle_rounding": _per_bundle_rounding,
}
