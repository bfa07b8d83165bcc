"""Funding and the money of a request over HTTP."""

from marketplace.core.ids import new_id
from tests.factories.catalog import make_request
from tests.factories.identity import bearer, make_enterprise
from tests.factories.money import committed
from tests.settlement.work import BUDGET, put_cash


async def test_draft_is_funded_once_when_the_call_is_repeated(client, app, database):
    async with committed(database) as session:
        enterprise = await make_enterprise(session)
        request = await make_request(session, enterprise.organisation.id, budget_minor=BUDGET)
        await put_cash(session, enterprise.organisation.id, 3 * BUDGET)
    headers = bearer(app, enterprise)
    once = headers | {"Idempotency-Key": str(new_id())}
    path = f"/v1/requests/{request.id}"
    answers = [await client.post(f"{path}/fund", json={"amount_minor": BUDGET}, headers=once) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    money = (await client.get(f"{path}/money", headers=headers)).json()
    assert answers[0].json() == answers[1].json() == money
    assert (money["funded_minor"], money["reserved_minor"], money["spent_minor"]) == (BUDGET, BUDGET, 0)
    balance = await client.get(f"/v1/organisations/{enterprise.organisation.id}/balance", headers=headers)
    assert balance.json() == [
        {"currency": "CNY", "available_minor": 2 * BUDGET, "reserved_minor": BUDGET, "accrued_minor": 0}
    ]


async def test_request_of_another_enterprise_is_not_found_when_funded(client, app, database):
    async with committed(database) as session:
        owner, other = await make_enterprise(session), await make_enterprise(session)
        request = await make_request(session, owner.organisation.id)
    headers = bearer(app, other) | {"Idempotency-Key": "k"}
    funded = await client.post(f"/v1/requests/{request.id}/fund", json={"amount_minor": BUDGET}, headers=headers)
    assert funded.status_code == 404
    assert (await client.get(f"/v1/requests/{request.id}/money", headers=bearer(app, other))).status_code == 404
