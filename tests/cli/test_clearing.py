"""`kapok ledger clearing`."""

import asyncio
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from cli.main import app
from marketplace.core.clock import now
from marketplace.core.db import open_database
from marketplace.core.ids import new_id
from marketplace.core.settings import get_settings
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from workers.session import run_command


@pytest.fixture
def kapok(settings, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(app, list(arguments))
    get_settings.cache_clear()


def _leave_money(settings, ago):
    async def post(session):
        legs = [debit(accounts.bank("test"), 70), credit(accounts.payout_pending(new_id()), 70)]
        await ledger.post(session, f"test:{new_id()}", "test", legs, "CNY", effective_at=now() - ago)

    async def run():
        async with open_database(settings, hot_size=1) as database:
            await run_command(database, post)

    asyncio.run(run())


def test_command_fails_only_when_a_clearing_account_is_over_its_limit(kapok, settings):
    _leave_money(settings, timedelta(days=2))
    young = kapok("ledger", "clearing")
    assert (young.exit_code, "No clearing account" in young.output) == (0, True)
    _leave_money(settings, timedelta(days=5))
    old = kapok("ledger", "clearing")
    assert old.exit_code == 1
    assert "5.0" in old.output
