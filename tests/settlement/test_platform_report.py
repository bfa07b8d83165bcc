"""The quarterly report of a platform: who was paid how much, and whose identity is not complete."""

import csv
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from sqlmodel import select
from typer.testing import CliRunner

from cli.main import app as kapok
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.settings import get_settings
from marketplace.identity.models import Person
from marketplace.payments import outcomes
from marketplace.payments.states import Subject
from marketplace.payments.subjects import lock_subject
from marketplace.settlement.platform_report import as_csv, lines_of, quarter
from marketplace.vetting.models import Paper, VettingFile
from marketplace.vetting.states import PaperKind
from tests.factories.identity import make_approved_worker
from tests.factories.money import ask_payout, committed, earn

ZONE = ZoneInfo("Asia/Shanghai")


def _middle_of(month: int) -> time_machine.travel:
    return time_machine.travel(now().replace(month=month, day=15), tick=True)


async def _worker(database, *, paper: bool):
    async with committed(database) as session:
        person = (await make_approved_worker(session)).person
        if paper:
            file = (await session.exec(select(VettingFile).where(VettingFile.subject_id == person.id))).one()
            session.add(
                Paper(
                    subject_id=person.id, file_id=file.id, kind=PaperKind.IDENTITY_DOCUMENT, uploaded_by=person.id,
                    filename="id.pdf", media_type="application/pdf", size_bytes=4, sha256="a" * 64, object_key="k",
                )
            )  # fmt: skip
    return person.id


async def _pay(database, gateway, worker, amount, month):
    with _middle_of(month):
        await earn(database, worker, amount)
        return await ask_payout(database, gateway, worker)


async def _second_quarter(database):
    async with database.sessions() as session:
        return await lines_of(session, *quarter(now().year, 2, ZONE))


@pytest.mark.usefixtures("taxed")
async def test_report_adds_up_the_payouts_of_its_quarter_when_others_lie_around(database, gateway):
    """By hand: per payment, of 3,000.00 the tax is 440.00 (money.md §7)."""
    worker = await _worker(database, paper=True)
    for month in (3, 4, 6, 7):
        await _pay(database, gateway, worker, 300_000, month)
    returned = await _pay(database, gateway, worker, 100_000, 5)
    async with committed(database) as session:
        await outcomes.restore(session, await lock_subject(session, Subject.PAYOUT, returned.id), "test")
    (line,) = await _second_quarter(database)
    assert (line.owner_id, line.payouts, line.country, line.region) == (worker, 2, "CN", "CN-GX")
    assert (line.gross_minor, line.tax_minor, line.net_minor) == (600_000, 88_000, 512_000)
    assert line.missing() == []


async def test_payee_is_named_when_something_of_the_identity_is_missing(database, gateway):
    await _pay(database, gateway, await _worker(database, paper=False), 100, 5)
    await _pay(database, gateway, new_id(), 100, 5)
    found = sorted((line.missing() for line in await _second_quarter(database)), key=len)
    paper = "vetted identity paper or business licence"
    assert found == [[paper], ["name", "country", paper]]


async def test_name_stays_text_when_a_spreadsheet_would_take_it_for_a_formula(database, gateway):
    worker = await _worker(database, paper=True)
    async with committed(database) as session:
        (await session.get_one(Person, worker)).display_name = "=1+1"
    await _pay(database, gateway, worker, 100, 5)
    (row,) = csv.DictReader(as_csv(await _second_quarter(database)).splitlines())
    assert (row["name"], row["gross_minor"], row["missing"]) == ("'=1+1", "100", "")


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_quarters_follow_each_other_without_a_gap(number):
    begins, ends = quarter(now().year, number, ZONE)
    assert ends == quarter(now().year + number // 4, number % 4 + 1, ZONE)[0]
    assert timedelta(days=89) < ends - begins < timedelta(days=93)


@pytest.fixture(params=[True, False])
async def complete(request, database, gateway):
    """Whether the one payee's identity is complete."""
    await _pay(database, gateway, await _worker(database, paper=request.param), 100, 5)
    return request.param


def test_command_writes_the_file_and_fails_when_a_line_is_not_complete(complete, settings, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    get_settings.cache_clear()
    out = tmp_path / "report.csv"
    command = ["report", "platform", "--year", str(now().year), "--quarter", "2", "--out", str(out)]
    result = CliRunner().invoke(kapok, command)
    get_settings.cache_clear()
    assert result.exit_code == (0 if complete else 1), result.output
    assert ("1 of 1 lines are not complete" in result.output) is not complete
    (row,) = csv.DictReader(out.read_text(encoding="utf-8-sig").splitlines())
    assert (row["gross_minor"], row["missing"] == "") == ("100", complete)
