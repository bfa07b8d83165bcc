"""Tax on payouts, in the ledger, through the year, and after a month was filed."""

import asyncio
import json
from datetime import timedelta

import pytest
import time_machine
from sqlmodel import select

from marketplace.core.actor import SYSTEM, Role
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.ledger import accounts, queries, verify
from marketplace.payments import filing, outcomes
from marketplace.payments.errors import NetTooSmall
from marketplace.payments.models import Payee, Payout
from marketplace.payments.planning import pay_out
from marketplace.payments.reconcile import reconcile
from marketplace.payments.rules import PayoutRules
from marketplace.payments.states import Subject
from marketplace.payments.subjects import lock_subject
from marketplace.payments.tax_models import TaxFiling, TaxTask
from marketplace.payments.withholding import TaxMode
from tests.factories.identity import bearer, make_enterprise, make_operator
from tests.factories.money import ask_payout, committed, earn, row_of, tamper

WHY = {"reason": "the return of the month"}


@pytest.fixture
def cumulative(tmp_path) -> PayoutRules:
    """Announcement 16/2025 with brackets of the test's own: 3 % up to 36,000 yuan, 10 % from there."""
    table = {
        "name": "test", "version": "1", "mode": "platform_cumulative", "authority": "cn", "currency": "CNY",
        "source": "a test's", "valid_from": "2000-01-01", "valid_to": None, "verified": False, "expense_bp": 2000,
        "allowance_minor": 500_000,
        "brackets": [
            {"up_to_minor": 3_600_000, "rate_bp": 300, "quick_deduction_minor": 0},
            {"up_to_minor": None, "rate_bp": 1000, "quick_deduction_minor": 252_000},
        ],
    }  # fmt: skip
    return _rules(tmp_path, table, TaxMode.PLATFORM_CUMULATIVE)


@pytest.fixture
def confiscatory(tmp_path) -> PayoutRules:
    """All above 1 yuan is tax."""
    table = {
        "name": "test", "version": "1", "mode": "per_payment", "authority": "cn", "currency": "CNY",
        "source": "a test's", "valid_from": "2000-01-01", "valid_to": None, "verified": False, "expense_bp": 0,
        "allowance_minor": 0,
        "brackets": [{"up_to_minor": None, "rate_bp": 10_000, "quick_deduction_minor": 0}],
    }  # fmt: skip
    return _rules(tmp_path, table, TaxMode.PER_PAYMENT)


@pytest.fixture
async def finance(app, database):
    async with committed(database) as session:
        return bearer(app, await make_operator(session, Role.OPERATOR_FINANCE))


def _rules(folder, table, mode) -> PayoutRules:
    path = folder / "table.json"
    path.write_text(json.dumps(table))
    return PayoutRules(mode, path)


async def _balance(database, path: str) -> int:
    async with database.sessions() as session:
        return await queries.balance(session, path, "CNY")


async def _give_up(database, payout) -> None:
    async with committed(database) as session:
        row: Payout = await lock_subject(session, Subject.PAYOUT, payout.id)
        await outcomes.restore(session, row, "test")


async def _check_books(database, gateway) -> None:
    async with database.sessions() as session:
        assert (await verify.verify(session)).holds
        assert all(check.holds for check in await reconcile(session, gateway))


async def _earn_and_ask(database, gateway, worker, yuan, rules) -> int:
    await earn(database, worker, yuan * 100)
    return (await ask_payout(database, gateway, worker, rules=rules)).tax_minor


def _in_month(month: int) -> time_machine.travel:
    """The middle of a month of this year."""
    return time_machine.travel(now().replace(month=month, day=15, hour=4), tick=True)


