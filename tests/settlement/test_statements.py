"""Statements: opening and movements add up to closing, for any days of any history."""

import csv
import io
import random
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import Entry, credit, debit
from marketplace.payments.models import Payout
from marketplace.settlement.errors import PeriodInvalid, StatementTooLong
from marketplace.settlement.periods import Period, month_of, months_before
from marketplace.settlement.statements import statement_of
from tests.factories.identity import bearer, make_approved_worker, make_enterprise, make_vendor
from tests.factories.money import ask_payout, committed, earn, row_of

ZONES = ("UTC", "Asia/Shanghai", "America/Los_Angeles")


async def _history(session, path, rng):
    """Post random movements that took effect on random days, out of order; return (when, amount) of each."""
    moves, held, entries = [], 0, []
    for _ in range(40):
        amount = rng.randint(1, 10_000)
        out = held > 0 and rng.random() < 0.4
        amount = min(amount, held) if out else amount
        at = now() - timedelta(seconds=rng.randint(0, 40 * 24 * 3600))
        legs = [debit(accounts.bank("test"), amount), credit(path, amount)]
        if out:
            legs = [debit(path, amount), credit(accounts.bank("test"), amount)]
        entries.append(Entry(f"random:{new_id()}", "test.random", legs, "CNY", at))
        moves.append((at, -amount if out else amount))
        held += moves[-1][1]
    for entry in entries:
        await ledger.post_many(session, [entry])
    return moves


@pytest.mark.parametrize("seed", range(4))
async def test_opening_and_movements_are_closing_when_the_history_is_random(session, seed):
    rng = random.Random(seed)
    path = accounts.worker(new_id())
    moves = await _history(session, path, rng)
    other = accounts.worker(new_id())
    await _history(session, other, rng)
    today = now().date()
    for _ in range(15):
        first = today - timedelta(days=rng.randint(0, 45))
        period = Period(first, first + timedelta(days=rng.randint(1, 30)), rng.choice(ZONES))
        statement = await statement_of(session, path, "CNY", period, most=1000)
        assert statement.opening_minor == sum(minor for at, minor in moves if at < period.starts_at)
        assert statement.closing_minor == sum(minor for at, minor in moves if at < period.ends_at)
        lines = [line.amount_minor for line in statement.movements]
        assert statement.opening_minor + sum(lines) == statement.closing_minor
        inside = sorted((at, minor) for at, minor in moves if period.starts_at <= at < period.ends_at)
        assert lines == [minor for _, minor in inside]
        if lines:
            assert statement.movements[-1].balance_minor == statement.closing_minor
        after = Period(period.end, period.end + timedelta(days=3), period.time_zone)
        next_one = await statement_of(session, path, "CNY", after, most=1000)
        assert next_one.opening_minor == statement.closing_minor


async def test_statement_is_refused_when_it_is_longer_than_a_file_takes(session):
    path = accounts.worker(new_id())
    await _history(session, path, random.Random(1))
    today = now().date()
    period = Period(today - timedelta(days=60), today + timedelta(days=2), "UTC")
    assert len((await statement_of(session, path, "CNY", period, most=40)).movements) == 40
    with pytest.raises(StatementTooLong):
        await statement_of(session, path, "CNY", period, most=39)


async def test_account_without_movements_has_a_statement_of_zero(session):
    statement = await statement_of(session, accounts.worker(new_id()), "CNY", month_of(now().date(), "UTC"), most=10)
    assert (statement.opening_minor, statement.closing_minor, statement.movements) == (0, 0, [])


def test_period_is_refused_when_it_ends_before_it_begins():
    today = now().date()
    with pytest.raises(PeriodInvalid):
        Period(today, today, "UTC")


@pytest.mark.parametrize("count", [1, 12, 25])
def test_months_join_without_a_gap_when_many_are_counted_back(count):
    today = now().date()
    months = months_before(today, count, "Asia/Shanghai")
    assert [one.end for one in months[:-1]] == [one.first for one in months[1:]]
    assert (len(months), months[-1].end) == (count, today.replace(day=1))


def _days():
    today = now().astimezone(ZoneInfo("UTC")).date()
    return {"from": str(today - timedelta(days=1)), "to": str(today + timedelta(days=1)), "currency": "CNY"}


async def test_worker_reads_tax_and_why_when_a_payout_was_taxed(client, app, database, gateway):
    async with committed(database) as session:
        worker = await make_approved_worker(session)
    await earn(database, worker.actor.id, 123_456)
    payout = await ask_payout(database, gateway, worker.actor.id)
    async with committed(database) as session:
        row = await session.get_one(Payout, payout.id)
        row.tax_minor, row.tax_mode, row.tax_table, row.tax_authority = 456, "per_payment", "cn 2019", "cn_sat"
    headers = bearer(app, worker) | {"Accept-Language": "en"}
    answer = await client.get("/v1/me/statement/file", params=_days() | {"format": "csv"}, headers=headers)
    rows = [row for row in csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))) if row]
    assert ["Opening balance", "0.00"] in rows
    assert rows[-1] == ["Closing balance", "0.00"]
    (line,) = [row for row in rows if len(row) == 6 and row[1] == "Payout"]
    assert line[3:] == ["", "1234.56", "0.00"]
    assert line[2].startswith("4.56 of it withheld as tax (per_payment; table cn 2019; for cn_sat)")
    assert (await row_of(database, Payout, payout.id)).tax_minor == 456
    pdf = await client.get("/v1/me/statement/file", params=_days() | {"locale": "zh-CN"}, headers=headers)
    assert pdf.content.startswith(b"%PDF-")
    wrong = await client.get(
        "/v1/me/statement/file", params=_days() | {"to": str(now().date() - timedelta(days=9))}, headers=headers
    )
    assert wrong.json()["code"] == "period_invalid"


@pytest.mark.parametrize(("make", "account"), [(make_enterprise, accounts.org_cash), (make_vendor, accounts.vendor)])
async def test_organisation_reads_its_own_statement_only(client, app, database, make, account):
    async with committed(database) as session:
        owner, other = await make(session), await make(session)
        legs = [debit(accounts.bank("test"), 700), credit(account(owner.organisation.id), 700)]
        await ledger.post(session, f"cash:{new_id()}", "test.cash", legs, "CNY")
    path = f"/v1/organisations/{owner.organisation.id}/statement/file"
    mine = await client.get(path, params=_days() | {"format": "csv"}, headers=bearer(app, owner))
    assert "7.00" in mine.text
    assert (await client.get(path, params=_days(), headers=bearer(app, other))).status_code == 404
