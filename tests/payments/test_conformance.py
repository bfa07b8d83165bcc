"""What the saga relies on, asked of each provider: the sandbox, Stripe's adapter over a fake of it by HTTP, bank files.

The bank-file rail is asked what applies to it: it takes no charges, has no webhooks, and none of its calls is lost.
"""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from marketplace.core.db import Database
from marketplace.core.ids import new_id
from marketplace.core.money import Money
from marketplace.core.settings import Settings
from marketplace.payments.errors import Misconfigured, Rejected, Throttled, Unknown, WebhookRefused
from marketplace.payments.gateway import RemoteObject, RemoteState, reinstated
from marketplace.payments.states import Leg
from tests.payments.benches import BankFileBench, Bench, SandboxBench, live_bench, stripe_bench

CURRENCY = "USD"
FUNDS = Money(100_000, CURRENCY)
AMOUNT = Money(12_300, CURRENCY)
MORE_THAN_ANYBODY_HAS = Money(99_999_999, CURRENCY)
_NO_CHARGES = "it takes no charges, so it refunds none"
_NO_FAULTS = "its calls are transactions of its own database: none is lost or answered by an error"
_NO_WEBHOOKS = "a bank sends files, not webhooks"
_NOT_OF_BANK_FILES = {
    "test_object_is_found_by_its_reference_when_it_exists_and_only_then": _NO_CHARGES,
    "test_refund_is_refused_when_the_charge_is_spent": _NO_CHARGES,
    "test_entries_add_up_to_the_balance_when_money_has_gone_every_way": _NO_CHARGES,
    "test_transfer_is_refused_when_the_balance_does_not_hold_it": "the second person releases only what is covered",
    "test_effect_is_found_when_its_answer_was_lost": _NO_FAULTS,
    "test_nothing_is_found_when_the_call_had_no_effect": _NO_FAULTS,
    "test_same_key_has_its_effect_once_when_the_answer_was_lost": _NO_FAULTS,
    "test_webhook_is_taken_when_its_signature_fits_and_is_fresh": _NO_WEBHOOKS,
    "test_events_tell_of_what_happened_when_no_webhook_came": _NO_CHARGES,
    "test_chargeback_is_told_with_its_money_when_it_opens_and_ends": _NO_CHARGES,
}


@pytest.fixture(params=["sandbox", "stripe", "bank_file", pytest.param("live", marks=pytest.mark.stripe_live)])
async def bench(request: pytest.FixtureRequest, settings: Settings, database: Database) -> AsyncIterator[Bench]:
    if request.param == "sandbox":
        yield SandboxBench(settings, database)
        return
    if request.param == "bank_file":
        if reason := _NOT_OF_BANK_FILES.get(request.function.__name__):
            pytest.skip(reason)
        yield BankFileBench(settings, database)
        return
    async with (live_bench if request.param == "live" else stripe_bench)(settings, database) as opened:
        yield opened


def _ref() -> str:
    return new_id().hex


async def _charged(bench: Bench, amount: Money = FUNDS) -> RemoteObject:
    """A charge whose money is available."""
    if isinstance(bench, BankFileBench):
        return await bench.books.fund(amount)
    ref = _ref()
    await bench.gateway.create_charge(f"{ref}charge1", ref, amount)
    await bench.pass_time()
    found = await bench.gateway.get_charge(ref)
    assert found is not None
    assert found.state is RemoteState.SUCCEEDED
    return found


async def _payee(bench: Bench, name: str = "Wei Xiaomu") -> str:
    """The reference of a payee who is ready."""
    ref = await bench.books.payee(CURRENCY) if isinstance(bench, BankFileBench) else _ref()
    await bench.name_payee(ref)
    await bench.gateway.create_payee(f"{ref}payee1", ref, display_name=name)
    await bench.pass_time()
    found = await bench.gateway.find(Leg.PAYEE, ref)
    assert found is not None
    assert (found.ref, found.state) == (ref, RemoteState.SUCCEEDED)
    return ref


async def _transferred(bench: Bench, payee_ref: str) -> str:
    ref = _ref()
    await bench.gateway.transfer(f"{ref}transfer1", ref, AMOUNT, payee_ref=payee_ref)
    return ref


async def _total(bench: Bench) -> int:
    balance = (await bench.gateway.balance())[CURRENCY]
    return balance.available_minor + balance.pending_minor


