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
from marketplace.core.ids import new_id
from marketplace.core.papers.language import Language
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.settlement import accrual, invoices, release
from marketplace.settlement.errors import PapersNotSetUp
from marketplace.settlement.invoice_check import check_invoices
from marketplace.settlement.models import Accrual
from marketplace.settlement.paper_models import Invoice, InvoiceKind
from marketplace.settlement.papers.invoice import invoice_paper
from marketplace.settlement.papers.pdf import draw_pdf
from tests.factories.identity import bearer, make_enterprise, make_operator
from tests.factories.money import committed, tamper
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
        of = deal.request.organisation_id
        made = await invoices.issue_invoices(session, settings, of, "CNY", month or _month(1))
    return made[0] if made else None


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


async def test_nothing_more_is_issued_when_an_invoice_is_asked_for_again(database, entity):
    deal = await make_deal(database)
    await released(deal)
    assert (await issue(database, entity, deal)).sequence == 1
    assert await issue(database, entity, deal) is None


async def test_nothing_is_issued_when_the_month_had_no_work(database, entity):
    deal = await make_deal(database)
    assert await issue(database, entity, deal) is None


async def test_numbers_have_no_gap_when_eight_are_issued_at_once_and_one_is_rolled_back(database, entity):
    deals = [await make_deal(database) for _ in range(9)]
    for deal in deals:
        await released(deal)

    async def fail():
        async with committed(database) as session:
            await invoices.issue_invoices(session, entity, deals[8].request.organisation_id, "CNY", _month(1))
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
    assert [row.sequence for row in issued if row is not None] == [1]


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


async def book(deal, kind, amount, at, **facts):
    """Book what an enterprise pays a worker beside the work, or gets back when it is negative."""
    cash, worker = accounts.org_cash(deal.request.organisation_id), accounts.worker(deal.request.id)
    legs = [debit(cash, amount), credit(worker, amount)]
    if amount < 0:
        legs = [debit(worker, -amount), credit(cash, -amount)]
    told = {"request_id": str(deal.request.id)} | facts
    async with committed(deal.database) as session:
        return await ledger.post(session, f"{kind}:{new_id()}", kind, legs, "CNY", effective_at=at, facts=told)


def noon(months_ago):
    """Noon of the fifteenth of an earlier month."""
    return now().replace(year=_month(months_ago).year, month=_month(months_ago).month, day=15, hour=12)


async def test_bonus_is_a_line_when_it_was_given_in_the_month(database, entity):
    deal = await make_deal(database, contract={"unit_price": 1_000_000, "platform_fee_bps": 1000})
    await released(deal, 10)
    await book(deal, "bonus", 70, noon(1), reason="好")
    await book(deal, "bonus", 999, noon(2))
    invoice = await issue(database, entity, deal)
    assert (invoice.work_minor, invoice.fee_minor, invoice.total_minor) == (970, 100, 1070)
    async with database.sessions() as session:
        lines = await invoices.lines_of(session, invoice)
    assert [(line.kind, line.amount_minor) for line in lines] == [("work", 1000), ("bonus", 70)]


async def test_top_up_to_the_minimum_is_a_line_when_it_was_paid_in_the_month(database, entity):
    deal = await make_deal(database)
    await book(deal, "minimum_pay", 70, noon(1))
    async with committed(database) as session:
        assert await invoices.ask_due_invoices(session, entity) == 1
    invoice = await issue(database, entity, deal)
    async with database.sessions() as session:
        lines = await invoices.lines_of(session, invoice)
    assert [(line.kind, line.amount_minor) for line in lines] == [("minimum_pay", 70)]


async def test_credit_note_corrects_the_invoice_of_the_work_when_it_was_clawed_back_later(database, entity):
    deal = await make_deal(database, contract={"unit_price": 1_000_000, "platform_fee_bps": 1000})
    claim = await released(deal, 10, months_ago=2)
    first = await issue(database, entity, deal, _month(2))
    await book(deal, "bonus", 5000, noon(3))
    await book(deal, "claw_back", -400, noon(1), claim_id=str(claim.id), revision=1)
    async with committed(database) as session:
        # the bonus of three months ago is not invoiced; the claw-back is, of an invoice that stands
        assert await invoices.ask_due_invoices(session, entity) == 2
    note = await issue(database, entity, deal)
    assert (note.kind, note.corrects, note.total_minor) == (InvoiceKind.CREDIT_NOTE, first.id, -400)
    assert (note.sequence, note.year) == (first.sequence + 1, first.year)
    assert await issue(database, entity, deal) is None
    async with database.sessions() as session:
        (line,) = await invoices.lines_of(session, note)
        paper = invoice_paper(note, [line], first, Language.ZH)
    assert (line.kind, line.contract_id, line.amount_minor) == ("claw_back", deal.contract.id, -400)
    assert ("对应账单", first.number) in paper.facts
    assert draw_pdf(paper).startswith(b"%PDF-")


async def test_reversed_bonus_is_credited_when_both_fall_in_one_month(database, entity):
    deal = await make_deal(database)
    bonus = await book(deal, "bonus", 70, noon(1))
    cash, worker = accounts.org_cash(deal.request.organisation_id), accounts.worker(deal.request.id)
    async with committed(database) as session:
        legs = [debit(worker, 70), credit(cash, 70)]
        await ledger.post(session, "undo", "reverse", legs, "CNY", effective_at=noon(1), reverses=bonus.id)
    async with committed(database) as session:
        of = deal.request.organisation_id
        made = await invoices.issue_invoices(session, entity, of, "CNY", _month(1))
    assert [(one.kind, one.total_minor) for one in made] == [("invoice", 70), ("credit_note", -70)]
    assert made[1].corrects == made[0].id


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


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("DELETE FROM invoice WHERE sequence = 1", "highest number 2"),
        ("UPDATE invoice_counter SET last_number = 3", "counter at 3"),
        ("UPDATE invoice_line SET work_minor = work_minor + 1, amount_minor = amount_minor + 1", "something else"),
    ],
)
async def test_verify_names_the_break_when_an_invoice_was_tampered_with(database, entity, change, told):
    deals = [await make_deal(database), await make_deal(database)]
    for deal in deals:
        await released(deal)
        await issue(database, entity, deal)
    async with database.sessions() as session:
        assert (await check_invoices(session)).breaks == []
    await tamper(database, change)
    async with database.sessions() as session:
        assert told in (await check_invoices(session)).breaks[0]
