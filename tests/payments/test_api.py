"""Money over HTTP: who may, what is answered, and that a repeated call moves nothing twice."""

import httpx
import pytest

from marketplace.core.actor import Role
from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from tests.factories.identity import bearer, make_approved_worker, make_enterprise, make_member, make_vendor
from tests.factories.money import committed, earn
from tests.jobs import run_outbox


def _key() -> dict[str, str]:
    return {"Idempotency-Key": str(new_id())}


@pytest.fixture
async def enterprise(database):
    async with committed(database) as session:
        return await make_enterprise(session)


@pytest.fixture
async def worker(database):
    async with committed(database) as session:
        return await make_approved_worker(session)


@pytest.fixture
async def vendor(database):
    async with committed(database) as session:
        return await make_vendor(session)


async def _top_up(client, app, party, amount: int, **headers) -> httpx.Response:
    path = f"/v1/organisations/{party.organisation.id}/top-ups"
    body = {"amount_minor": amount, "currency": "CNY"}
    return await client.post(path, json=body, headers=bearer(app, party) | (headers or _key()))


async def test_balance_grows_once_when_a_top_up_is_repeated_with_its_key(client, app, enterprise, worker_resources):
    key = _key()
    answers = [await _top_up(client, app, enterprise, 5000, **key) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    await run_outbox(worker_resources, only="payments.")
    base, headers = f"/v1/organisations/{enterprise.organisation.id}", bearer(app, enterprise)
    top_up = await client.get(f"{base}/top-ups/{answers[0].json()['id']}", headers=headers)
    assert top_up.json()["state"] == "succeeded"
    listed = await client.get(f"{base}/top-ups", headers=headers)
    assert [row["id"] for row in listed.json()["items"]] == [top_up.json()["id"]]
    balance = await client.get(f"{base}/balance", headers=headers)
    assert balance.json() == [{"currency": "CNY", "available_minor": 5000, "reserved_minor": 0, "accrued_minor": 0}]
    statement = await client.get(f"{base}/statement", params={"currency": "CNY"}, headers=headers)
    assert [(row["kind"], row["amount_minor"]) for row in statement.json()["items"]] == [("topup", 5000)]


async def test_top_up_is_refused_when_the_key_is_missing_or_comes_with_another_body(client, app, enterprise):
    path = f"/v1/organisations/{enterprise.organisation.id}/top-ups"
    body = {"amount_minor": 1, "currency": "CNY"}
    bare = await client.post(path, json=body, headers=bearer(app, enterprise))
    assert (bare.status_code, bare.json()["code"]) == (400, "idempotency_key_missing")
    key = _key()
    await _top_up(client, app, enterprise, 1, **key)
    other = await _top_up(client, app, enterprise, 2, **key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


@pytest.mark.parametrize("amount", [0, -1, 1.5, 10**15, "many"])
async def test_top_up_is_refused_when_the_amount_is_not_one(client, app, enterprise, amount):
    assert (await _top_up(client, app, enterprise, amount)).status_code == 422


async def test_top_up_is_refused_when_the_currency_is_unknown(client, app, enterprise):
    path = f"/v1/organisations/{enterprise.organisation.id}/top-ups"
    answer = await client.post(
        path, json={"amount_minor": 1, "currency": "XXX"}, headers=bearer(app, enterprise) | _key()
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "currency_unknown")


async def test_money_of_another_tenant_is_not_found(client, app, enterprise, database):
    async with committed(database) as session:
        other = await make_enterprise(session)
    mine = await _top_up(client, app, enterprise, 5)
    base, headers = f"/v1/organisations/{enterprise.organisation.id}", bearer(app, other)
    for path in ("balance", "top-ups", f"top-ups/{mine.json()['id']}", "statement?currency=CNY"):
        assert (await client.get(f"{base}/{path}", headers=headers)).status_code == 404, path
    foreign = f"/v1/organisations/{other.organisation.id}/top-ups/{mine.json()['id']}"
    assert (await client.get(foreign, headers=headers)).status_code == 404


async def test_top_up_is_forbidden_when_the_role_may_not_move_money(client, app, enterprise, database):
    async with committed(database) as session:
        manager = await make_member(session, enterprise.organisation, Role.MANAGER)
    answer = await _top_up(client, app, manager, 5)
    assert answer.status_code == 403


async def test_worker_is_paid_out_when_asking_for_all(client, app, enterprise, worker, database, worker_resources):
    await _top_up(client, app, enterprise, 100_000)
    await earn(database, worker.person.id, 800)
    headers = bearer(app, worker)
    earnings = await client.get("/v1/me/earnings", headers=headers)
    assert earnings.json() == [
        {"currency": "CNY", "pending_minor": 0, "cleared_minor": 800, "on_the_way_minor": 0, "paid_minor": 0}
    ]
    asked = await client.post("/v1/me/payouts", json={"currency": "CNY"}, headers=headers | _key())
    assert (asked.status_code, asked.json()["state"], asked.json()["amount_minor"]) == (201, "reserved", 800)
    moving = (await client.get("/v1/me/earnings", headers=headers)).json()[0]
    assert (moving["cleared_minor"], moving["on_the_way_minor"]) == (0, 800)
    for kind in ("payments.", "sandbox.advance", "payments."):
        await run_outbox(worker_resources, only=kind)
    payout = await client.get(f"/v1/me/payouts/{asked.json()['id']}", headers=headers)
    assert payout.json()["state"] == "submitted"  # the bank's answer comes by webhook
    statement = (await client.get("/v1/me/statement", params={"currency": "CNY"}, headers=headers)).json()
    assert [row["amount_minor"] for row in statement["items"]] == [-800, 800]


async def test_payout_is_refused_when_there_is_too_little(client, app, worker, database):
    await earn(database, worker.person.id, 100)
    headers = bearer(app, worker)
    body = {"currency": "CNY", "amount_minor": 101}
    more = await client.post("/v1/me/payouts", json=body, headers=headers | _key())
    assert (more.status_code, more.json()["code"]) == (409, "insufficient_funds")
    other = await client.post("/v1/me/payouts", json={"currency": "USD"}, headers=headers | _key())
    assert (other.status_code, other.json()["code"]) == (409, "nothing_to_pay_out")
    assert (await client.get("/v1/me/payouts", headers=headers)).json()["items"] == []


async def test_payout_of_another_is_not_found(client, app, worker, vendor, database):
    await earn(database, worker.person.id, 100)
    asked = await client.post("/v1/me/payouts", json={"currency": "CNY"}, headers=bearer(app, worker) | _key())
    path = f"/v1/organisations/{vendor.organisation.id}/payouts/{asked.json()['id']}"
    assert (await client.get(path, headers=bearer(app, vendor))).status_code == 404


async def test_cleared_money_is_paid_out_by_itself_when_the_payee_wants_that(
    client, app, enterprise, worker, database, worker_resources
):
    await _top_up(client, app, enterprise, 100_000)
    await run_outbox(worker_resources, only="payments.")
    headers = bearer(app, worker)
    answer = await client.put("/v1/me/payout-settings", json={"auto_payout": True}, headers=headers)
    assert answer.json() == {"auto_payout": True}
    await run_outbox(worker_resources, only="payments.")
    await earn(database, worker.person.id, 300)
    await _plan(database, worker_resources)
    await _plan(database, worker_resources)
    payouts = (await client.get("/v1/me/payouts", headers=headers)).json()["items"]
    assert [row["amount_minor"] for row in payouts] == [300]
    await client.put("/v1/me/payout-settings", json={"auto_payout": False}, headers=headers)
    await earn(database, worker.person.id, 200)
    await _plan(database, worker_resources)
    assert len((await client.get("/v1/me/payouts", headers=headers)).json()["items"]) == 1


async def _plan(database, worker_resources) -> None:
    async with committed(database) as session:
        emit(session, "payments.plan_payouts", {})
    await run_outbox(worker_resources, only="payments.")


async def test_vendor_sees_and_draws_its_own_money(client, app, vendor, database):
    headers, base = bearer(app, vendor), f"/v1/organisations/{vendor.organisation.id}"
    assert (await client.get(f"{base}/earnings", headers=headers)).json() == []
    assert (await client.get(f"{base}/balance", headers=headers)).json() == []
    asked = await client.post(f"{base}/payouts", json={"currency": "CNY"}, headers=headers | _key())
    assert (asked.status_code, asked.json()["code"]) == (409, "nothing_to_pay_out")
    settings = await client.put(f"{base}/payout-settings", json={"auto_payout": True}, headers=headers)
    assert settings.json() == {"auto_payout": True}
    assert (await client.get(f"{base}/payouts", headers=headers)).json() == {"items": [], "next_cursor": None}
