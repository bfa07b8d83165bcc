"""Payouts by files for the operator's bank: asked, released by a second person, given out, answered, maybe returned."""

import asyncio

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from marketplace.core.actor import Role
from marketplace.core.clock import now
from marketplace.core.errors import TransitionRefused
from marketplace.core.ids import new_id
from marketplace.core.money import Money
from marketplace.core.outbox import Outbox
from marketplace.core.settings import Settings
from marketplace.core.signatures import public_keys, signing_key
from marketplace.ledger import accounts, queries
from marketplace.payments import payouts
from marketplace.payments.bank_file import batches, results
from marketplace.payments.bank_file.errors import BankFileChanged, BankResultRefused, NothingQueued, RailShort
from marketplace.payments.bank_file.file_format import BankFileBroken, check
from marketplace.payments.bank_file.models import BankFileImport, BankFileLine
from marketplace.payments.bank_file.states import BatchState, LineState, MovementKind
from marketplace.payments.errors import Rejected
from marketplace.payments.models import Payout
from marketplace.payments.payouts import Owner
from marketplace.payments.providers import open_gateway, open_gateways
from marketplace.payments.states import PayeeKind, PayoutState
from marketplace.settlement.verify import verify_everything
from tests.factories.bank_file import ACCOUNT, MAKER, RELEASER, BankFileBooks, result_file
from tests.factories.identity import bearer, make_approved_worker, make_member, make_operator, make_vendor
from tests.factories.money import ask_payout, committed, earn, put_off, row_of, tamper, waiting_jobs
from tests.jobs import run_outbox

AMOUNT = 12_345
URL = "/v1/operator/bank-files"


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"payout_provider": "bank_file", "payout_method_cooling_seconds": 0})


@pytest.fixture
def gateway(settings, database):
    return open_gateway(settings, database, settings.pays_out_by)


@pytest.fixture
def books(settings, database):
    return BankFileBooks(settings, database)


@pytest.fixture
def drive(database, worker_resources):
    async def run() -> None:
        for _ in range(12):
            await put_off(database)
            if not await run_outbox(worker_resources, only="payments."):
                return

    return run


@pytest.fixture
async def funded(books):
    await books.fund(Money(1_000_000, "CNY"))


async def _queued(database, gateway, books, drive, worker=None) -> Payout:
    """A payout whose line waits for a file."""
    worker = worker or new_id()
    await earn(database, worker, AMOUNT)
    await books.account(worker)
    payout = await ask_payout(database, gateway, worker)
    await drive()
    return payout


async def _line(database, payout) -> BankFileLine:
    async with database.sessions() as session:
        return (await session.exec(select(BankFileLine).where(BankFileLine.ref == payout.id.hex))).one()


async def _balance(database, path: str) -> int:
    async with database.sessions() as session:
        return await queries.balance(session, path, "CNY")


async def _broken(settings, database) -> list[str]:
    async with database.sessions() as session:
        report = await verify_everything(session, *open_gateways(settings, database))
    return [line for found in report.checks for line in found.breaks]


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
    await earn(database, party.person.id, AMOUNT)
    asked = await client.post("/v1/me/payouts", json={"currency": "CNY"}, headers=worker | _key())
    assert (asked.status_code, asked.json()["code"]) == (409, "payout_method_missing")
    assert await _balance(database, accounts.worker(party.person.id)) == AMOUNT
    method = ACCOUNT | {"currency": "CNY"}
    kept = await client.put("/v1/me/payout-methods", json=method, headers=worker)
    assert (kept.json()["provider"], kept.json()["account_last4"]) == ("bank_file", "0123")
    asked = await client.post("/v1/me/payouts", json={"currency": "CNY"}, headers=worker | _key())
    assert asked.status_code == 201
    await drive()
    queue = await client.get(f"{URL}/queue", headers=maker)
    assert queue.json() == [{"currency": "CNY", "count": 1, "sum_minor": AMOUNT}]

    made = await client.post(URL, json={"currency": "CNY"}, headers=maker | _key())
    assert (made.status_code, made.json()["state"], made.json()["sum_minor"]) == (201, "draft", AMOUNT)
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
    told = result_file("CNY", [(ref, "paid", AMOUNT)], closing=20_000 - AMOUNT)
    csv = {"Content-Type": "text/csv"}
    report = await client.post(f"{URL}/results", content=told, headers=maker | csv)
    assert (report.status_code, report.json()["applied"], report.json()["refused"]) == (200, 1, 0)
    await drive()
    payout = await client.get(f"/v1/me/payouts/{asked.json()['id']}", headers=worker)
    assert payout.json()["state"] == "paid"
    assert (await client.get(one, headers=maker)).json()["state"] == "settled"
    (balance,) = (await client.get(f"{URL}/balances", headers=maker)).json()
    assert (balance["booked_minor"], balance["free_minor"], balance["difference_minor"]) == (7_655, 7_655, 0)
    assert await _broken(settings, database) == []