async def test_one_object_is_made_when_a_key_comes_again(bench):
    await _charged(bench)
    payee, ref = await _payee(bench), _ref()
    before = await _total(bench)
    first = await bench.gateway.transfer(f"{ref}transfer1", ref, AMOUNT, payee_ref=payee)
    second = await bench.gateway.transfer(f"{ref}transfer1", ref, AMOUNT, payee_ref=payee)
    assert first == second
    assert (first.kind, first.ref, first.amount_minor, first.currency) == (Leg.TRANSFER, ref, AMOUNT.minor, CURRENCY)
    assert await _total(bench) == before - AMOUNT.minor


async def test_call_is_refused_when_its_key_came_with_another_request(bench):
    await _charged(bench)
    payee, ref = await _payee(bench), _ref()
    await bench.gateway.transfer(f"{ref}transfer1", ref, AMOUNT, payee_ref=payee)
    before = await _total(bench)
    with pytest.raises(Misconfigured):
        await bench.gateway.transfer(f"{ref}transfer1", ref, Money(1_000, CURRENCY), payee_ref=payee)
    assert await _total(bench) == before


async def test_payee_is_one_when_it_is_made_again_under_another_key(bench):
    if isinstance(bench, SandboxBench):
        pytest.skip("the saga makes a payee of the sandbox once, for it is ready at once")
    ref = _ref()
    first = await bench.gateway.create_payee(f"{ref}payee1", ref, display_name="Wei Xiaomu")
    second = await bench.gateway.create_payee(f"{ref}payee2", ref, display_name="Wei Xiaomu")
    assert first.id == second.id


async def test_object_is_found_by_its_reference_when_it_exists_and_only_then(bench):
    for leg in Leg:
        assert await bench.gateway.find(leg, _ref()) is None
    charge, payee = await _charged(bench), await _payee(bench)
    ref = await _transferred(bench, payee)
    assert await bench.gateway.find(Leg.PAYOUT, ref) is None
    assert await bench.gateway.find(Leg.REVERSAL, ref) is None
    made = await bench.gateway.payout(f"{ref}payout1", ref, AMOUNT, payee_ref=payee)
    back = _ref()
    refund = await bench.gateway.refund(f"{back}refund1", back, Money(500, CURRENCY), charge_ref=charge.ref)
    found = [await bench.gateway.find(leg, at) for leg, at in (
        (Leg.CHARGE, charge.ref), (Leg.TRANSFER, ref), (Leg.PAYOUT, ref), (Leg.REFUND, back),
    )]  # fmt: skip
    assert [(each.kind, each.ref, each.currency) for each in found] == [
        (Leg.CHARGE, charge.ref, CURRENCY), (Leg.TRANSFER, ref, CURRENCY), (Leg.PAYOUT, ref, CURRENCY),
        (Leg.REFUND, back, CURRENCY),
    ]  # fmt: skip
    assert (found[2].id, found[3].id) == (made.id, refund.id)
    assert [each.amount_minor for each in found] == [FUNDS.minor, AMOUNT.minor, AMOUNT.minor, 500]


async def test_transfer_is_refused_when_the_balance_does_not_hold_it(bench):
    await _charged(bench)
    payee, ref = await _payee(bench), _ref()
    too_much = Money(await _total(bench) + 1, CURRENCY)
    with pytest.raises(Rejected) as refused:
        await bench.gateway.transfer(f"{ref}transfer1", ref, too_much, payee_ref=payee)
    assert refused.value.reason_code == "balance_insufficient"
    assert await bench.gateway.find(Leg.TRANSFER, ref) is None


async def test_payout_is_paid_when_the_bank_takes_it(bench):
    bench.needs_its_bank()
    await _charged(bench)
    payee = await _payee(bench)
    ref = await _transferred(bench, payee)
    sent = await bench.gateway.payout(f"{ref}payout1", ref, AMOUNT, payee_ref=payee)
    assert sent.state is RemoteState.PENDING
    await bench.pass_time()
    assert (await bench.gateway.find(Leg.PAYOUT, ref)).state is RemoteState.SUCCEEDED


async def test_payout_is_refused_when_the_payee_has_less(bench):
    await _charged(bench)
    payee = await _payee(bench)
    ref = await _transferred(bench, payee)
    with pytest.raises(Rejected) as refused:
        await bench.gateway.payout(f"{ref}payout1", ref, MORE_THAN_ANYBODY_HAS, payee_ref=payee)
    assert refused.value.reason_code == "balance_insufficient"


