"""A payout is neither lost nor doubled, whatever fails: lost requests, lost answers, errors, crashes at any step."""

from uuid import UUID

import pytest
from sqlmodel import select

from marketplace.core.actor import SYSTEM
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.money import Money
from marketplace.core.outbox import Outbox
from marketplace.ledger import accounts, queries, verify
from marketplace.payments import inbox
from marketplace.payments.gateway import RemoteEvent
from marketplace.payments.models import Charge, Payout, ProviderCall, Refund
from marketplace.payments.refunds import refund_to_source
from marketplace.payments.sandbox.faults import Fault
from marketplace.payments.sandbox.settings import SandboxSettings
from marketplace.payments.states import CallState, ChargeState, Leg, PayoutState, RefundState
from tests.factories.money import ask_payout, ask_top_up, committed, earn, remote_objects, row_of, tamper
from tests.jobs import run_outbox
from workers import session as runner
from workers.session import run_once

AMOUNT = 12_345


@pytest.fixture
async def funded(database, gateway, drive):
    """A provider balance that payouts can be made from."""
    await ask_top_up(database, gateway, new_id(), 1_000_000)
    await drive()
    return database


async def _balance(database, path: str) -> int:
    async with database.sessions() as session:
        return await queries.balance(session, path, "CNY")


async def _assert_paid_once(database, payout: Payout, worker_id) -> None:
    ref = payout.id.hex
    transfers = await remote_objects(database, Leg.TRANSFER, ref)
    sent = await remote_objects(database, Leg.PAYOUT, ref)
    assert len(transfers) == len(sent) == 1
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.PAID
    assert await _balance(database, accounts.worker(worker_id)) == 0
    assert await _balance(database, accounts.payout_pending(payout.id)) == 0
    assert await _balance(database, accounts.in_transit("sandbox")) == 0
    assert await _balance(database, accounts.psp("sandbox")) == 1_000_000 - AMOUNT
    async with database.sessions() as session:
        assert (await verify.verify(session)).holds


async def test_top_up_reaches_the_balance_when_the_charge_succeeds(database, gateway, drive):
    organisation = new_id()
    charge = await ask_top_up(database, gateway, organisation, 5000)
    assert await _balance(database, accounts.org_cash(organisation)) == 0
    await drive()
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.SUCCEEDED
    assert await _balance(database, accounts.org_cash(organisation)) == 5000


@pytest.mark.parametrize(("amount", "code"), [(14_002, "card_declined"), (14_003, "bank_refused")])
async def test_top_up_fails_without_a_posting_when_the_amount_is_magic(database, gateway, drive, amount, code):
    organisation = new_id()
    charge = await ask_top_up(database, gateway, organisation, amount)
    await drive()
    # only a webhook tells of a charge that fails later; the gap is filled from the provider's events
    async with committed(database) as session:
        session.add(Outbox(kind="payments.fill_gaps", payload={}))
    await drive()
    charge = await row_of(database, Charge, charge.id)
    assert (charge.state, charge.failure_code) == (ChargeState.FAILED, code)
    assert await _balance(database, accounts.org_cash(organisation)) == 0


async def _settle(database, drive) -> None:
    """Run all jobs, then learn from the provider's events what no webhook brought."""
    await drive()
    async with committed(database) as session:
        session.add(Outbox(kind="payments.fill_gaps", payload={}))
    await drive()


_PAIRS = [
    (None, None),
    *((fault, None) for fault in Fault),
    *((None, fault) for fault in Fault),
    *((f, f) for f in Fault),
]


@pytest.mark.parametrize(("on_transfer", "on_payout"), _PAIRS)
async def test_payout_is_paid_once_when_calls_fail_in_any_way(funded, gateway, drive, faults, on_transfer, on_payout):
    worker = new_id()
    await earn(funded, worker, AMOUNT)
    payout = await ask_payout(funded, gateway, worker)
    faults.plan(None, on_transfer)  # the first call makes the payee known
    if on_transfer in {None, Fault.ERROR_AFTER}:
        faults.plan(on_payout)  # the transfer needs no second call
    else:
        faults.plan(None, on_payout)
    await _settle(funded, drive)
    await _assert_paid_once(funded, payout, worker)


async def _next_job(database) -> Outbox | None:
    async with database.sessions() as session:
        found = await session.exec(
            select(Outbox)
            .where(Outbox.kind != "sandbox.deliver", Outbox.kind != "payments.webhook")
            .order_by(Outbox.id)
        )
        return found.first()


