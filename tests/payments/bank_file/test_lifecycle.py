"""A payout by a bank file from asking to the end: paid, refused by the bank, or returned later; none is made twice."""

from sqlmodel import select

from marketplace.core.actor import Role
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.money import Money
from marketplace.core.outbox import Outbox
from marketplace.core.signatures import public_keys
from marketplace.ledger import accounts
from marketplace.payments import payouts, planning, preferences
from marketplace.payments.bank_file import batches
from marketplace.payments.bank_file.file_format import check
from marketplace.payments.control_schemas import PayoutPreferences
from marketplace.payments.control_states import PayoutSchedule
from marketplace.payments.models import Payout
from marketplace.payments.payouts import Owner
from marketplace.payments.states import PayeeKind, PayoutState
from tests.factories.bank_file import (
    ACCOUNT,
    AMOUNT_MINOR,
    MAKER,
    balance_of,
    breaks_of,
    line_of,
    queued_payout,
    result_file,
)
from tests.factories.identity import bearer, make_approved_worker, make_member, make_operator, make_vendor
from tests.factories.money import ask_payout, committed, earn, row_of, tamper

URL = "/v1/operator/bank-files"


def _key() -> dict[str, str]:
    return {"Idempotency-Key": str(new_id())}


async def test_payout_lives_from_asking_to_the_banks_answer_when_two_people_send_it(
    client, app, settings, database, drive
):
    async with committed(database) as session:
        admin = await make_operator(session)
        maker = bearer(app, await make_member(session, admin.organisation, Role.OPERATOR_FINANCE))
        party = await make_approved_worker(session)
    releaser, worker = bearer(app, admin), bearer(app, party)
    await earn(database, party.person.id, AMOUNT_MINOR)
    asked = await client.post("/v1/me/payouts", json={"currency": "CNY"}, headers=worker | _key())
    assert (asked.status_code, asked.json()["code"]) == (409, "payout_method_missing")
    assert await balance_of(database, accounts.worker(party.person.id)) == AMOUNT_MINOR
    method = ACCOUNT | {"currency": "CNY"}
    kept = await client.put("/v1/me/payout-methods", json=method, headers=worker)
    assert (kept.json()["provider"], kept.json()["account_last4"]) == ("bank_file", "0123")
    asked = await client.post("/v1/me/payouts", json={"currency": "CNY"}, headers=worker | _key())
    assert asked.status_code == 201
    await drive()
    queue = await client.get(f"{URL}/queue", headers=maker)
    assert queue.json() == [{"currency": "CNY", "count": 1, "sum_minor": AMOUNT_MINOR}]

    made = await client.post(URL, json={"currency": "CNY"}, headers=maker | _key())
    assert (made.status_code, made.json()["state"], made.json()["sum_minor"]) == (201, "draft", AMOUNT_MINOR)
    one = f"{URL}/{made.json()['id']}"
    own = await client.post(f"{one}/release", headers=maker | _key())
    assert (own.status_code, own.json()["code"]) == (403, "bank_file_second_person")
    short = await client.post(f"{one}/release", headers=releaser | _key())
    assert (short.status_code, short.json()["code"]) == (409, "bank_file_rail_short")
    moved = {
        "kind": "moved_in",
        "bank": "platform",
        "amount_minor": 20_000,
        "currency": "CNY",
        "value_on": now().date().isoformat(),
    }
    answer = await client.post(f"{URL}/movements", json=moved | {"reason": "a transfer"}, headers=maker | _key())
    assert answer.status_code == 201
    assert (await client.post(f"{one}/release", headers=releaser | _key())).json()["state"] == "approved"
    early = await client.get(f"{one}/file", headers=maker)
    assert (early.status_code, early.json()["code"]) == (409, "bank_file_not_released")
    assert (await client.post(f"{one}/export", headers=maker | _key())).json()["state"] == "exported"

    first, second = [(await client.get(f"{one}/file", headers=maker)).content for _ in range(2)]
    assert first == second
    assert (
        f"P,{asked.json()['id'].replace('-', '')},韦小木,102611000017,6222021234567890123,123.45,CNY" in first.decode()
    )
    signature = (await client.get(f"{one}/signature", headers=maker)).content
    keys = public_keys((await client.get("/v1/proof-keys")).text)
    assert check(first, signature, keys)[0].endswith("1 payments, 123.45 CNY")

    ref = asked.json()["id"].replace("-", "")
    told = result_file("CNY", [(ref, "paid", AMOUNT_MINOR)], closing=20_000 - AMOUNT_MINOR)
    csv = {"Content-Type": "text/csv"}
    report = await client.post(f"{URL}/results", content=told, headers=maker | csv)
    assert (report.status_code, report.json()["applied"], report.json()["refused"]) == (200, 1, 0)
    await drive()
    payout = await client.get(f"/v1/me/payouts/{asked.json()['id']}", headers=worker)
    assert payout.json()["state"] == "paid"
    assert (await client.get(one, headers=maker)).json()["state"] == "settled"
    (balance,) = (await client.get(f"{URL}/balances", headers=maker)).json()
    assert (balance["booked_minor"], balance["free_minor"], balance["difference_minor"]) == (7_655, 7_655, 0)
    assert await breaks_of(settings, database) == []


async def test_bank_files_are_hidden_when_somebody_else_than_the_operator_asks(client, app, database):
    async with committed(database) as session:
        worker = bearer(app, await make_approved_worker(session))
        vendor = bearer(app, await make_vendor(session))
    for headers in (worker, vendor):
        for path in ("queue", "balances", "lines", "results", "", f"{new_id()}/file"):
            assert (await client.get(f"{URL}/{path}".rstrip("/"), headers=headers)).status_code in {403, 404}