async def test_failed_payout_goes_all_the_way_back_when_the_bank_returns_it(bench):
    bench.needs_its_bank()
    await _charged(bench)
    before = await _total(bench)
    payee = await _payee(bench, "Wei Xiaomu return-payout")
    ref = await _transferred(bench, payee)
    bench.return_payouts()
    await bench.gateway.payout(f"{ref}payout1", ref, AMOUNT, payee_ref=payee)
    for _ in range(2):
        await bench.pass_time()
    failed = await bench.gateway.find(Leg.PAYOUT, ref)
    assert failed.state is RemoteState.FAILED
    assert failed.failure_code
    made = await bench.gateway.reverse_transfer(f"{ref}reversal1", ref, AMOUNT, transfer_ref=ref)
    assert (made.kind, made.ref, made.state, made.amount_minor) == (
        Leg.REVERSAL, ref, RemoteState.SUCCEEDED, AMOUNT.minor,
    )  # fmt: skip
    assert (await bench.gateway.find(Leg.REVERSAL, ref)).id == made.id
    assert await _total(bench) == before


async def test_transfer_is_taken_back_once_when_it_is_asked_twice(bench):
    await _charged(bench)
    before, payee = await _total(bench), await _payee(bench)
    ref = await _transferred(bench, payee)
    await bench.gateway.reverse_transfer(f"{ref}reversal1", ref, AMOUNT, transfer_ref=ref)
    with pytest.raises(Rejected):
        await bench.gateway.reverse_transfer(f"{ref}reversal2", ref, AMOUNT, transfer_ref=ref)
    assert await _total(bench) == before


async def test_refund_is_refused_when_the_charge_is_spent(bench):
    charge, ref = await _charged(bench), _ref()
    await _charged(bench)
    done = await bench.gateway.refund(f"{ref}refund1", ref, Money(60_000, CURRENCY), charge_ref=charge.ref)
    assert done.state in {RemoteState.SUCCEEDED, RemoteState.PENDING}
    other = _ref()
    with pytest.raises(Rejected):
        await bench.gateway.refund(f"{other}refund1", other, Money(60_000, CURRENCY), charge_ref=charge.ref)
    assert await bench.gateway.find(Leg.REFUND, other) is None


async def test_entries_add_up_to_the_balance_when_money_has_gone_every_way(bench):
    if not bench.starts_empty:
        pytest.skip("the account has a history")
    charge, payee, back = await _charged(bench), await _payee(bench), _ref()
    kept, taken = await _transferred(bench, payee), await _transferred(bench, payee)
    await bench.gateway.reverse_transfer(f"{taken}reversal1", taken, AMOUNT, transfer_ref=taken)
    await bench.gateway.refund(f"{back}refund1", back, Money(500, CURRENCY), charge_ref=charge.ref)
    entries = await bench.gateway.list_entries()
    assert sum(entry.amount_minor for entry in entries) == await _total(bench)
    assert [(entry.kind, entry.ref) for entry in entries] == [
        (Leg.CHARGE, charge.ref), (Leg.TRANSFER, kept), (Leg.TRANSFER, taken), (Leg.REVERSAL, taken),
        (Leg.REFUND, back),
    ]  # fmt: skip
    assert entries[0].amount_minor == charge.amount_minor - charge.fee_minor


@pytest.mark.parametrize(("fault", "answered"), [("lost_response", False), ("error_after", True)])
async def test_effect_is_found_when_its_answer_was_lost(bench, fault, answered):
    await _charged(bench)
    payee = await _payee(bench)
    await _transferred(bench, payee)  # what a provider sets up for a payee's first transfer is done
    ref = _ref()
    bench.plan(fault)
    with pytest.raises(Unknown) as unknown:
        await bench.gateway.transfer(f"{ref}transfer1", ref, AMOUNT, payee_ref=payee)
    assert unknown.value.answered is answered
    found = await bench.gateway.find(Leg.TRANSFER, ref)
    assert (found.ref, found.amount_minor) == (ref, AMOUNT.minor)


@pytest.mark.parametrize(
    ("fault", "error"), [("lost_request", Unknown), ("error_before", Unknown), ("throttled", Throttled)]
)
async def test_nothing_is_found_when_the_call_had_no_effect(bench, fault, error):
    await _charged(bench)
    payee = await _payee(bench)
    await _transferred(bench, payee)
    ref = _ref()
    bench.plan(fault)
    with pytest.raises(error):
        await bench.gateway.transfer(f"{ref}transfer1", ref, AMOUNT, payee_ref=payee)
    assert await bench.gateway.find(Leg.TRANSFER, ref) is None


