"""Payees who may not be paid now: a bank account that cools, an identification that lapsed; and who come at once."""

import asyncio

import pytest
from sqlmodel import select

from marketplace.core.errors import DomainError
from marketplace.core.ids import new_id
from marketplace.core.outbox import Outbox, emit
from marketplace.ledger import accounts, queries
from marketplace.payments.control_models import PayoutMethod
from marketplace.payments.models import Payee, Payout, ProviderCall
from marketplace.payments.states import PayeeState, PayoutState
from tests.factories.identity import bearer, make_approved_worker
from tests.factories.money import ask_payout, ask_top_up, committed, earn, put_off, remote_objects, row_of, tamper
from tests.jobs import run_outbox
from tests.payments.test_payout_methods import METHOD

METHODS = "/v1/me/payout-methods"
STATUS = "/v1/me/money-status"
_COOLED = "UPDATE payout_method SET usable_from = now() - interval '1 second'"


@pytest.fixture
async def worker(database):
    async with committed(database) as session:
        return await make_approved_worker(session)


@pytest.fixture
async def funded(database, gateway, drive):
    await ask_top_up(database, gateway, new_id(), 100_000)
    await drive()
    return database


async def _ask(client, app, worker):
    headers = bearer(app, worker) | {"Idempotency-Key": str(new_id())}
    return await client.post("/v1/me/payouts", json={"currency": "CNY"}, headers=headers)


async def _fill_gaps(database, drive) -> None:
    async with committed(database) as session:
        session.add(Outbox(kind="payments.fill_gaps", payload={}))
    await drive()


async def test_payout_is_refused_until_the_new_account_has_cooled(client, app, database, worker):
    await earn(database, worker.person.id, 800)
    method = (await client.put(METHODS, json=METHOD, headers=bearer(app, worker))).json()
    early = await _ask(client, app, worker)
    assert (early.status_code, early.json()["code"]) == (409, "payout_method_cooling")
    status = (await client.get(STATUS, headers=bearer(app, worker))).json()
    assert [(hold["reason"], hold["until"]) for hold in status["holds"]] == [
        ("method_cooling", method["cooling_until"])
    ]
    await tamper(database, _COOLED)
    assert (await _ask(client, app, worker)).status_code == 201
    assert (await client.get(STATUS, headers=bearer(app, worker))).json()["moving"] is True


async def test_other_currencies_are_paid_when_one_account_cools(client, app, database, worker):
    await earn(database, worker.person.id, 800)
    await client.put(METHODS, json=METHOD | {"currency": "USD"}, headers=bearer(app, worker))
    assert (await _ask(client, app, worker)).status_code == 201


@pytest.mark.parametrize("until", [PayoutState.RESERVED, PayoutState.TRANSFERRED])
async def test_payout_on_its_way_waits_when_the_account_is_changed(
    client, app, funded, gateway, worker, worker_resources, drive, until
):
    """Neither the new account nor the old one is paid, and no attempt is burned."""
    await earn(funded, worker.person.id, 800)
    payout = await ask_payout(funded, gateway, worker.person.id)
    while (await row_of(funded, Payout, payout.id)).state is not until:
        await _one_job(funded, worker_resources)
    await client.put(METHODS, json=METHOD, headers=bearer(app, worker))
    for _ in range(3):
        await put_off(funded)
        await run_outbox(worker_resources, only="payments.")
    assert (await row_of(funded, Payout, payout.id)).state is until
    before = await _calls(funded, payout.id)
    await tamper(funded, _COOLED)
    await drive()
    await _fill_gaps(funded, drive)
    assert (await row_of(funded, Payout, payout.id)).state is PayoutState.PAID
    assert {call.attempt for call in [*before, *await _calls(funded, payout.id)]} == {1}
    assert len(await remote_objects(funded, "payout", payout.id.hex)) == 1


async def _one_job(database, worker_resources) -> None:
    async with database.sessions() as session:
        kinds = (await session.exec(select(Outbox.kind).where(Outbox.kind.startswith("payments.")))).all()
    for kind in sorted(set(kinds)):
        await run_outbox(worker_resources, only=kind)
        return


async def _calls(database, subject_id):
    async with database.sessions() as session:
        return list((await session.exec(select(ProviderCall).where(ProviderCall.subject_id == subject_id))).all())


