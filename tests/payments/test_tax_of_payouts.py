"""Tax on payouts, in the ledger."""

import pytest

from marketplace.core.ids import new_id
from marketplace.ledger import accounts, queries, verify
from marketplace.payments import outcomes
from marketplace.payments.models import Payout
from marketplace.payments.reconcile import reconcile
from marketplace.payments.states import Subject
from marketplace.payments.subjects import lock_subject
from tests.factories.money import ask_payout, committed, earn


async def _balance(database, path: str) -> int:
    async with database.sessions() as session:
        return await queries.balance(session, path, "CNY")


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
    async with committed(database) as session:
        row: Payout = await lock_subject(session, Subject.PAYOUT, payout.id)
        await outcomes.restore(session, row, "test")
    assert await _balance(database, accounts.tax("cn")) == 0
    assert await _balance(database, accounts.worker(worker)) == 300_000
    async with database.sessions() as session:
        assert (await verify.verify(session)).holds
        assert all(check.holds for check in await reconcile(session, gateway))
