"""The daily reconciliation is kept, and names what does not match without touching the books."""

import pytest

from marketplace.core.actor import Role
from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from marketplace.ledger import accounts, queries
from tests.factories.identity import bearer, make_enterprise, make_operator
from tests.factories.money import ask_top_up, committed, tamper
from tests.jobs import run_outbox

PATH = "/v1/operator/reconciliations"


@pytest.fixture
async def finance(app, database):
    async with committed(database) as session:
        return bearer(app, await make_operator(session, Role.OPERATOR_FINANCE))


async def _reconcile(database, worker_resources) -> None:
    async with committed(database) as session:
        emit(session, "payments.reconcile", {})
    await run_outbox(worker_resources, only="payments.reconcile")


async def test_break_is_kept_and_named_when_the_provider_has_another_balance(
    client, finance, database, gateway, drive, worker_resources
):
    await ask_top_up(database, gateway, new_id(), 700)
    await drive()
    await _reconcile(database, worker_resources)
    await tamper(database, "UPDATE sandbox_entry SET amount_minor = 699")
    await _reconcile(database, worker_resources)
    listed = (await client.get(PATH, headers=finance)).json()["items"]
    assert [row["holds"] for row in listed] == [False, True]
    detail = (await client.get(f"{PATH}/{listed[0]['id']}", headers=finance)).json()
    broken = {check["name"]: check["breaks"] for check in detail["checks"] if not check["holds"]}
    assert set(broken) == {"provider_entries", "provider_balance"}
    assert broken["provider_balance"] == ["CNY: 700 by our postings, 699 at the provider"]
    async with database.sessions() as session:
        assert await queries.balance(session, accounts.psp("sandbox"), "CNY") == 700
        assert await queries.balance(session, accounts.suspense("sandbox"), "CNY") == 0


async def test_reconciliation_is_hidden_when_the_caller_is_a_tenant(app, client, database, finance):
    async with committed(database) as session:
        tenant = bearer(app, await make_enterprise(session))
    assert (await client.get(PATH, headers=tenant)).status_code == 403
    assert (await client.get(f"{PATH}/{new_id()}", headers=finance)).status_code == 404
