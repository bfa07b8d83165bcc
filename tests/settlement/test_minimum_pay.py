"""Minimum pay: the rules on the operator's table, what an enterprise is told, and what is made good at closing."""

import json
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import Channel, RequestState
from marketplace.core.actor import Role
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from marketplace.core.settings import Settings
from marketplace.ledger import accounts
from marketplace.quality.states import Outcome
from marketplace.settlement import accrual, closing, minimum_pay, pay_rules, queries
from marketplace.settlement.errors import MinimumTableInvalid
from marketplace.settlement.pay_rules import MinimumRow, MinimumTable
from marketplace.settlement.verify import verify_everything
from marketplace.tasks.models import Claim
from tests.factories.catalog import make_items, make_request
from tests.factories.identity import bearer, make_approved_worker, make_enterprise, make_operator
from tests.factories.money import committed
from tests.jobs import run_outbox
from tests.settlement.work import BUDGET, make_deal, put_cash

TODAY = now().date()
SECONDS = st.floats(min_value=0, max_value=10**7)
MINOR = st.integers(min_value=0, max_value=10**12)
HOURLY = st.integers(min_value=1, max_value=10**9)


def row(region="CN-GX", per_hour=2_000, action="top_up", first=-10, last=None, currency="CNY") -> MinimumRow:
    return MinimumRow(
        region=region, per_hour_minor=per_hour, currency=currency, source="https://example.test/minimum",
        valid_from=TODAY + timedelta(days=first), valid_to=last and TODAY + timedelta(days=last), action=action,
    )  # fmt: skip


def table(*rows: MinimumRow, idle_factor: float = 3) -> MinimumTable:
    return MinimumTable(name="a test's", idle_factor=idle_factor, rows=rows or (row(),))


# Rules ----------------------------------------------------------------------------------------------------------------


@given(HOURLY, SECONDS, MINOR)
def test_pay_reaches_the_minimum_when_what_is_missing_is_added(hourly, seconds, earned):
    minimum = row(per_hour=hourly)
    added = earned + pay_rules.missing(minimum, seconds, earned)
    exact = Fraction(hourly * pay_rules.milliseconds(seconds), 3_600_000)
    assert added >= exact
    assert added == earned or added - 1 < exact  # never a minor unit more than is needed


@given(HOURLY, SECONDS, SECONDS, MINOR)
def test_more_time_never_lessens_what_is_missing_when_pay_stays(hourly, one, other, earned):
    less, more = sorted((one, other))
    minimum = row(per_hour=hourly)
    assert pay_rules.missing(minimum, less, earned) <= pay_rules.missing(minimum, more, earned)


@given(st.integers(1, 10**9), st.floats(min_value=0.001, max_value=10**5), HOURLY)
def test_estimate_is_below_only_when_an_hour_brings_less_than_the_minimum(price, seconds, hourly):
    brings = pay_rules.per_hour(price, seconds)
    found = pay_rules.estimate(row(per_hour=hourly), "CNY", brings, "planned")
    exact = Fraction(price * 3_600_000, 10_000 * max(pay_rules.milliseconds(seconds), 1))
    assert found.below == (exact < hourly)


def test_minimum_is_the_worked_figure_when_half_an_hour_was_worked():
    """By hand: at 20.00 an hour, 30 minutes must bring 10.00; of 7.50 earned, 2.50 are missing."""
    assert pay_rules.missing(row(per_hour=2_000), 1800.0, 750) == 250
    assert pay_rules.per_hour(350_000, 10.0) == 12_600  # 0.35 for ten seconds are 126.00 an hour


def test_row_of_the_region_wins_when_the_country_has_one_too():
    rows = table(row("CN", 1_000), row("CN-GX", 2_000), row("CN-GX", 2_200, first=-2), row("CN-GX", 9_000, first=1))
    assert rows.row_of("CN", "CN-GX", TODAY).per_hour_minor == 2_200
    assert rows.row_of("CN", "CN-YN", TODAY).per_hour_minor == 1_000
    assert rows.row_of("CN", None, TODAY).per_hour_minor == 1_000
    assert rows.row_of("TH", None, TODAY) is None


def test_row_binds_no_longer_when_it_has_ended():
    assert table(row(last=-1)).row_of("CN", "CN-GX", TODAY) is None


