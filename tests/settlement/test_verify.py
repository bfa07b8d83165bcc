"""Every check of `kapok ledger verify` must see the break it is there for."""

import asyncio

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli import ledger as command
from marketplace.core.ids import new_id
from marketplace.core.money import Money
from marketplace.core.settings import get_settings
from marketplace.settlement import accrual, release
from marketplace.settlement.verify import verify_everything
from tests.factories.money import ask_payout, ask_top_up, committed, earn, tamper
from tests.jobs import run_outbox
from tests.settlement.work import make_deal


@pytest.fixture
async def books(database, gateway, worker_resources):
    """Money in every place: a top-up, a request with accrued and released work, a payout at the provider."""
    deal = await make_deal(database)
    await ask_top_up(database, gateway, deal.request.organisation_id, 50_000)
    for released in (True, False):
        claim = await deal.accepted(units=10)
        async with committed(database) as session:
            await accrual.accrue(session, deal.request.id, claim.id, 1)
            if released:
                await release.release_due(session)
    worker = new_id()
    await earn(database, worker, 700)
    await run_outbox(worker_resources, only="payments.")
    await ask_payout(database, gateway, worker)
    await run_outbox(worker_resources, only="payments.")
    return deal


_DOUBLE_ENTRIES = """
    INSERT INTO sandbox_entry (id, object_id, currency, amount_minor, available_at, created_at)
    SELECT gen_random_uuid(), object_id, currency, amount_minor, now(), now() FROM sandbox_entry
"""


async def _broken(database, gateway) -> set[str]:
    async with database.sessions() as session:
        report = await verify_everything(session, gateway)
    return {check.name for check in report.checks if not check.holds}


async def test_every_check_holds_when_nothing_was_tampered_with(books, database, gateway):
    assert await _broken(database, gateway) == set()


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        ("UPDATE accrual SET amount_minor = amount_minor + 1, worker_minor = worker_minor + 1 WHERE state = 'accrued'",
         {"accruals", "contract_totals"}),
        ("UPDATE contract_accrual SET units = units + 1", {"contract_totals"}),
        ("DELETE FROM accrual WHERE state = 'released'", {"contract_totals"}),
        ("UPDATE verdict SET outcome = 'rejected'", {"paid_if_accepted"}),
        ("UPDATE payout SET amount_minor = amount_minor + 1", {"payouts"}),
        ("UPDATE payout SET state = 'cancelled'", {"payouts"}),
        ("UPDATE sandbox_entry SET amount_minor = amount_minor + 1 WHERE amount_minor > 0",
         {"provider_entries", "provider_balance"}),
        (_DOUBLE_ENTRIES, {"provider_entries", "provider_balance"}),
        ("DELETE FROM sandbox_entry", {"provider_entries", "provider_balance"}),
        ("UPDATE txn SET kind = 'gift' WHERE kind = 'accrue'", {"requests"}),
        ("UPDATE account SET balance_minor = balance_minor + 1 WHERE path LIKE 'reserved:%'",
         {"balance_rows", "requests"}),
        ("UPDATE claim SET revision = 2; UPDATE verdict SET revision = 2, created_at = '2020-01-01'",
         {"paid_if_accepted"}),
    ],
)  # fmt: skip
async def test_break_is_named_when_rows_were_changed(books, database, gateway, change, checks):
    await tamper(database, *change.split("; "))
    assert await _broken(database, gateway) == checks


async def test_provider_entry_is_no_break_when_it_is_younger_than_our_posting(books, database, gateway):
    await gateway.create_charge("k", new_id().hex, Money(10, "CNY"))
    assert await _broken(database, gateway) == set()
    await tamper(database, "UPDATE sandbox_entry SET created_at = '2020-01-01' WHERE amount_minor = 10")
    assert await _broken(database, gateway) == {"provider_entries", "provider_balance"}


@pytest.fixture
def configured(settings, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("SECRET_KEY", settings.secret_key.get_secret_value())
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


async def test_command_exits_with_one_and_names_the_break_when_the_books_are_wrong(books, database, configured):
    sound = await asyncio.to_thread(CliRunner().invoke, command.app, ["verify"])
    assert (sound.exit_code, "Everything adds up." in sound.output) == (0, True)
    await tamper(database, "UPDATE account SET balance_minor = balance_minor + 1 WHERE path LIKE 'org_cash:%'")
    broken = await asyncio.to_thread(CliRunner().invoke, command.app, ["verify"])
    assert broken.exit_code == 1
    assert "balance_rows: org_cash:" in broken.output


async def test_report_shows_every_check_with_its_figures(books, database, gateway):
    async with database.sessions() as session:
        report = await verify_everything(session, gateway)
    console = Console(record=True, width=200)
    command.show(report, console)
    shown = console.export_text()
    assert all(check.name in shown for check in report.checks)
    assert "postings CNY" in shown