async def test_money_comes_back_when_the_bank_refuses_a_payment(settings, database, gateway, books, drive, funded):
    worker = new_id()
    payout = await queued_payout(database, gateway, books, drive, worker)
    (ref,) = await books.send("CNY")
    await books.answer("CNY", {ref: "failed"})
    await drive()
    payout = await row_of(database, Payout, payout.id)
    assert (payout.state, payout.failure_code) == (PayoutState.CANCELLED, "bank_refused")
    assert await balance_of(database, accounts.worker(worker)) == AMOUNT_MINOR
    assert await balance_of(database, accounts.psp("bank_file")) == 1_000_000
    assert await breaks_of(settings, database) == []


async def test_money_comes_back_when_the_bank_returns_what_it_had_paid(
    settings, database, gateway, books, drive, funded
):
    worker = new_id()
    payout = await queued_payout(database, gateway, books, drive, worker)
    (ref,) = await books.send("CNY")
    await books.answer("CNY", {ref: "paid"}, closing=1_000_000 - AMOUNT_MINOR)
    await drive()
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.PAID
    assert await breaks_of(settings, database) == []
    await books.answer("CNY", {ref: "returned"}, closing=1_000_000)
    await drive()
    payout = await row_of(database, Payout, payout.id)
    assert (payout.state, payout.failure_code) == (PayoutState.CANCELLED, "bank_returned")
    assert await balance_of(database, accounts.worker(worker)) == AMOUNT_MINOR
    assert await balance_of(database, accounts.payout_pending(payout.id)) == 0
    assert await breaks_of(settings, database) == []
    again = await ask_payout(database, gateway, worker)
    await drive()
    assert (await row_of(database, Payout, again.id)).state is PayoutState.SUBMITTED


async def test_payee_has_the_money_back_when_a_waiting_payment_is_refused(database, gateway, books, drive):
    worker = new_id()
    payout = await queued_payout(database, gateway, books, drive, worker)
    line = await line_of(database, payout)
    async with committed(database) as session:
        await batches.refuse_line(session, MAKER, line.id, "the name is not the account's")
    await drive()
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.CANCELLED
    assert await balance_of(database, accounts.worker(worker)) == AMOUNT_MINOR


async def test_one_line_stands_when_the_worker_died_behind_each_call(database, gateway, books, worker_resources, drive):
    worker = new_id()
    await earn(database, worker, AMOUNT_MINOR)
    await books.account(worker)
    payout = await ask_payout(database, gateway, worker)
    payee, ref, amount = payout.payee_id.hex, payout.id.hex, Money(AMOUNT_MINOR, "CNY")
    await gateway.create_payee(f"{payee}payee1", payee, display_name="韦小木")
    await gateway.transfer(f"{ref}transfer1", ref, amount, payee_ref=payee)
    await gateway.payout(f"{ref}payout1", ref, amount, payee_ref=payee)
    await drive()
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.SUBMITTED
    assert (await line_of(database, payout)).amount_minor == AMOUNT_MINOR
    assert await balance_of(database, accounts.psp("bank_file")) == -AMOUNT_MINOR


async def test_news_of_the_bank_is_fetched_when_its_notice_was_lost(database, gateway, books, drive, funded):
    payout = await queued_payout(database, gateway, books, drive)
    (ref,) = await books.send("CNY")
    await books.answer("CNY", {ref: "paid"})
    await tamper(database, "DELETE FROM outbox", "DELETE FROM webhook_event")
    async with committed(database) as session:
        session.add(Outbox(kind="payments.fill_gaps", payload={}))
    await drive()
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.PAID


async def test_automatic_payout_waits_when_there_are_no_bank_details(database, gateway, books, drive):
    worker = new_id()
    await earn(database, worker, AMOUNT_MINOR)
    async with committed(database) as session:
        owner = Owner(PayeeKind.WORKER, worker, "韦小木")
        payee = await payouts.set_auto_payout(session, MAKER, gateway, owner, on=True)
    await drive()
    assert await balance_of(database, accounts.worker(worker)) == AMOUNT_MINOR
    async with database.sessions() as session:
        assert (await session.exec(select(Payout.id))).all() == []
    await books.account(worker)
    async with committed(database) as session:
        session.add(Outbox(kind="payments.pay_out", payload={"payee_id": str(payee.id)}))
    await drive()
    assert await balance_of(database, accounts.worker(worker)) == 0


async def test_worker_sees_that_an_account_is_missing_when_none_was_given(client, app, database):
    async with committed(database) as session:
        worker = bearer(app, await make_approved_worker(session))
    standing = (await client.get("/v1/me/money-status", headers=worker)).json()
    assert (standing["moving"], [hold["reason"] for hold in standing["holds"]]) == (False, ["method_missing"])
    await client.put("/v1/me/payout-methods", json=ACCOUNT | {"currency": "CNY"}, headers=worker)
    assert (await client.get("/v1/me/money-status", headers=worker)).json()["moving"] is True


async def test_weekly_payout_is_tried_again_when_the_account_was_missing(database, gateway, books, drive):
    worker = new_id()
    await earn(database, worker, AMOUNT_MINOR)
    async with committed(database) as session:
        owner, weekly = Owner(PayeeKind.WORKER, worker, "韦小木"), PayoutPreferences(schedule=PayoutSchedule.WEEKLY)
        await preferences.set_preferences(session, MAKER, gateway, owner, weekly)
    await tamper(database, "UPDATE payout_preference SET planned_period = 'the one before'")
    async with committed(database) as session:
        await planning.plan_periods(session, gateway.name)
    await drive()
    assert await balance_of(database, accounts.worker(worker)) == AMOUNT_MINOR
    await books.account(worker)
    await drive()
    assert await balance_of(database, accounts.worker(worker)) == 0