@pytest.mark.parametrize(
    ("places", "regions"), [(["CN"], ["CN", "CN-GX"]), (["CN-GX"], ["CN", "CN-GX"]), (["CN-YN"], ["CN"]),
                            (["*"], ["CN", "CN-GX", "TH"]), (["VN"], [])],
)  # fmt: skip
def test_rows_bind_where_the_data_may_be_seen(places, regions):
    rows = table(row("CN"), row("CN-GX"), row("TH"))
    assert [found.region for found in rows.rows_within(places, TODAY)] == regions


def test_other_currency_is_not_compared_when_estimating():
    found = pay_rules.estimate(row(currency="THB"), "CNY", 1, "planned")
    assert (found.per_hour_minor, found.below) == (None, False)


def test_table_is_refused_when_it_lacks_a_source(tmp_path):
    path = tmp_path / "minimum.json"
    whole = json.loads(table().model_dump_json())
    path.write_text(json.dumps(whole))
    assert pay_rules.minimum_table(Settings(_env_file=None, min_pay_table_file=path)) == table()
    del whole["rows"][0]["source"]
    other = tmp_path / "other.json"
    other.write_text(json.dumps(whole))
    with pytest.raises(MinimumTableInvalid):
        pay_rules.minimum_table(Settings(_env_file=None, min_pay_table_file=other))


# Closing --------------------------------------------------------------------------------------------------------------


async def _worked(deal, worker, *, units=10, seconds=1800.0, revision=1, outcome=Outcome.ACCEPTED, open_for=7200):
    """A claim that took so long, accepted and accrued: ten units bring 3.50, of which 3.15 are the worker's."""
    claim = await deal.accepted(units, worker=worker, outcome=outcome)
    async with committed(deal.database) as session:
        stored = await session.get_one(Claim, (claim.request_id, claim.id))
        stored.active_seconds = seconds
        stored.submitted_at = stored.created_at + timedelta(seconds=open_for)
    if outcome is Outcome.ACCEPTED:
        async with committed(deal.database) as session:
            await accrual.accrue(session, claim.request_id, claim.id, 1)


async def _close(deal, minimum) -> None:
    async with committed(deal.database) as session:
        request = await session.get_one(DatasetRequest, deal.request.id)
        request.state = RequestState.DELIVERED
    async with committed(deal.database) as session:
        assert await closing.settle_request(session, deal.request.id, minimum)


async def _check(deal, gateway) -> None:
    async with deal.database.sessions() as session:
        report = await verify_everything(session, gateway)
        wrong = [check for check in report.checks if not check.holds and check.name != "provider_balance"]
        money = await queries.money_of_request(session, deal.request)
    assert wrong == []
    assert money.funded_minor == money.reserved_minor + money.spent_minor + money.refunded_minor


@pytest.fixture
async def worker(database):
    async with committed(database) as session:
        return (await make_approved_worker(session)).person.id


async def test_worker_gets_the_difference_from_the_reserve_when_pay_was_below_the_minimum(database, gateway, worker):
    """By hand: 2 × 30 minutes at 100.00 an hour must bring 100.00; twice 3.15 came in, so 93.70 are added."""
    deal = await make_deal(database, seconds_per_task=600.0)
    await _worked(deal, worker)
    await _worked(deal, worker)
    await _close(deal, table(row(per_hour=10_000)))
    assert await deal.balance(accounts.worker(worker)) == 10_000
    assert await deal.reserved() == 0
    assert await deal.balance(accounts.org_cash(deal.request.organisation_id)) == 2 * BUDGET - 700 - 9_370
    await _check(deal, gateway)


async def test_nothing_is_paid_twice_when_a_request_is_made_good_again(database, gateway, worker):
    deal = await make_deal(database, seconds_per_task=600.0)
    await _worked(deal, worker)
    minimum = table(row(per_hour=10_000))
    await _close(deal, minimum)
    async with committed(database) as session:
        assert await minimum_pay.make_good(session, minimum, deal.request, BUDGET) == []
    assert await deal.balance(accounts.worker(worker)) == 5_000


