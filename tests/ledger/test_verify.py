"""Each check of the ledger's verification must see the break it is there for."""

from datetime import timedelta
from uuid import uuid4

import pytest

from marketplace.ledger import accounts, service
from marketplace.ledger.entries import credit, debit
from marketplace.ledger.verify import verify
from tests.factories.money import tamper

CASH, PSP = accounts.org_cash(uuid4()), accounts.psp("sandbox")


@pytest.fixture
async def posted(database):
    async with database.sessions.begin() as session:
        await service.post(session, "topup:1", "topup", [debit(PSP, 100), credit(CASH, 100)], "CNY")
        await service.post(session, "topup:2", "topup", [debit(PSP, 50), credit(CASH, 50)], "CNY")
    return database


async def _broken(database, **options) -> dict[str, list[str]]:
    async with database.sessions() as session:
        report = await verify(session, **options)
    return {check.name: check.breaks for check in report.checks if not check.holds}


async def test_every_check_holds_when_nothing_was_tampered_with(posted):
    async with posted.sessions() as session:
        report = await verify(session)
    assert report.holds
    assert {check.name: check.figures for check in report.checks}["txn_balanced"] == {"transactions": 2, "postings": 4}


async def test_sum_and_txn_are_named_when_a_posting_was_changed(posted):
    await tamper(
        posted,
        "UPDATE posting SET amount_minor = 101 WHERE amount_minor = 100",
    )
    broken = await _broken(posted)
    assert broken == {
        "sum_zero": ["CNY: all postings add up to 1"],
        "txn_balanced": ["topup:1: adds up to 1 CNY"],
    }


async def test_txn_is_named_when_its_postings_were_deleted(posted):
    await tamper(posted, "DELETE FROM posting USING txn WHERE txn.id = txn_id AND key = 'topup:2'")
    broken = await _broken(posted)
    assert broken["txn_balanced"] == ["topup:2: has no postings"]
    assert broken["balance_rows"] == [f"{CASH}: row says 150 CNY, postings say -100"]


async def test_account_is_named_when_its_balance_row_was_changed(posted):
    await tamper(posted, "UPDATE account SET balance_minor = 151 WHERE guarded")
    assert await _broken(posted) == {"balance_rows": [f"{CASH}: row says 151 CNY, postings say -150"]}


async def test_account_is_named_when_its_postings_fall_below_zero(posted):
    await tamper(
        posted,
        "UPDATE posting SET amount_minor = -amount_minor",
    )
    broken = await _broken(posted)
    assert broken["never_negative"] == [f"{CASH}: postings come to -150 CNY"]


async def test_clearing_account_is_named_when_money_stays_too_long(posted):
    pending = accounts.payout_pending(uuid4())
    async with posted.sessions.begin() as session:
        await service.post(session, "p", "payout.reserve", [debit(CASH, 7), credit(pending, 7)], "CNY")
    assert await _broken(posted) == {}
    broken = await _broken(posted, clearing_limit=timedelta(0))
    assert [line.split(" since")[0] for line in broken["clearing"]] == [f"{pending}: -7 CNY"]
