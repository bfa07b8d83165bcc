"""Invoices: the right sums, no gap in the numbers, nothing changed afterwards, and files that people can open."""

import asyncio
import csv
import io
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlmodel import select

from marketplace.core.clock import now
from marketplace.settlement import accrual, invoices, release
from marketplace.settlement.errors import PapersNotSetUp
from marketplace.settlement.models import Accrual
from marketplace.settlement.paper_models import Invoice
from tests.factories.identity import bearer, make_enterprise, make_operator
from tests.factories.money import committed
from tests.jobs import run_outbox
from tests.settlement.papers import ENTITY
from tests.settlement.work import make_deal


@pytest.fixture
def entity(settings):
    """Settings with a legal entity."""
    return settings.model_copy(update=ENTITY)


async def released(deal, units=10, *, months_ago=1):
    """Let work be released in the middle of an earlier month."""
    claim = await deal.accepted(units=units)
    async with committed(deal.database) as session:
        await accrual.accrue(session, deal.request.id, claim.id, 1)
    async with committed(deal.database) as session:
        await release.release_due(session, deal.request.id)
    at = _month(months_ago) + timedelta(days=14)
    async with committed(deal.database) as session:
        row = await session.get_one(Accrual, (deal.request.id, claim.id, 1))
        row.released_at = now().replace(year=at.year, month=at.month, day=at.day)
    return claim


def _month(ago):
    first = (now() - timedelta(days=1)).date().replace(day=1)
    for _ in range(ago):
        first = (first - timedelta(days=1)).replace(day=1)
    return first


async def issue(database, settings, deal, month=None):
    async with committed(database) as session:
        return await invoices.issue_invoice(session, settings, deal.request.organisation_id, "CNY", month or _month(1))


async def test_invoice_covers_the_month_by_contract_when_work_was_released(database, entity):
    deal = await make_deal(database, contract={"unit_price": 1_000_000, "platform_fee_bps": 1000})
    await released(deal, 10)
    await released(deal, 5)
    await released(deal, 99, months_ago=2)
    invoice = await issue(database, entity, deal)
    assert (invoice.work_minor, invoice.fee_minor, invoice.total_minor) == (1350, 150, 1500)
    async with database.sessions() as session:
        lines = await invoices.lines_of(session, invoice)
    assert [(line.contract_id, line.units, line.amount_minor) for line in lines] == [(deal.contract.id, 15, 1500)]


async def test_same_invoice_is_returned_when_it_is_issued_again(database, entity):
    deal = await make_deal(database)
    await released(deal)
    first, second = await issue(database, entity, deal), await issue(database, entity, deal)
    assert (first.id, first.number) == (second.id, second.number)


async def test_nothing_is_issued_when_the_month_had_no_work(database, entity):
    deal = await make_deal(database)
    assert await issue(database, entity, deal) is None


async def test_numbers_have_no_gap_when_eight_are_issued_at_once_and_one_is_rolled_back(database, entity):
    deals = [await make_deal(database) for _ in range(9)]
    for deal in deals:
        await released(deal)

    async def fail():
        async with committed(database) as session:
            await invoices.issue_invoice(session, entity, deals[8].request.organisation_id, "CNY", _month(1))
            await asyncio.sleep(0.05)
            raise InterruptedError

    outcomes = await asyncio.gather(
        *(issue(database, entity, deal) for deal in deals[:4]),
        fail(),
        *(issue(database, entity, deal) for deal in deals[4:8]),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes if not isinstance(outcome, Invoice)] == [InterruptedError]
    await issue(database, entity, deals[8])
    async with database.sessions() as session:
        rows = (await session.exec(select(Invoice).order_by(Invoice.sequence))).all()
    assert [row.sequence for row in rows] == list(range(1, 10))
    assert [row.number for row in rows] == [f"KPK-{row.year}-{row.sequence:06}" for row in rows]