@pytest.mark.usefixtures("taxed")
async def test_tax_is_withheld_and_given_back_when_a_payout_is_cancelled(database, gateway):
    worker = new_id()
    await earn(database, worker, 300_000)
    payout = await ask_payout(database, gateway, worker)
    assert (payout.gross_minor, payout.tax_minor, payout.amount_minor) == (300_000, 44_000, 256_000)
    assert payout.tax_table == "cn_per_payment 61-2018"
    assert await _balance(database, accounts.tax("cn")) == 44_000
    async with committed(database) as session:
        assert all(check.holds for check in await reconcile(session, gateway))
    await _give_up(database, payout)
    assert await _balance(database, accounts.tax("cn")) == 0
    assert await _balance(database, accounts.worker(worker)) == 300_000
    await _check_books(database, gateway)


async def test_cumulative_tax_follows_the_year_when_payouts_lie_in_the_database(database, gateway, cumulative):
    """By hand: 15,000 a month leave a base of 7,000 a month; 3 % to 36,000, then 10 % less 2,520 (money.md §7)."""
    worker, taxes = new_id(), []
    for month in range(1, 13):
        with _in_month(month):
            taxes.append(await _earn_and_ask(database, gateway, worker, 15_000, cumulative))
    assert taxes == [21_000] * 5 + [63_000] + [70_000] * 6
    assert sum(taxes) == 588_000 == await _balance(database, accounts.tax("cn"))
    await _check_books(database, gateway)


async def test_cumulative_tax_forgets_a_payout_when_it_came_back(database, gateway, cumulative):
    worker = new_id()
    with _in_month(3):
        await earn(database, worker, 1_500_000)
        first = await ask_payout(database, gateway, worker, rules=cumulative)
        await _give_up(database, first)
        again = await ask_payout(database, gateway, worker, rules=cumulative)
    assert (first.tax_minor, again.tax_minor) == (21_000, 21_000)


async def test_allowance_counts_consecutive_months_when_a_month_is_left_out(database, gateway, cumulative):
    """8,000 in January and 8,000 in March: 12,800 − 5,000 is 7,800, of which 3 % are 234, less 42 paid."""
    worker, taxes = new_id(), []
    for month in (1, 3):
        with _in_month(month):
            taxes.append(await _earn_and_ask(database, gateway, worker, 8_000, cumulative))
    assert taxes == [4_200, 19_200]


async def test_two_payouts_of_a_month_share_its_allowance_when_asked_apart(database, gateway, cumulative):
    worker = new_id()
    with _in_month(5):
        taxes = [await _earn_and_ask(database, gateway, worker, yuan, cumulative) for yuan in (5_000, 3_000)]
    assert taxes == [0, 4_200]


async def test_payout_is_refused_and_nothing_reserved_when_tax_leaves_nothing(database, gateway, confiscatory):
    worker = new_id()
    await earn(database, worker, 50_000)
    with pytest.raises(NetTooSmall, match=r"Of 500.00 CNY the tax is 500.00 CNY"):
        await ask_payout(database, gateway, worker, rules=confiscatory)
    assert await _balance(database, accounts.worker(worker)) == 50_000
    async with committed(database) as session:
        payee = Payee(kind="worker", owner_id=worker, provider=gateway.name, display_name="韦小木", auto_payout=True)
        session.add(payee)
        await session.flush()
        await pay_out(session, gateway, confiscatory, payee.id, None)
        assert (await queries.balance(session, accounts.worker(worker), "CNY")) == 50_000


@pytest.fixture
async def payout(database, gateway, cumulative):
    """A payout of 15,000 yuan, of which 210 are tax."""
    worker = new_id()
    await earn(database, worker, 1_500_000)
    return await ask_payout(database, gateway, worker, rules=cumulative)


@pytest.fixture
async def task(database, client, finance, payout):
    """The task that is made when the month of the payout is filed and the payout then comes back."""
    month = await _month_of(client, finance, payout)
    async with committed(database) as session:
        session.add(TaxFiling(authority="cn", month=month, filed_at=now(), filed_by=new_id()))
    await _give_up(database, payout)
    listed = await client.get("/v1/operator/tax/tasks", headers=finance)
    (found,) = listed.json()["items"]
    assert (found["tax_minor"], found["state"], found["payout_id"]) == (21_000, "open", str(payout.id))
    return found["id"]


def _key() -> dict[str, str]:
    return {"Idempotency-Key": str(new_id())}