async def test_same_key_has_its_effect_once_when_the_answer_was_lost(bench):
    await _charged(bench)
    payee = await _payee(bench)
    await _transferred(bench, payee)
    ref, before = _ref(), await _total(bench)
    bench.plan("lost_response")
    with pytest.raises(Unknown):
        await bench.gateway.transfer(f"{ref}transfer1", ref, AMOUNT, payee_ref=payee)
    again = await bench.gateway.transfer(f"{ref}transfer1", ref, AMOUNT, payee_ref=payee)
    assert again.ref == ref
    assert await _total(bench) == before - AMOUNT.minor


async def test_webhook_is_taken_when_its_signature_fits_and_is_fresh(bench):
    ref = _ref()
    event = bench.gateway.verify_webhook(*bench.signed(Leg.TRANSFER, ref, timedelta(0)))
    assert (event.kind, event.ref) == (Leg.TRANSFER, ref)


@pytest.mark.parametrize("age", [timedelta(hours=1), timedelta(hours=-1)])
async def test_webhook_is_refused_when_its_stamp_is_far_in_either_direction(bench, age):
    with pytest.raises(WebhookRefused):
        bench.gateway.verify_webhook(*bench.signed(Leg.TRANSFER, _ref(), age))


async def test_webhook_is_refused_when_it_is_forged(bench):
    body, headers = bench.signed(Leg.TRANSFER, _ref(), timedelta(0))
    for forged, given in ((body.replace(b"transfer", b"payout"), headers), (body, {}), (b"\xff", headers)):
        with pytest.raises(WebhookRefused):
            bench.gateway.verify_webhook(forged, given)


async def test_events_tell_of_what_happened_when_no_webhook_came(bench):
    charge, payee = await _charged(bench), await _payee(bench)
    ref = await _transferred(bench, payee)
    await bench.gateway.payout(f"{ref}payout1", ref, AMOUNT, payee_ref=payee)
    await bench.pass_time()
    events = await bench.gateway.list_events(bench.began - timedelta(minutes=1))
    told = {(event.kind, event.ref) for event in events}
    assert {(Leg.CHARGE, charge.ref), (Leg.TRANSFER, ref), (Leg.PAYOUT, ref)} <= told
    assert [event.occurred_at for event in events] == sorted(event.occurred_at for event in events)


@pytest.mark.parametrize("won", [True, False])
async def test_chargeback_is_told_with_its_money_when_it_opens_and_ends(bench, won):
    charge = await _charged(bench)
    before = await _total(bench)
    ref = await bench.dispute(charge)
    opened = await bench.gateway.find(Leg.DISPUTE, ref)
    assert opened is not None
    assert opened.dispute is not None
    assert (opened.ref, opened.state, opened.amount_minor) == (ref, RemoteState.PENDING, FUNDS.minor)
    assert (opened.dispute.charge_ref, opened.dispute.reason) == (charge.ref, "fraudulent")
    assert opened.dispute.evidence_due_at is not None
    assert opened.dispute.evidence_due_at > opened.dispute.evidence_due_at - timedelta(days=1) > bench.began
    assert await _total(bench) == before - FUNDS.minor - opened.fee_minor
    await bench.close_dispute(ref, won=won)
    ended = await bench.gateway.find(Leg.DISPUTE, ref)
    assert ended is not None
    assert ended.state is (RemoteState.SUCCEEDED if won else RemoteState.FAILED)
    assert ended.fee_minor == opened.fee_minor
    entries = [(entry.ref, entry.amount_minor) for entry in await bench.gateway.list_entries(bench.began)
               if entry.kind is Leg.DISPUTE]  # fmt: skip
    taken = [(ref, -FUNDS.minor - opened.fee_minor)]
    assert entries == taken + ([(reinstated(ref), FUNDS.minor)] if won else [])
    events = [event for event in await bench.gateway.list_events(bench.began) if event.kind is Leg.DISPUTE]
    assert {event.ref for event in events} == {ref}
    assert len(events) >= 2


async def test_no_chargeback_is_found_when_the_provider_has_none(bench):
    assert await bench.gateway.find(Leg.DISPUTE, "dp_00000000000000") is None
