"""Clearing accounts that are not empty in time are named, and those in time are not."""

from datetime import timedelta
from uuid import UUID

import pytest

from marketplace.core.actor import Role
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.paging import PageQuery
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.settlement.clearing import Limits, old_clearing_accounts
from tests.factories.catalog import make_request
from tests.factories.identity import bearer, make_enterprise, make_operator
from tests.factories.money import committed

BANK = accounts.bank("test")

NAMED = UUID("01970000-0000-7000-8000-000000000001")  # one name for all processes of the tests


async def _move(session, path, amount, ago):
    """Put money on an account (or take it off) some time ago."""
    grows_by_credit = path.split(":")[0] in {"payout_pending", "refund_pending", "accrued"}
    onto = [debit(BANK, abs(amount)), credit(path, abs(amount))]
    off = [debit(path, abs(amount)), credit(BANK, abs(amount))]
    legs = onto if (amount > 0) == grows_by_credit else off
    await ledger.post(session, f"test:{new_id()}", "test", legs, "CNY", effective_at=now() - ago)


async def _old(session, **limits):
    page = await old_clearing_accounts(session, Limits(**limits), PageQuery())
    return {account.path: account for account in page.items}


@pytest.mark.parametrize(
    ("path", "days"),
    [
        (accounts.payout_pending(NAMED), 3),
        (accounts.refund_pending(NAMED), 3),
        (accounts.in_transit("sandbox"), 3),
        (accounts.suspense("sandbox"), 1),
    ],
)
async def test_account_is_old_when_its_money_stays_longer_than_the_limit(session, path, days):
    await _move(session, path, 70, timedelta(days=days, minutes=-5))
    assert await _old(session) == {}
    await _move(session, path, 30, timedelta(days=days, minutes=5))
    (found,) = (await _old(session)).values()
    assert (found.path, found.balance_minor, found.limit_seconds) == (path, 100, days * 24 * 3600)
    assert found.age_seconds == pytest.approx(days * 24 * 3600 + 300, abs=30)
    await _move(session, path, -100, timedelta(0))
    assert await _old(session) == {}


async def test_busy_account_is_not_old_when_what_is_left_on_it_is_young(session):
    path = accounts.in_transit("sandbox")
    await _move(session, path, 100, timedelta(days=30))
    await _move(session, path, 50, timedelta(days=1))
    assert set(await _old(session)) == {path}
    await _move(session, path, -100, timedelta(0))
    assert await _old(session) == {}


async def test_suspense_is_old_when_it_stands_on_the_other_side(session):
    path = accounts.suspense("sandbox")
    await _move(session, path, -40, timedelta(days=2))
    assert [(found.path, found.balance_minor) for found in (await _old(session)).values()] == [(path, -40)]


async def test_accrued_money_is_old_only_when_its_window_ended_two_days_ago(session):
    enterprise = await make_enterprise(session)
    week = timedelta(days=7)
    request = await make_request(session, enterprise.organisation.id, release_window_seconds=int(week.total_seconds()))
    path = accounts.accrued(request.id, new_id())
    await _move(session, path, 10, week + timedelta(days=1))
    assert await _old(session) == {}
    await _move(session, path, 10, week + timedelta(days=3))
    assert set(await _old(session)) == {path}
    assert await _old(session, accrued=timedelta(days=4)) == {}


async def test_operator_pages_through_old_accounts_and_nobody_else(client, app, database):
    async with committed(database) as session:
        operator, enterprise = await make_operator(session, Role.OPERATOR_FINANCE), await make_enterprise(session)
        for _ in range(3):
            await _move(session, accounts.payout_pending(new_id()), 10, timedelta(days=4))
    path, seen, cursor = "/v1/operator/clearing-accounts", [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(path, params=params, headers=bearer(app, operator))).json()
        seen += [row["path"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert (len(seen), len(set(seen))) == (3, 3)
    longer = await client.get(path, params={"payout_pending_days": 5}, headers=bearer(app, operator))
    assert longer.json()["items"] == []
    assert (await client.get(path, headers=bearer(app, enterprise))).status_code == 403