async def test_balance_pays_when_the_reserve_does_not_hold_the_difference(database, gateway, worker):
    deal = await make_deal(database, seconds_per_task=6000.0)
    await _worked(deal, worker, seconds=36_000.0, open_for=36_000)
    # Ten hours at 2,000.00 must bring 20,000.00; the reserve of 10,000.00 less 3.50 does not hold the rest of it.
    async with committed(database) as session:
        await put_cash(session, deal.request.organisation_id, BUDGET)
    await _close(deal, table(row(per_hour=200_000)))
    assert await deal.balance(accounts.worker(worker)) == 2_000_000
    assert await deal.balance(accounts.org_cash(deal.request.organisation_id)) == 3 * BUDGET - 350 - 1_999_685
    await _check(deal, gateway)


async def test_row_says_so_when_no_money_holds_the_difference(app, client, database, gateway, worker):
    deal = await make_deal(database, seconds_per_task=6000.0)
    await _worked(deal, worker, seconds=36_000.0, open_for=36_000)
    await _close(deal, table(row(per_hour=10**9)))
    assert await deal.balance(accounts.worker(worker)) == 315
    async with committed(database) as session:
        finance = bearer(app, await make_operator(session, Role.OPERATOR_FINANCE))
    (found,) = (await client.get("/v1/operator/minimum-pay", headers=finance)).json()["items"]
    assert (found["worker_id"], found["earned_minor"], found["topped_up_minor"]) == (str(worker), 315, 0)
    assert found["minimum_minor"] == 10**10
    await _check(deal, gateway)


async def test_only_a_row_is_written_when_the_operator_wants_a_warning(database, gateway, worker):
    deal = await make_deal(database, seconds_per_task=600.0)
    await _worked(deal, worker)
    await _close(deal, table(row(per_hour=10_000, action="warn")))
    assert await deal.balance(accounts.worker(worker)) == 315


@pytest.mark.parametrize(
    ("seconds", "open_for", "paid"),
    [
        (7200.0, 3600, 10_000),  # the clock of the client says two hours, the claim was open for one
        (9000.0, 20_000, 15_000),  # ten answers planned at 180 s count for 3 × 1,800 s at most
    ],
)
async def test_time_is_capped_when_the_client_tells_too_much(database, gateway, worker, seconds, open_for, paid):
    deal = await make_deal(database, seconds_per_task=180.0)
    await _worked(deal, worker, seconds=seconds, open_for=open_for)
    await _close(deal, table(row(per_hour=10_000)))
    assert await deal.balance(accounts.worker(worker)) == paid


async def test_the_clock_counts_once_when_claims_were_open_side_by_side(database, gateway, worker):
    """By hand: three claims, each open for the same hour and said to take all of it, are one hour at 100.00."""
    deal = await make_deal(database, seconds_per_task=600.0)
    for _ in range(3):
        await _worked(deal, worker, seconds=3600.0, open_for=3600)
    async with committed(database) as session:
        claims = (await session.exec(select(Claim).where(Claim.request_id == deal.request.id))).all()
        for claim in claims:
            claim.created_at = claims[0].created_at
            claim.submitted_at = claims[0].submitted_at
    await _close(deal, table(row(per_hour=10_000)))
    assert await deal.balance(accounts.worker(worker)) == 10_000


async def test_nobody_is_topped_up_when_pay_reaches_the_minimum_or_work_was_refused(database, gateway, worker):
    deal = await make_deal(database, seconds_per_task=600.0)
    await _worked(deal, worker, seconds=60.0)
    await _worked(deal, worker, seconds=5400.0, outcome=Outcome.REJECTED)
    await _close(deal, table(row(per_hour=10_000)))
    assert await deal.balance(accounts.worker(worker)) == 315


async def test_vendor_answers_for_its_own_workers_when_it_pays_them_itself(database, gateway, worker):
    deal = await make_deal(database, with_vendor=True, seconds_per_task=600.0, contract={"pay_workers_directly": False})
    await _worked(deal, worker)
    await _close(deal, table(row(per_hour=10_000)))
    assert await deal.balance(accounts.worker(worker)) == 0


@pytest.mark.parametrize("minimum_file", [("top_up", 10_000)], indirect=True)
async def test_job_that_closes_a_request_pays_the_difference_when_there_is_a_table(
    minimum_file, database, worker, worker_resources
):
    deal = await make_deal(database, seconds_per_task=600.0)
    await _worked(deal, worker)
    async with committed(database) as session:
        request = await session.get_one(DatasetRequest, deal.request.id)
        request.state = RequestState.DELIVERED
        emit(session, "settlement.close", {"request_id": str(request.id)})
    await run_outbox(worker_resources, only="settlement.close")
    assert await deal.balance(accounts.worker(worker)) == 5_000