@pytest.mark.parametrize("times", range(3))
async def test_change_of_account_and_payout_follow_each_other_when_they_come_at_once(
    client, app, database, worker, times
):
    """Whichever is first: a payout that began before the change waits for its cooling; one after it is refused."""
    await earn(database, worker.person.id, 800)
    changed, asked = await asyncio.gather(
        client.put(METHODS, json=METHOD, headers=bearer(app, worker)), _ask(client, app, worker)
    )
    assert changed.status_code == 200
    assert (asked.status_code, asked.json().get("code")) in {(201, None), (409, "payout_method_cooling")}
    async with database.sessions() as session:
        payouts = (await session.exec(select(Payout))).all()
        method = (await session.exec(select(PayoutMethod))).one()
    assert len(payouts) == (1 if asked.status_code == 201 else 0)
    assert all(payout.created_at <= method.changed_at for payout in payouts)


async def test_balance_is_paid_out_once_when_asked_for_many_times_at_once(database, gateway, worker):
    owner = worker.person.id
    await earn(database, owner, 800)
    outcomes = await asyncio.gather(*(ask_payout(database, gateway, owner) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(outcome, Payout) for outcome in outcomes) == 1
    assert {outcome.code for outcome in outcomes if isinstance(outcome, DomainError)} == {"nothing_to_pay_out"}
    async with database.sessions() as session:
        assert [payout.amount_minor for payout in await session.exec(select(Payout))] == [800]
        assert await queries.balance(session, accounts.worker(owner), "CNY") == 0


async def test_payouts_wait_while_the_payee_lapsed_and_go_on_when_active_again(
    client, app, funded, gateway, worker, drive
):
    await client.put(METHODS, json=METHOD, headers=bearer(app, worker))
    await tamper(funded, _COOLED)
    await drive()
    async with funded.sessions() as session:
        payee = (await session.exec(select(Payee))).one()
    assert payee.state is PayeeState.READY
    await earn(funded, worker.person.id, 800)
    asked = await _ask(client, app, worker)
    await gateway.lapse_payee(payee.id.hex, "id_expired")
    await _fill_gaps(funded, drive)
    assert (await row_of(funded, Payee, payee.id)).state is PayeeState.LAPSED
    status = (await client.get(STATUS, headers=bearer(app, worker))).json()
    assert (status["payee_state"], status["holds"][0]["reason"], status["holds"][0]["detail"]) == (
        "lapsed", "payee_lapsed", "id_expired",
    )  # fmt: skip
    await earn(funded, worker.person.id, 100)
    refused = await _ask(client, app, worker)
    assert (refused.status_code, refused.json()["code"]) == (409, "payee_not_active")
    await gateway.renew_payee(payee.id.hex)
    await _fill_gaps(funded, drive)
    await _fill_gaps(funded, drive)
    assert (await row_of(funded, Payee, payee.id)).state is PayeeState.READY
    assert (await row_of(funded, Payout, asked.json()["id"])).state is PayoutState.PAID
    assert (await client.get(STATUS, headers=bearer(app, worker))).json()["holds"] == []


async def test_payout_that_lapsed_in_between_is_paid_when_the_notice_of_it_is_late(
    funded, gateway, worker, worker_resources, drive
):
    """The provider refuses the transfer before its notice is here; the money waits and is not given up."""
    first = await ask_and_pay(funded, gateway, worker, drive)
    await gateway.lapse_payee(first.payee_id.hex)
    await earn(funded, worker.person.id, 300)
    second = await ask_payout(funded, gateway, worker.person.id)
    await run_outbox(worker_resources, only="payments.")
    assert (await row_of(funded, Payout, second.id)).state is PayoutState.RESERVED
    await gateway.renew_payee(first.payee_id.hex)
    await drive()
    await _fill_gaps(funded, drive)
    assert (await row_of(funded, Payout, second.id)).state is PayoutState.PAID


async def ask_and_pay(database, gateway, worker, drive) -> Payout:
    await earn(database, worker.person.id, 800)
    payout = await ask_payout(database, gateway, worker.person.id)
    await drive()
    return payout


async def test_lapsed_payee_is_looked_up_when_the_notice_that_they_are_active_was_lost(
    funded, gateway, worker, drive, worker_resources
):
    payout = await ask_and_pay(funded, gateway, worker, drive)
    await tamper(funded, "UPDATE payee SET state = 'lapsed'")
    async with committed(funded) as session:
        emit(session, "payments.check_payees", {})
    await run_outbox(worker_resources, only="payments.check")
    assert (await row_of(funded, Payee, payout.payee_id)).state is PayeeState.READY