async def _month_of(client, headers, payout) -> str:
    """The month as the operator sees it; at the turn of the year Shanghai is in the next one."""
    found = []
    for year in (payout.created_at.year, payout.created_at.year + 1):
        found += (await client.get("/v1/operator/tax/months", params={"year": year}, headers=headers)).json()
    assert [(month["income_minor"], month["tax_minor"], month["payouts"]) for month in found] == [
        (1_500_000, 21_000, 1)
    ]
    return found[0]["month"]


async def _decide(client, headers, task, verdict):
    body = {"verdict": verdict, **WHY}
    return await client.post(f"/v1/operator/tax/tasks/{task}/decision", json=body, headers={**headers, **_key()})


async def test_tax_stays_withheld_when_a_payout_comes_back_after_its_month_was_filed(
    database, gateway, client, finance, payout, task, cumulative
):
    worker = (await row_of(database, Payee, payout.payee_id)).owner_id
    assert await _balance(database, accounts.tax("cn")) == 21_000
    assert await _balance(database, accounts.worker(worker)) == 1_479_000
    await _check_books(database, gateway)
    assert (await _decide(client, finance, task, "kept")).json()["state"] == "kept"
    assert (await _decide(client, finance, task, "given_back")).status_code == 409
    # The income was taxed once: of what is paid again nothing more is due.
    again = await ask_payout(database, gateway, worker, rules=cumulative)
    assert (again.gross_minor, again.tax_minor) == (1_479_000, 0)
    await _check_books(database, gateway)


async def test_tax_is_given_back_when_the_operator_decides_so(
    database, gateway, client, finance, payout, task, cumulative
):
    worker = (await row_of(database, Payee, payout.payee_id)).owner_id
    assert (await _decide(client, finance, task, "given_back")).json()["state"] == "given_back"
    assert await _balance(database, accounts.tax("cn")) == 0
    assert await _balance(database, accounts.worker(worker)) == 1_500_000
    await _check_books(database, gateway)
    assert (await ask_payout(database, gateway, worker, rules=cumulative)).tax_minor == 21_000


async def test_month_is_filed_once_when_it_is_over(client, finance):
    month = f"{now() - timedelta(days=40):%Y-%m}"
    body = {"authority": "cn", "month": month, **WHY}
    first = await client.post("/v1/operator/tax/filings", json=body, headers={**finance, **_key()})
    assert first.status_code == 201, first.text
    second = await client.post("/v1/operator/tax/filings", json=body, headers={**finance, **_key()})
    assert second.json()["code"] == "tax_month_filed"
    body["month"] = f"{now():%Y-%m}"
    early = await client.post("/v1/operator/tax/filings", json=body, headers={**finance, **_key()})
    assert early.json()["code"] == "tax_month_not_over"


async def test_filing_waits_when_tax_of_its_month_is_being_given_back(database, payout):
    """Either the payee has the tax back before the month is filed, or the filing keeps it; never half of each."""
    month = f"{now() - timedelta(days=40):%Y-%m}"
    await tamper(database, f"UPDATE taxed_payout SET month = '{month}'")

    async def file_month() -> None:
        async with committed(database) as session:
            await filing.mark_filed(session, SYSTEM, "cn", month, "the return of the month")

    async with database.sessions() as session:
        row: Payout = await lock_subject(session, Subject.PAYOUT, payout.id)
        await outcomes.restore(session, row, "test")
        waiting = asyncio.ensure_future(file_month())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await session.commit()
    await waiting
    assert await _balance(database, accounts.tax("cn")) == 0
    async with database.sessions() as session:
        assert (await session.exec(select(TaxTask))).all() == []


async def test_tax_tasks_are_hidden_when_the_caller_is_an_enterprise(app, client, database, task):
    async with committed(database) as session:
        stranger = bearer(app, await make_enterprise(session, Role.FINANCE))
    assert (await client.get("/v1/operator/tax/tasks", headers=stranger)).status_code == 403
    assert (await _decide(client, stranger, task, "kept")).status_code == 403