# Publishing -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def minimum_file(tmp_path_factory, monkeypatch, request):
    """The operator's table in the environment; give the action and the hourly minimum by parametrize."""
    action, per_hour = request.param
    path = tmp_path_factory.mktemp("law") / "minimum.json"
    path.write_text(table(row("CN", per_hour, action)).model_dump_json())
    monkeypatch.setenv("MIN_PAY_TABLE_FILE", str(path))


async def _funded(app, database):
    """A request that could be published: 0.35 for ten seconds are 113.40 an hour after the fee of 10 %."""
    async with committed(database) as session:
        enterprise = await make_enterprise(session, Role.OWNER)
        made = await make_request(
            session, enterprise.organisation.id, state=RequestState.FUNDED, channel=Channel.OPEN_CROWD
        )
        await make_items(session, made, 3)
    return bearer(app, enterprise), f"/v1/requests/{made.id}"


async def _publish(client, headers, path):
    return await client.post(f"{path}/publish", headers={**headers, "Idempotency-Key": str(new_id())})


@pytest.mark.parametrize("minimum_file", [("block", 11_341)], indirect=True)
async def test_publishing_is_refused_with_figures_when_pay_is_below_a_blocking_minimum(
    minimum_file, app, client, database
):
    headers, path = await _funded(app, database)
    refused = await _publish(client, headers, path)
    assert (refused.status_code, refused.json()["code"]) == (409, "pay_below_minimum")
    assert "113.40 CNY" in refused.json()["detail"]
    assert "113.41 CNY" in refused.json()["detail"]
    assert (await client.get(path, headers=headers)).json()["state"] == "funded"


@pytest.mark.parametrize("minimum_file", [("warn", 11_341), ("top_up", 11_341)], indirect=True)
async def test_publishing_warns_in_its_answer_when_pay_is_below_the_minimum(minimum_file, app, client, database):
    headers, path = await _funded(app, database)
    published = await _publish(client, headers, path)
    assert published.status_code == 200, published.text
    (told,) = published.json()["minimum_pay"]
    assert (told["below"], told["per_hour_minor"], told["minimum_per_hour_minor"]) == (True, 11_340, 11_341)
    assert (await client.get(path, headers=headers)).json()["minimum_pay"] == [told]


@pytest.mark.parametrize("minimum_file", [("block", 11_340)], indirect=True)
async def test_publishing_goes_through_when_pay_reaches_the_minimum(minimum_file, app, client, database):
    headers, path = await _funded(app, database)
    published = await _publish(client, headers, path)
    assert [told["below"] for told in published.json()["minimum_pay"]] == [False]


@pytest.mark.parametrize("minimum_file", [("warn", 11_341)], indirect=True)
async def test_estimate_is_the_median_of_those_who_worked_when_there_are_some(
    minimum_file, app, client, database, gateway
):
    """By hand: three workers got 3.15 for 10, 20 and 40 minutes; the median is 9.45 an hour."""
    deal = await make_deal(database, seconds_per_task=600.0)
    for minutes in (10, 20, 40):
        await _worked(deal, new_id(), seconds=minutes * 60.0)
    async with committed(database) as session:
        finance = bearer(app, await make_operator(session, Role.ADMIN))
    shown = (await client.get(f"/v1/requests/{deal.request.id}", headers=finance)).json()
    (told,) = shown["minimum_pay"]
    assert (told["basis"], told["per_hour_minor"]) == ("measured", 945)


async def test_nothing_is_said_when_the_operator_has_no_table(app, client, database):
    headers, path = await _funded(app, database)
    assert (await _publish(client, headers, path)).json()["minimum_pay"] == []
    async with committed(database) as session:
        finance = bearer(app, await make_operator(session, Role.OPERATOR_FINANCE))
    facts = {fact["name"]: fact for fact in (await client.get("/v1/operator/law", headers=finance)).json()}
    assert facts["minimum_pay"]["state"] == "missing"
    assert facts["minimum_pay"]["settings"] == ["MIN_PAY_TABLE_FILE"]