async def test_one_invoice_is_issued_when_the_same_one_is_asked_for_eight_times_at_once(database, entity):
    deal = await make_deal(database)
    await released(deal)
    issued = await asyncio.gather(*(issue(database, entity, deal) for _ in range(8)))
    assert {(row.id, row.sequence) for row in issued} == {(issued[0].id, 1)}


async def test_numbers_begin_anew_when_another_legal_entity_issues(database, entity):
    deals = [await make_deal(database), await make_deal(database)]
    for deal in deals:
        await released(deal)
    other = entity.model_copy(update={"operator_tax_id": "201912345K"})
    first, second = await issue(database, entity, deals[0]), await issue(database, other, deals[1])
    assert (first.sequence, second.sequence) == (1, 1)


@pytest.mark.parametrize("missing", ["operator_legal_name", "operator_tax_id", "operator_address", "invoice_prefix"])
async def test_invoice_names_the_setting_when_it_is_missing(session, entity, missing):
    settings = entity.model_copy(update={missing: ""})
    with pytest.raises(PapersNotSetUp, match=missing.upper()):
        invoices.legal_entity(settings)
    assert await invoices.ask_due_invoices(session, settings) == 0


@pytest.mark.parametrize("change", ["UPDATE invoice SET total_minor = 1", "DELETE FROM invoice_line"])
async def test_invoice_is_not_changed_when_the_app_tries(database, entity, change):
    deal = await make_deal(database)
    await released(deal)
    await issue(database, entity, deal)
    async with database.sessions() as session:
        with pytest.raises(ProgrammingError, match="permission denied"):
            await session.execute(text(change))


async def test_job_issues_each_past_month_once_when_it_runs_twice(database, entity, worker_resources):
    deal = await make_deal(database)
    await released(deal)
    await released(deal, months_ago=3)
    resources = type(worker_resources)(entity, worker_resources.database, worker_resources.store)
    for expected in (2, 0):
        async with committed(database) as session:
            assert await invoices.ask_due_invoices(session, entity) == expected
        await run_outbox(resources, only="settlement.issue_invoice")
    async with database.sessions() as session:
        rows = (await session.exec(select(Invoice).order_by(Invoice.sequence))).all()
    assert [row.period_start for row in rows] == [_month(3), _month(1)]


async def test_invoice_is_read_as_json_pdf_and_csv_by_its_enterprise_only(client, app, database, entity):
    deal = await make_deal(database, title='=HYPERLINK("http://x","看")')
    await released(deal, 10)
    invoice = await issue(database, entity, deal)
    async with committed(database) as session:
        other = await make_enterprise(session)
        operator = await make_operator(session)
    mine = {"Authorization": f"Bearer {app.state.token_signer.access_token(deal.enterprise, other.person)}"}
    base = f"/v1/organisations/{deal.request.organisation_id}/invoices"
    listed = (await client.get(base, headers=mine)).json()["items"]
    assert [row["number"] for row in listed] == [invoice.number]
    detail = (await client.get(f"{base}/{invoice.id}", headers=mine)).json()
    assert sum(line["amount_minor"] for line in detail["lines"]) == detail["total_minor"]
    drawn = await client.get(f"{base}/{invoice.id}/pdf?locale=zh-CN", headers=mine)
    again = await client.get(f"{base}/{invoice.id}/pdf?locale=zh-CN", headers=mine)
    assert drawn.content.startswith(b"%PDF-")
    assert drawn.content == again.content
    sheet = await client.get(f"{base}/{invoice.id}/csv", headers=mine | {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    rows = list(csv.reader(io.StringIO(sheet.content.decode("utf-8-sig"))))
    assert rows[0] == [f"账单 {invoice.number}"]
    assert any(row and row[0] == '\'=HYPERLINK("http://x","看")' for row in rows)
    assert (await client.get(f"{base}/{invoice.id}", headers=bearer(app, operator))).status_code == 200
    assert (await client.get(f"{base}/{invoice.id}/pdf", headers=bearer(app, other))).status_code == 404
    foreign = f"/v1/organisations/{other.organisation.id}/invoices/{invoice.id}"
    assert (await client.get(foreign, headers=bearer(app, other))).status_code == 404
