"""The manual rail as the payout provider of a test's Kapok."""

import pytest

from marketplace.core.money import Money
from marketplace.payments.providers import open_gateway
from tests.factories.bank_file import BankFileBooks
from tests.factories.money import put_off
from tests.jobs import run_outbox


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
