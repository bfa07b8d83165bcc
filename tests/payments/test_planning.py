"""Payouts by schedule and by the hold limit, and prepaid money that goes back in time."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.money import Money
from marketplace.core.outbox import Outbox, emit
from marketplace.core.settings import Settings
from marketplace.ledger import accounts, queries, verify
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.payments import old_cash, planning
from marketplace.payments.control_models import PayoutPlan
from marketplace.payments.control_states import PayoutSchedule
from marketplace.payments.models import Charge, Payee, Payout, Refund
from marketplace.payments.periods import hold_period, longest_stay, period_of
from marketplace.payments.rules import PayoutRules
from marketplace.payments.states import RefundState
from marketplace.payments.withholding import TaxMode
from tests.factories.identity import bearer, make_approved_worker, make_vendor
from tests.factories.money import ask_top_up, committed, earn, tamper
from tests.jobs import run_outbox

PATH = "/v1/me/payout-preferences"


@pytest.fixture
async def worker(database):
    async with committed(database) as session:
        return await make_approved_worker(session)


@pytest.fixture
def prefer(client, app, worker):
    async def act(schedule, **minimums):
        body = {"schedule": schedule, "minimums_minor": minimums}
        answer = await client.put(PATH, json=body, headers=bearer(app, worker))
        assert (answer.status_code, answer.json()) == (200, body)

    return act


async def _run(database, worker_resources, kind) -> None:
    async with committed(database) as session:
        emit(session, kind, {})
    await run_outbox(worker_resources, only="payments.")


async def _all(database, model) -> list:
    async with database.sessions() as session:
        return list((await session.exec(select(model))).all())


_NEXT_PERIOD = "UPDATE payout_preference SET planned_period = 'the one before'"


@pytest.mark.parametrize("schedule", ["weekly", "monthly"])
async def test_money_is_paid_out_once_a_period_when_the_payee_wants_that(
    database, worker, worker_resources, prefer, schedule
):
    await prefer(schedule)
    await earn(database, worker.person.id, 500)
    await _run(database, worker_resources, "payments.plan_periods")
    assert await _all(database, Payout) == []  # the period that has begun is over; the next one pays
    await tamper(database, _NEXT_PERIOD)
    await _run(database, worker_resources, "payments.plan_periods")
    (payout,) = await _all(database, Payout)
    assert payout.amount_minor == 500
    await earn(database, worker.person.id, 300)
    await _run(database, worker_resources, "payments.plan_periods")
    await tamper(database, _NEXT_PERIOD)  # as if the plan had been lost: what was paid stands in payout_plan
    await _run(database, worker_resources, "payments.plan_periods")
    assert len(await _all(database, Payout)) == 1
    (plan,) = await _all(database, PayoutPlan)
    assert (plan.period, plan.payout_id) == (period_of(PayoutSchedule(schedule), plan.created_at), payout.id)


async def test_nothing_is_planned_when_the_payee_asks_by_hand(client, app, database, worker, worker_resources):
    assert (await client.get(PATH, headers=bearer(app, worker))).json() == {"schedule": "manual", "minimums_minor": {}}
    await earn(database, worker.person.id, 500)
    for kind in ("payments.plan_periods", "payments.plan_payouts", "payments.plan_hold_limit"):
        await _run(database, worker_resources, kind)
    assert await _all(database, Payout) == []


async def test_money_waits_for_more_when_it_is_below_the_minimum(database, worker, worker_resources, prefer):
    await prefer("weekly", CNY=1000)
    await earn(database, worker.person.id, 999)
    await tamper(database, _NEXT_PERIOD)
    await _run(database, worker_resources, "payments.plan_periods")
    assert await _all(database, Payout) == []
    await earn(database, worker.person.id, 1)
    await tamper(database, _NEXT_PERIOD)
    await _run(database, worker_resources, "payments.plan_periods")
    assert [payout.amount_minor for payout in await _all(database, Payout)] == [1000]


async def test_minimum_holds_too_when_money_is_paid_out_at_once(
    client, app, database, worker, worker_resources, prefer
):
    await prefer("at_once", CNY=1000)
    assert (await client.get(PATH, headers=bearer(app, worker))).json()["schedule"] == "at_once"
    for amount, paid in ((600, []), (600, [1200])):
        await earn(database, worker.person.id, amount)
        await _run(database, worker_resources, "payments.plan_payouts")
        assert [payout.amount_minor for payout in await _all(database, Payout)] == paid


async def test_preferences_are_the_payees_own_when_another_tenant_asks(client, app, database):
    async with committed(database) as session:
        mine, other = await make_vendor(session), await make_vendor(session)
    path = f"/v1/organisations/{mine.organisation.id}/payout-preferences"
    body = {"schedule": "monthly", "minimums_minor": {"CNY": 5}}
    assert (await client.put(path, json=body, headers=bearer(app, mine))).json() == body
    assert (await client.put(path, json=body, headers=bearer(app, other))).status_code == 404
    assert (await client.get(path, headers=bearer(app, other))).status_code == 404
    assert (await client.get(path, headers=bearer(app, mine))).json() == body


@pytest.mark.parametrize("minimums", [{"XXX": 5}, {"CNY": 0}, {"CNY": -1}, {"yuan": 5}])
async def test_preferences_are_refused_when_a_minimum_is_not_one(client, app, worker, minimums):
    body = {"schedule": "weekly", "minimums_minor": minimums}
    assert (await client.put(PATH, json=body, headers=bearer(app, worker))).status_code in {400, 422}


async def test_one_payout_is_made_when_two_jobs_plan_at_once(database, worker, worker_resources, gateway, prefer):
    await prefer("weekly")
    await earn(database, worker.person.id, 500)
    await tamper(database, _NEXT_PERIOD)

    async def plan():
        async with committed(database) as session:
            return await planning.plan_periods(session, "sandbox")

    assert sorted(await asyncio.gather(*(plan() for _ in range(6)))) == [0] * 5 + [1]
    (payee,) = await _all(database, Payee)
    week = period_of(PayoutSchedule.WEEKLY, now())

    async def pay():
        async with committed(database) as session:
            await planning.pay_out(session, gateway, PayoutRules(), payee.id, week)

    await asyncio.gather(*(pay() for _ in range(6)))
    assert [payout.amount_minor for payout in await _all(database, Payout)] == [500]


@pytest.fixture
def pay(database, gateway):
    """Run the job of one payee, as with these rules of the operator."""

    async def act(rules, period):
        (payee,) = await _all(database, Payee)
        async with committed(database) as session:
            await planning.pay_out(session, gateway, rules, payee.id, period)

    return act


@pytest.fixture
async def week(database, prefer, worker):
    """A week that has begun, of a payee who wants to be paid by the week and has earned something."""
    await prefer("weekly")
    await earn(database, worker.person.id, 500)
    await tamper(database, _NEXT_PERIOD)
    async with committed(database) as session:
        await planning.plan_periods(session, "sandbox")
    return period_of(PayoutSchedule.WEEKLY, now())


async def _planned(database) -> list[dict]:
    jobs = await _all(database, Outbox)
    return [job.payload for job in jobs if job.kind == "payments.pay_out" and job.due_at > now()]


async def test_payout_of_the_period_comes_once_what_was_missing_is_there(database, pay, week):
    await pay(PayoutRules(forms_required={"CN": frozenset({"cn_identity"})}), week)
    assert await _all(database, Payout) == []
    assert [payload["period"] for payload in await _planned(database)] == [week]  # tried again
    await pay(PayoutRules(), week)
    assert [payout.amount_minor for payout in await _all(database, Payout)] == [500]


async def test_other_currencies_are_paid_out_when_one_lacks_its_tax_table(database, worker, pay, week, tmp_path):
    table = {
        "name": "test", "version": "1", "mode": "per_payment", "authority": "cn", "currency": "CNY",
        "source": "a test's", "valid_from": "2000-01-01", "valid_to": None, "verified": False, "expense_bp": 0,
        "allowance_minor": 0, "brackets": [{"up_to_minor": None, "rate_bp": 100, "quick_deduction_minor": 0}],
    }  # fmt: skip
    file = tmp_path / "table.json"
    file.write_text(json.dumps(table))
    await earn(database, worker.person.id, 70, "USD")
    await pay(PayoutRules(TaxMode.PER_PAYMENT, file), week)
    assert [(payout.amount_minor, payout.currency) for payout in await _all(database, Payout)] == [(495, "CNY")]


async def test_held_payout_is_given_up_when_the_payee_asks_by_hand_from_now_on(database, pay, prefer, week):
    await prefer("manual")
    await pay(PayoutRules(), week)
    assert await _all(database, Payout) == []


async def test_old_money_that_is_held_is_asked_for_by_the_next_plan_only(database, pay, week):
    await tamper(database, "UPDATE payee SET state = 'lapsed'")
    for _ in range(3):
        await pay(PayoutRules(), hold_period(now()))
    assert await _planned(database) == []


async def test_old_money_is_paid_out_before_the_hold_limit_though_the_payee_asks_by_hand(
    database, worker, worker_resources, prefer
):
    await prefer("manual", CNY=10_000)
    await earn(database, worker.person.id, 500)
    await tamper(
        database, "UPDATE payee SET state = 'ready'", "UPDATE txn SET effective_at = now() - interval '74 days'"
    )
    await _run(database, worker_resources, "payments.plan_hold_limit")
    assert await _all(database, Payout) == []
    await tamper(database, "UPDATE txn SET effective_at = now() - interval '76 days'")
    await earn(database, worker.person.id, 40)
    await _run(database, worker_resources, "payments.plan_hold_limit")
    assert [payout.amount_minor for payout in await _all(database, Payout)] == [540]


async def test_old_money_keeps_its_age_when_a_payout_came_back(database, worker, worker_resources):
    worker_path = accounts.worker(worker.person.id)
    await earn(database, worker.person.id, 500)
    await tamper(database, "UPDATE txn SET effective_at = now() - interval '30 days'")
    async with committed(database) as session:
        since = datetime.now(UTC) - timedelta(days=20)
        (old,) = await queries.older_balances(session, ["worker"], since, not_new=["payout.restore"])
        assert (old.path, old.minor) == (worker_path, 500)
    await tamper(database, "UPDATE txn SET kind = 'payout.restore', effective_at = now() WHERE kind = 'release'")
    async with committed(database) as session:
        (old,) = await queries.older_balances(session, ["worker"], since, not_new=["payout.restore"])
        assert old.minor == 500
        assert await queries.older_balances(session, ["worker"], since, not_new=[]) == []


_AGED = "UPDATE charge SET changed_at = now() - interval '76 days' WHERE amount_minor = {}"


async def test_prepaid_money_goes_back_to_its_old_charge_before_the_hold_limit(
    database, gateway, drive, worker_resources
):
    organisation = new_id()
    for amount in (1000, 300):
        await ask_top_up(database, gateway, organisation, amount)
        await drive()
    await tamper(database, _AGED.format(1000))
    await _spend(database, organisation, 400)
    for _ in range(2):
        await _run(database, worker_resources, "payments.plan_hold_limit")
        await drive()
    (refund,) = await _all(database, Refund)
    charges = {charge.id: charge for charge in await _all(database, Charge)}
    assert (refund.amount_minor, refund.state) == (600, RefundState.DONE)
    assert charges[refund.charge_id].amount_minor == 1000
    async with database.sessions() as session:
        assert await queries.balance(session, accounts.org_cash(organisation), "CNY") == 300
        assert (await verify.verify(session)).holds


async def test_prepaid_money_goes_back_though_another_charge_was_charged_back(
    database, gateway, drive, worker_resources
):
    """Of three old charges one is disputed: what is left of it cannot go back to it, and stays."""
    organisation = new_id()
    charges = [await ask_top_up(database, gateway, organisation, amount) for amount in (1000, 300, 200)]
    await drive()
    await gateway.dispute(charges[0].id.hex, Money(400, "CNY"))
    await _run(database, worker_resources, "payments.fill_gaps")
    await tamper(database, _AGED.format(1000), _AGED.format(300), _AGED.format(200))
    for _ in range(2):
        await _run(database, worker_resources, "payments.plan_hold_limit")
        await drive()
    refunds = await _all(database, Refund)
    assert {(refund.charge_id, refund.amount_minor) for refund in refunds} == {
        (charges[1].id, 300), (charges[2].id, 200),
    }  # fmt: skip


async def test_prepaid_money_goes_back_to_the_charge_whose_provider_may_not_keep_it(database, gateway, drive):
    """An older charge of a provider that may keep money for longer stays as it is."""
    organisation = new_id()
    long, short = [await ask_top_up(database, gateway, organisation, amount) for amount in (1000, 300)]
    await drive()
    await tamper(
        database, _AGED.format(1000), _AGED.format(300), "UPDATE charge SET provider = 'slow' WHERE amount_minor = 1000"
    )
    async with committed(database) as session:
        stays = {"slow": timedelta(days=100), "sandbox": timedelta(days=10)}
        assert await old_cash.refund(session, organisation, "CNY", stays) == 300
    assert [refund.charge_id for refund in await _all(database, Refund)] == [short.id] != [long.id]


async def _spend(database, organisation, amount) -> None:
    async with committed(database) as session:
        legs = [debit(accounts.org_cash(organisation), amount), credit(accounts.worker(new_id()), amount)]
        await ledger.post(session, f"spend:{new_id()}", "release", legs, "CNY")


@pytest.mark.parametrize(("amount", "days"), [(1000, 74), (700, 76)])
async def test_prepaid_money_stays_when_it_is_young_or_spent(database, gateway, drive, worker_resources, amount, days):
    organisation = new_id()
    await ask_top_up(database, gateway, organisation, 700)
    await drive()
    await tamper(database, f"UPDATE charge SET changed_at = now() - interval '{days} days'")
    if days > 75:
        await _spend(database, organisation, amount)
    await _run(database, worker_resources, "payments.plan_hold_limit")
    assert await _all(database, Refund) == []


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1)), st.integers(0, 400))  # noqa: DTZ001
def test_period_is_never_an_earlier_one_when_time_goes_on(at, days):
    later = at + timedelta(days=days)
    for schedule in (PayoutSchedule.WEEKLY, PayoutSchedule.MONTHLY):
        assert period_of(schedule, at) <= period_of(schedule, later)
    assert period_of(PayoutSchedule.WEEKLY, at) != period_of(PayoutSchedule.WEEKLY, at + timedelta(days=7))
    assert period_of(PayoutSchedule.MANUAL, at) is None


@pytest.mark.parametrize(("limit", "own", "stay"), [(90, 0, 75), (10, 0, 8), (90, 10, 8), (10, 90, 8), (30, 0, 24)])
def test_money_leaves_before_the_limit_when_the_margin_is_taken(limit, own, stay):
    assert longest_stay(timedelta(days=limit), own) == timedelta(days=stay)


def test_limit_of_ones_own_may_not_be_negative():
    with pytest.raises(ValueError, match="provider_hold_limit_days"):
        Settings(_env_file=None, provider_hold_limit_days=-1)