async def test_bank_files_are_hidden_when_somebody_else_than_the_operator_asks(client, app, database):
    async with committed(database) as session:
        worker = bearer(app, await make_approved_worker(session))
        vendor = bearer(app, await make_vendor(session))
    for headers in (worker, vendor):
        for path in ("queue", "balances", "lines", "results", "", f"{new_id()}/file"):
            assert (await client.get(f"{URL}/{path}".rstrip("/"), headers=headers)).status_code in {403, 404}


async def test_money_comes_back_when_the_bank_refuses_a_payment(settings, database, gateway, books, drive, funded):
    worker = new_id()
    payout = await _queued(database, gateway, books, drive, worker)
    (ref,) = await books.send("CNY")
    await books.answer("CNY", {ref: "failed"})
    await drive()
    payout = await row_of(database, Payout, payout.id)
    assert (payout.state, payout.failure_code) == (PayoutState.CANCELLED, "bank_refused")
    assert await _balance(database, accounts.worker(worker)) == AMOUNT
    assert await _balance(database, accounts.psp("bank_file")) == 1_000_000
    assert await _broken(settings, database) == []


async def test_money_comes_back_when_the_bank_returns_what_it_had_paid(
    settings, database, gateway, books, drive, funded
):
    worker = new_id()
    payout = await _queued(database, gateway, books, drive, worker)
    (ref,) = await books.send("CNY")
    await books.answer("CNY", {ref: "paid"}, closing=1_000_000 - AMOUNT)
    await drive()
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.PAID
    assert await _broken(settings, database) == []
    await books.answer("CNY", {ref: "returned"}, closing=1_000_000)
    await drive()
    payout = await row_of(database, Payout, payout.id)
    assert (payout.state, payout.failure_code) == (PayoutState.CANCELLED, "bank_returned")
    assert await _balance(database, accounts.worker(worker)) == AMOUNT
    assert await _balance(database, accounts.payout_pending(payout.id)) == 0
    assert await _broken(settings, database) == []
    again = await ask_payout(database, gateway, worker)
    await drive()
    assert (await row_of(database, Payout, again.id)).state is PayoutState.SUBMITTED


async def test_nothing_changes_when_a_result_file_comes_again(database, gateway, books, drive, funded):
    await _queued(database, gateway, books, drive)
    (ref,) = await books.send("CNY")
    content = result_file("CNY", [(ref, "paid", AMOUNT)])
    ids = []
    for _ in range(2):
        async with committed(database) as session:
            ids.append((await results.import_results(session, MAKER, content)).id)
        await drive()
    assert ids[0] == ids[1]
    other = await books.answer("CNY", {ref: "paid"}, closing=1)  # other bytes, the same news
    assert (other.applied, other.repeated, other.refused) == (0, 1, 0)
    assert await waiting_jobs(database) == []


async def test_one_report_is_made_when_a_result_file_comes_twice_at_once(database, gateway, books, drive, funded):
    payout = await _queued(database, gateway, books, drive)
    (ref,) = await books.send("CNY")
    content = result_file("CNY", [(ref, "paid", AMOUNT)])

    async def read() -> BankFileImport:
        async with committed(database) as session:
            return await results.import_results(session, MAKER, content)

    first, *others = await asyncio.gather(*(read() for _ in range(4)))
    assert {other.id for other in others} == {first.id}
    await drive()
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.PAID


