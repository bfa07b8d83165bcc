"""An enterprise's money per request, and receipts of what came in and went back."""

from dataclasses import replace

import pytest
from sqlalchemy import event

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import RefundTo, RequestState
from marketplace.core.paging import PageQuery
from marketplace.settlement import accrual, closing, funding, queries, release
from marketplace.settlement.request_balances import request_balances
from tests.factories.catalog import make_request
from tests.factories.identity import bearer, make_enterprise
from tests.factories.money import ask_top_up, committed
from tests.jobs import run_outbox
from tests.settlement.papers import ENTITY
from tests.settlement.work import BUDGET, make_deal, put_cash


@pytest.fixture
def issuer(app, settings):
    """The app with a legal entity."""
    shared = app.state.resources
    app.state.resources = replace(shared, settings=shared.settings.model_copy(update=ENTITY))
    return app


async def _accrue(deal, units, *, to_release):
    claim = await deal.accepted(units=units)
    async with committed(deal.database) as session:
        await accrual.accrue(session, deal.request.id, claim.id, 1)
    if to_release:
        async with committed(deal.database) as session:
            await release.release_due(session, deal.request.id)


async def test_requests_show_where_each_minor_unit_is_when_some_is_released_and_some_given_back(database):
    deal = await make_deal(database, contract={"unit_price": 1_000_000, "platform_fee_bps": 1000})
    await _accrue(deal, 10, to_release=True)
    await _accrue(deal, 3, to_release=False)
    async with database.sessions() as session:
        (line,) = (await request_balances(session, deal.request.organisation_id, PageQuery())).items
    parts = (line.reserved_minor, line.accrued_minor, line.released_minor, line.fee_minor, line.given_back_minor)
    assert parts == (BUDGET - 1300, 300, 1000, 100, 0)
    async with committed(database) as session:
        await release.release_due(session)
        (await session.get_one(DatasetRequest, deal.request.id)).state = RequestState.DELIVERED
    async with committed(database) as session:
        assert await closing.settle_request(session, deal.request.id)
    async with database.sessions() as session:
        (line,) = (await request_balances(session, deal.request.organisation_id, PageQuery())).items
        money = await queries.money_of_request(session, await session.get_one(DatasetRequest, deal.request.id))
    assert (line.reserved_minor, line.released_minor, line.given_back_minor) == (0, 1300, BUDGET - 1300)
    assert line.given_back_minor == money.refunded_minor


async def test_page_of_requests_takes_one_query_when_there_are_many(database):
    async with committed(database) as session:
        enterprise = await make_enterprise(session)
        await put_cash(session, enterprise.organisation.id, 5 * BUDGET)
        for _ in range(5):
            request = await make_request(session, enterprise.organisation.id, budget_minor=BUDGET)
            await funding.fund(session, enterprise.actor, request.id, BUDGET)
    asked = []
    async with database.sessions() as session:
        connection = await session.connection()
        event.listen(connection.sync_connection, "before_cursor_execute", lambda *call: asked.append(call[2]))
        page = await request_balances(session, enterprise.organisation.id, PageQuery(limit=3))
        rest = await request_balances(session, enterprise.organisation.id, PageQuery(cursor=page.next_cursor))
    assert len(asked) == 2
    assert ([line.reserved_minor for line in page.items + rest.items], rest.next_cursor) == ([BUDGET] * 5, None)


async def test_receipts_are_given_when_money_came_in_and_went_back(client, issuer, database, gateway, worker_resources):
    async with committed(database) as session:
        enterprise, other = await make_enterprise(session), await make_enterprise(session)
    charge = await ask_top_up(database, gateway, enterprise.organisation.id, BUDGET)
    headers = bearer(issuer, enterprise)
    base = f"/v1/organisations/{enterprise.organisation.id}"
    early = await client.get(f"{base}/top-ups/{charge.id}/receipt", headers=headers)
    assert (early.status_code, early.json()["code"]) == (409, "receipt_not_yet")
    await run_outbox(worker_resources, only="payments.")
    for locale in ("zh-CN", "en"):
        receipt = await client.get(f"{base}/top-ups/{charge.id}/receipt?locale={locale}", headers=headers)
        assert receipt.content.startswith(b"%PDF-"), receipt.text
    foreign = await client.get(f"{base}/top-ups/{charge.id}/receipt", headers=bearer(issuer, other))
    assert foreign.status_code == 404
    async with committed(database) as session:
        request = await make_request(
            session, enterprise.organisation.id, budget_minor=BUDGET, refund_to=RefundTo.SOURCE
        )
        await funding.fund(session, enterprise.actor, request.id, BUDGET)
        (await session.get_one(DatasetRequest, request.id)).state = RequestState.CANCELLED
    async with committed(database) as session:
        await closing.refund_cancelled(session, request.id)
    await run_outbox(worker_resources, only="payments.")
    (refund,) = (await client.get(f"{base}/refunds", headers=headers)).json()["items"]
    assert (refund["amount_minor"], refund["state"]) == (BUDGET, "done")
    receipt = await client.get(f"{base}/refunds/{refund['id']}/receipt", headers=headers)
    assert receipt.content.startswith(b"%PDF-")
    unknown = await client.get(f"{base}/refunds/{charge.id}/receipt", headers=headers)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "receipt_unknown")


async def test_receipt_says_which_setting_is_missing_when_there_is_no_legal_entity(
    client, app, database, gateway, worker_resources
):
    async with committed(database) as session:
        enterprise = await make_enterprise(session)
    charge = await ask_top_up(database, gateway, enterprise.organisation.id, BUDGET)
    await run_outbox(worker_resources, only="payments.")
    path = f"/v1/organisations/{enterprise.organisation.id}/top-ups/{charge.id}/receipt"
    answer = await client.get(path, headers=bearer(app, enterprise))
    assert (answer.status_code, answer.json()["code"]) == (503, "papers_not_set_up")
    assert "OPERATOR_TAX_ID" in answer.json()["detail"]