class Killed(BaseException):
    """Stands for kill -9 in the middle of a job."""


@pytest.mark.parametrize("crash_at", range(8))
@pytest.mark.parametrize("moment", ["before_handler", "after_handler"])
async def test_payout_is_paid_once_when_a_job_is_killed_between_steps(
    funded, gateway, drive, worker_resources, monkeypatch, crash_at, moment
):
    """Each job in turn dies with its transaction: before it did anything, and after its remote call, before commit."""
    worker = new_id()
    await earn(funded, worker, AMOUNT)
    payout = await ask_payout(funded, gateway, worker)
    for step in range(40):
        job = await _next_job(funded)
        if job is None:
            break
        if step == crash_at:
            await _kill(worker_resources, job, moment, monkeypatch)
        await run_once(worker_resources, job.id, job.kind, job.payload)
    await _settle(funded, drive)
    await _assert_paid_once(funded, payout, worker)


async def _kill(shared, job: Outbox, moment: str, monkeypatch) -> None:
    original = runner.HANDLERS[job.kind]

    async def dying(context, payload):
        if moment == "after_handler":
            await original(context, payload)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setitem(runner.HANDLERS, job.kind, dying)
        with pytest.raises(Killed):
            await run_once(shared, job.id, job.kind, job.payload)


async def test_new_attempt_is_made_when_an_answered_error_left_no_trace(funded, gateway, drive, faults):
    worker = new_id()
    await earn(funded, worker, AMOUNT)
    payout = await ask_payout(funded, gateway, worker)
    faults.plan(None, Fault.ERROR_BEFORE)
    await _settle(funded, drive)
    async with funded.sessions() as session:
        found = await session.exec(
            select(ProviderCall)
            .where(ProviderCall.subject_id == payout.id, ProviderCall.leg == Leg.TRANSFER)
            .order_by(ProviderCall.attempt)
        )
        calls = found.all()
    assert [call.state for call in calls] == [CallState.ABSENT, CallState.DONE]
    assert calls[0].key != calls[1].key
    assert calls[0].ref == calls[1].ref
    await _assert_paid_once(funded, payout, worker)


@pytest.mark.parametrize(
    ("name", "code"), [("fail-payout", "bank_refused"), ("return-payout", "bank_returned"), ("no-kyc", "payee_refused")]
)
async def test_money_is_the_workers_again_when_the_payout_fails(funded, gateway, drive, name, code):
    worker = new_id()
    await earn(funded, worker, AMOUNT)
    payout = await ask_payout(funded, gateway, worker, name=f"韦小木 {name}")
    await _settle(funded, drive)
    await _settle(funded, drive)
    payout = await row_of(funded, Payout, payout.id)
    assert (payout.state, payout.failure_code) == (PayoutState.CANCELLED, code)
    assert await _balance(funded, accounts.worker(worker)) == AMOUNT
    assert await _balance(funded, accounts.psp("sandbox")) == 1_000_000
    assert await _balance(funded, accounts.in_transit("sandbox")) == 0
    assert (await gateway.balance())["CNY"].available_minor == 1_000_000


async def test_transfer_waits_when_the_provider_balance_is_too_small(database, gateway, drive):
    worker = new_id()
    await earn(database, worker, AMOUNT)
    payout = await ask_payout(database, gateway, worker)
    await drive(rounds=3)
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.RESERVED
    await ask_top_up(database, gateway, new_id(), 1_000_000)
    await _settle(database, drive)
    await _assert_paid_once(database, payout, worker)


async def test_money_is_the_workers_again_when_every_attempt_is_refused(database, gateway, drive):
    worker = new_id()
    await earn(database, worker, AMOUNT)
    payout = await ask_payout(database, gateway, worker)
    await drive(rounds=40)
    payout = await row_of(database, Payout, payout.id)
    assert (payout.state, payout.failure_code) == (PayoutState.CANCELLED, "balance_insufficient")
    assert await _balance(database, accounts.worker(worker)) == AMOUNT