async def test_bad_rows_are_reported_and_good_ones_applied_when_a_result_file_holds_both(
    database, gateway, books, drive, funded
):
    sent = [await _queued(database, gateway, books, drive) for _ in range(2)]
    await books.send("CNY")
    waiting = await _queued(database, gateway, books, drive)
    good, cheap = (payout.id.hex for payout in sent)
    rows = [
        (good, "paid", AMOUNT), (new_id().hex, "paid", AMOUNT), (cheap, "paid", AMOUNT - 1),
        (waiting.id.hex, "paid", AMOUNT), (good, "failed", AMOUNT), (cheap, "perhaps", AMOUNT),
    ]  # fmt: skip
    async with committed(database) as session:
        made = await results.import_results(session, MAKER, result_file("CNY", rows))
    assert [(row["line"], row["outcome"]) for row in made.report] == [
        (2, "applied"), (3, "unknown_ref"), (4, "wrong_amount"), (5, "not_exported"), (6, "contradicts"),
        (7, "malformed"),
    ]  # fmt: skip
    assert (made.applied, made.refused) == (1, 5)
    assert [(await _line(database, payout)).state for payout in (*sent, waiting)] == [
        LineState.PAID, LineState.EXPORTED, LineState.QUEUED,
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", [{"count": 2}, {"total": AMOUNT + 1}])
async def test_whole_file_is_refused_when_its_control_totals_do_not_fit(database, gateway, books, drive, funded, wrong):
    payout = await _queued(database, gateway, books, drive)
    (ref,) = await books.send("CNY")
    with pytest.raises(BankResultRefused) as refused:
        async with committed(database) as session:
            await results.import_results(session, MAKER, result_file("CNY", [(ref, "paid", AMOUNT)], **wrong))
    assert [problem.line for problem in refused.value.fields] == [3]
    assert (await _line(database, payout)).state is LineState.EXPORTED


async def test_each_line_stands_in_one_file_when_two_are_made_at_once(database, gateway, books, drive, funded):
    sent = [await _queued(database, gateway, books, drive) for _ in range(4)]

    async def make() -> int:
        try:
            async with committed(database) as session:
                return (await batches.make(session, MAKER, "CNY")).line_count
        except NothingQueued:
            return 0

    counts = await asyncio.gather(*(make() for _ in range(3)))
    assert sum(counts) == len(sent)
    lines = [await _line(database, payout) for payout in sent]
    assert None not in {line.batch_id for line in lines}


async def test_only_one_file_is_released_when_the_rail_covers_one_of_two(settings, database, gateway, books, drive):
    await books.fund(Money(AMOUNT, "CNY"))
    ids = []
    for _ in range(2):
        await _queued(database, gateway, books, drive)
        async with committed(database) as session:
            ids.append((await batches.make(session, MAKER, "CNY")).id)

    async def release(batch_id) -> BatchState | None:
        try:
            async with committed(database) as session:
                return (await batches.release(session, settings, RELEASER, batch_id)).state
        except RailShort:
            return None

    states = await asyncio.gather(*(release(batch_id) for batch_id in ids))
    assert sorted(states, key=str) == [None, BatchState.APPROVED]


async def test_payments_wait_again_when_a_file_is_discarded(settings, database, gateway, books, drive, funded):
    await _queued(database, gateway, books, drive)
    async with committed(database) as session:
        batch_id = (await batches.make(session, MAKER, "CNY")).id
    async with committed(database) as session:
        await batches.discard(session, RELEASER, batch_id, "a wrong name")
    with pytest.raises(TransitionRefused):
        async with committed(database) as session:
            await batches.release(session, settings, RELEASER, batch_id)
    assert len(await books.send("CNY")) == 1


async def test_payee_has_the_money_back_when_a_waiting_payment_is_refused(database, gateway, books, drive):
    worker = new_id()
    payout = await _queued(database, gateway, books, drive, worker)
    line = await _line(database, payout)
    async with committed(database) as session:
        await batches.refuse_line(session, MAKER, line.id, "the name is not the account's")
    await drive()
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.CANCELLED
    assert await _balance(database, accounts.worker(worker)) == AMOUNT


async def test_file_is_not_given_out_when_a_line_was_changed_after_its_release(
    settings, database, gateway, books, drive, funded
):
    payout = await _queued(database, gateway, books, drive)
    await books.send("CNY")
    line = await _line(database, payout)
    await tamper(database, f"UPDATE bank_file_line SET amount_minor = amount_minor + 1 WHERE id = '{line.id}'")
    with pytest.raises(BankFileChanged):
        async with database.sessions() as session:
            await batches.content_of(session, settings, line.batch_id)


async def test_file_does_not_hold_when_it_or_its_signature_is_changed(
    settings, database, gateway, books, drive, funded
):
    payout = await _queued(database, gateway, books, drive)
    await books.send("CNY")
    async with database.sessions() as session:
        content, signature = await batches.content_of(session, settings, (await _line(database, payout)).batch_id)
    keys = [signing_key(settings).public_key()]
    assert check(content, signature, keys)
    forged = content.replace(b"6222021234567890123", b"6222021234567890124")
    for given, sealed in ((forged, signature), (content, signature.replace(b'"kid":"', b'"kid":"0')), (content, b"")):
        with pytest.raises(BankFileBroken):
            check(given, sealed, keys)


async def test_break_is_reported_when_the_banks_closing_balance_is_another_until_a_fee_explains_it(
    settings, database, gateway, books, drive, funded
):
    await _queued(database, gateway, books, drive)
    (ref,) = await books.send("CNY")
    await books.answer("CNY", {ref: "paid"}, closing=1_000_000 - AMOUNT - 50)
    await drive()
    assert await _broken(settings, database) == [
        f"CNY: {1_000_000 - AMOUNT} by our postings, {1_000_000 - AMOUNT - 50} at the provider"
    ]
    await books.fund(Money(50, "CNY"), MovementKind.FEE)
    assert await _broken(settings, database) == []


async def test_books_agree_when_payments_wait_are_exported_and_answered(
    settings, database, gateway, books, drive, funded
):
    for _ in range(2):
        await _queued(database, gateway, books, drive)
    refs = await books.send("CNY")
    await _queued(database, gateway, books, drive)
    await books.answer("CNY", {refs[0]: "paid"}, closing=1_000_000 - AMOUNT)
    await drive()
    assert await _broken(settings, database) == []


async def test_details_of_the_day_are_used_when_the_payee_changes_them_later(
    settings, database, gateway, books, drive, funded
):
    worker = new_id()
    payout = await _queued(database, gateway, books, drive, worker)
    await books.account(worker, account_number="9999000011112222")
    await books.send("CNY")
    async with database.sessions() as session:
        content, _ = await batches.content_of(session, settings, (await _line(database, payout)).batch_id)
    assert b"6222021234567890123" in content
    assert b"9999000011112222" not in content


async def test_account_number_is_unreadable_when_the_database_is_read(database, gateway, books, drive):
    payout = await _queued(database, gateway, books, drive)
    assert b"6222021234567890123" not in (await _line(database, payout)).account_sealed


async def test_payment_is_not_made_twice_when_its_earmark_was_given_up(database, gateway, books):
    payee, ref = await books.payee("CNY"), new_id().hex
    amount = Money(AMOUNT, "CNY")
    await gateway.transfer(f"{ref}transfer1", ref, amount, payee_ref=payee)
    await gateway.reverse_transfer(f"{ref}reversal1", ref, amount, transfer_ref=ref)
    with pytest.raises(Rejected):
        await gateway.payout(f"{ref}payout1", ref, amount, payee_ref=payee)


async def test_earmark_is_kept_when_its_payment_waits(database, gateway, books):
    payee, ref = await books.payee("CNY"), new_id().hex
    amount = Money(AMOUNT, "CNY")
    await gateway.transfer(f"{ref}transfer1", ref, amount, payee_ref=payee)
    await gateway.payout(f"{ref}payout1", ref, amount, payee_ref=payee)
    with pytest.raises(Rejected):
        await gateway.reverse_transfer(f"{ref}reversal1", ref, amount, transfer_ref=ref)


@pytest.mark.parametrize("change", ["UPDATE bank_file_object SET amount_minor = 0", "DELETE FROM bank_file_line"])
async def test_rows_of_the_rail_stay_when_the_application_would_change_them(database, change):
    async with database.sessions() as session:
        with pytest.raises(DBAPIError, match="permission denied"):
            await session.execute(text(change))


async def test_one_line_stands_when_the_worker_died_behind_each_call(database, gateway, books, worker_resources, drive):
    worker = new_id()
    await earn(database, worker, AMOUNT)
    await books.account(worker)
    payout = await ask_payout(database, gateway, worker)
    payee, ref, amount = payout.payee_id.hex, payout.id.hex, Money(AMOUNT, "CNY")
    await gateway.create_payee(f"{payee}payee1", payee, display_name="韦小木")
    await gateway.transfer(f"{ref}transfer1", ref, amount, payee_ref=payee)
    await gateway.payout(f"{ref}payout1", ref, amount, payee_ref=payee)
    await drive()
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.SUBMITTED
    assert (await _line(database, payout)).amount_minor == AMOUNT
    assert await _balance(database, accounts.psp("bank_file")) == -AMOUNT


async def test_news_of_the_bank_is_fetched_when_its_notice_was_lost(database, gateway, books, drive, funded):
    payout = await _queued(database, gateway, books, drive)
    (ref,) = await books.send("CNY")
    await books.answer("CNY", {ref: "paid"})
    await tamper(database, "DELETE FROM outbox", "DELETE FROM webhook_event")
    async with committed(database) as session:
        session.add(Outbox(kind="payments.fill_gaps", payload={}))
    await drive()
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.PAID


async def test_automatic_payout_waits_when_there_are_no_bank_details(database, gateway, books, drive):
    worker = new_id()
    await earn(database, worker, AMOUNT)
    async with committed(database) as session:
        owner = Owner(PayeeKind.WORKER, worker, "韦小木")
        payee = await payouts.set_auto_payout(session, MAKER, gateway, owner, on=True)
    await drive()
    assert await _balance(database, accounts.worker(worker)) == AMOUNT
    await books.account(worker)
    async with committed(database) as session:
        session.add(Outbox(kind="payments.pay_out", payload={"payee_id": str(payee.id)}))
    await drive()
    assert await _balance(database, accounts.worker(worker)) == 0


async def test_webhook_is_refused_when_it_says_to_come_from_the_bank_file_rail(client):
    answer = await client.post("/v1/webhooks/bank_file", content=b"{}")
    assert (answer.status_code, answer.json()["code"]) == (400, "webhook_refused")


def test_payees_of_the_mainland_are_allowed_when_files_pay_them():
    stripe = {"payment_provider": "stripe", "payee_countries": "CN"}
    assert Settings(_env_file=None, **stripe, payout_provider="bank_file").providers_in_use == ["stripe", "bank_file"]
    with pytest.raises(ValidationError, match="PAYOUT_PROVIDER=stripe cannot pay payees in CN"):
        Settings(_env_file=None, payee_countries="CN", payout_provider="stripe")


def test_production_does_not_start_when_payouts_go_to_the_sandbox():
    secrets = dict.fromkeys(
        ("database_url", "redis_url", "secret_key", "jwt_keys", "public_url", "proof_signing_key"), "x"
    )
    stripe = {"payment_provider": "stripe", "stripe_api_key": "sk_live_x", "stripe_webhook_secrets": "whsec_x"}
    with pytest.raises(ValidationError, match="the sandbox moves no real money"):
        Settings(_env_file=None, env="production", payout_provider="sandbox", **secrets, **stripe)
    assert Settings(_env_file=None, env="production", payout_provider="bank_file", **secrets, **stripe)