async def test_same_key_is_repeated_when_no_answer_came(funded, gateway, drive, faults):
    """A request without an answer may still arrive: under another key it could pay twice."""
    worker = new_id()
    await earn(funded, worker, AMOUNT)
    payout = await ask_payout(funded, gateway, worker)
    faults.plan(None, Fault.LOST_REQUEST, Fault.LOST_REQUEST)
    await _settle(funded, drive)
    async with funded.sessions() as session:
        found = await session.exec(
            select(ProviderCall).where(ProviderCall.subject_id == payout.id, ProviderCall.leg == Leg.TRANSFER)
        )
        call = found.one()
    assert (call.state, call.tries) == (CallState.DONE, 2)
    await _assert_paid_once(funded, payout, worker)


async def test_payout_goes_on_when_its_webhook_comes_before_the_answer_is_recorded(
    funded, gateway, drive, worker_resources
):
    """The sending job died after the provider had moved the money; the provider's notice is applied first."""
    worker = new_id()
    await earn(funded, worker, AMOUNT)
    payout = await ask_payout(funded, gateway, worker)
    while (job := await _next_job(funded)).kind != "payments.send" or await _leg_of(funded, job) is not Leg.TRANSFER:
        await run_once(worker_resources, job.id, job.kind, job.payload)
    async with funded.sessions() as session:
        call = await session.get_one(ProviderCall, UUID(job.payload["call_id"]))
    amount = Money(AMOUNT, "CNY")
    await gateway.transfer(call.key, call.ref, amount, payee_ref=call.request["payee_ref"])
    async with committed(funded) as session:
        await inbox.receive(session, "sandbox", RemoteEvent("early", Leg.TRANSFER, call.ref, now()))
    await run_outbox(worker_resources, only="payments.webhook")
    await run_outbox(worker_resources, only="payments.advance")
    assert (await row_of(funded, Payout, payout.id)).state is PayoutState.TRANSFERRED
    await _settle(funded, drive)
    await _assert_paid_once(funded, payout, worker)


async def _leg_of(database, job: Outbox) -> Leg:
    return (await row_of(database, ProviderCall, UUID(job.payload["call_id"]))).leg


async def test_money_is_the_workers_again_when_the_bank_returns_what_was_paid(
    funded, gateway, drive, settings, monkeypatch
):
    """Paid is not the end: the bank may return the money later, and it goes all the way back."""
    monkeypatch.setattr(gateway, "_options", SandboxSettings(returned_after_seconds=3600))
    worker = new_id()
    await earn(funded, worker, AMOUNT)
    payout = await ask_payout(funded, gateway, worker, name="韦小木 return-payout")
    await _settle(funded, drive)
    await _assert_paid_once(funded, payout, worker)
    await tamper(funded, "UPDATE sandbox_object SET due_at = now() - interval '1 second' WHERE due_at IS NOT NULL")
    await gateway.advance()
    await _settle(funded, drive)
    payout = await row_of(funded, Payout, payout.id)
    assert (payout.state, payout.failure_code, payout.paid_at) == (PayoutState.CANCELLED, "bank_returned", None)
    assert await _balance(funded, accounts.worker(worker)) == AMOUNT
    assert await _balance(funded, accounts.psp("sandbox")) == 1_000_000
    async with funded.sessions() as session:
        (line,) = [line for line in (await verify.verify(session)).checks if line.name == "clearing"]
    assert line.figures == {"clearing accounts open": 0}


async def test_refund_is_asked_once_when_its_cause_comes_again(funded, gateway):
    charge = (await _rows(funded, Charge))[0]
    for _ in range(2):
        async with committed(funded) as session:
            await refund_to_source(session, SYSTEM, charge.organisation_id, 300, "CNY", cause="close:1")
    assert [refund.amount_minor for refund in await _rows(funded, Refund)] == [300]
    assert await _balance(funded, accounts.org_cash(charge.organisation_id)) == 1_000_000 - 300


async def test_refund_takes_the_newest_charges_first_when_one_is_not_enough(funded, gateway, drive):
    first = (await _rows(funded, Charge))[0]
    second = await ask_top_up(funded, gateway, first.organisation_id, 500)
    await drive()
    async with committed(funded) as session:
        await refund_to_source(session, SYSTEM, first.organisation_id, 800, "CNY", cause="close:1")
    await drive()
    found = {refund.charge_id: (refund.amount_minor, refund.state) for refund in await _rows(funded, Refund)}
    assert found == {second.id: (500, RefundState.DONE), first.id: (300, RefundState.DONE)}
    assert await _balance(funded, accounts.psp("sandbox")) == 1_000_500 - 800


async def _rows(database, model) -> list:
    async with database.sessions() as session:
        return list((await session.exec(select(model).order_by(model.id))).all())
