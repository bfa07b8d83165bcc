"""Pause switches: what is paused sends nothing, what the provider says still counts, and who waits sees why."""

import pytest
from sqlmodel import select

from marketplace.audit.models import AuditEntry
from marketplace.core.actor import Role
from marketplace.core.ids import new_id
from marketplace.core.money import Money
from marketplace.payments.models import Charge, Payout, ProviderCall
from marketplace.payments.sandbox.faults import Fault
from marketplace.payments.states import CallState, ChargeState, Leg, PayoutState
from tests.factories.identity import bearer, make_approved_worker, make_enterprise, make_operator, make_vendor
from tests.factories.money import ask_payout, ask_top_up, committed, earn, put_off, remote_objects, row_of
from tests.jobs import run_outbox

PATH = "/v1/operator/payment-pauses"
WHY = "the bank asked us to wait"


@pytest.fixture
async def finance(app, database):
    async with committed(database) as session:
        return bearer(app, await make_operator(session, Role.OPERATOR_FINANCE))


@pytest.fixture
async def worker(database):
    async with committed(database) as session:
        return await make_approved_worker(session)


@pytest.fixture
def pause(client, finance):
    async def act(scope, target):
        answer = await client.post(PATH, json={"scope": scope, "target": str(target), "reason": WHY}, headers=finance)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    return act


@pytest.fixture
def lift(client, finance):
    async def act(pause_id):
        answer = await client.post(f"{PATH}/{pause_id}/lift", json={"reason": "all is well"}, headers=finance)
        assert answer.status_code == 200, answer.text

    return act


async def _pass_time(database, worker_resources, rounds=3) -> None:
    for _ in range(rounds):
        await put_off(database)
        for kind in ("payments.", "sandbox.advance"):
            await run_outbox(worker_resources, only=kind)


async def _calls(database, subject_id) -> list[ProviderCall]:
    async with database.sessions() as session:
        return list((await session.exec(select(ProviderCall).where(ProviderCall.subject_id == subject_id))).all())


@pytest.mark.parametrize("scope", ["provider", "payee"])
async def test_no_call_is_planned_until_the_pause_is_lifted_when_a_payout_is_reserved(
    database, gateway, drive, worker, worker_resources, pause, lift, scope
):
    await ask_top_up(database, gateway, new_id(), 100_000)
    await drive()
    await earn(database, worker.person.id, 800)
    payout = await ask_payout(database, gateway, worker.person.id)
    pause_id = await pause(scope, "sandbox" if scope == "provider" else worker.person.id)
    await _pass_time(database, worker_resources)
    assert await _calls(database, payout.id) == []
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.RESERVED
    await lift(pause_id)
    await run_outbox(worker_resources, only="payments.")  # no time passes: it is woken
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.SUBMITTED


async def test_other_payees_are_paid_when_one_is_paused(database, gateway, drive, worker, worker_resources, pause):
    await ask_top_up(database, gateway, new_id(), 100_000)
    await drive()
    other = new_id()
    for owner in (worker.person.id, other):
        await earn(database, owner, 800)
    mine = await ask_payout(database, gateway, worker.person.id)
    theirs = await ask_payout(database, gateway, other)
    await pause("payee", worker.person.id)
    await _pass_time(database, worker_resources)
    assert (await row_of(database, Payout, mine.id)).state is PayoutState.RESERVED
    assert (await row_of(database, Payout, theirs.id)).state is PayoutState.SUBMITTED


async def test_planned_call_is_not_sent_when_the_pause_comes_before_it(
    database, gateway, worker_resources, pause, lift
):
    organisation = await _enterprise(database)
    charge = await ask_top_up(database, gateway, organisation, 700)
    await run_outbox(worker_resources, only="payments.advance")
    pause_id = await pause("organisation", organisation)
    await _pass_time(database, worker_resources)
    assert await remote_objects(database, Leg.CHARGE, charge.id.hex) == []
    assert [call.state for call in await _calls(database, charge.id)] == [CallState.SENDING]
    await lift(pause_id)
    await run_outbox(worker_resources, only="payments.")
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.SUCCEEDED
    assert [call.attempt for call in await _calls(database, charge.id)] == [1]


async def _enterprise(database):
    async with committed(database) as session:
        return (await make_enterprise(session)).organisation.id


async def test_outcome_is_still_found_when_the_target_is_paused_after_the_answer_was_lost(
    database, gateway, faults, worker_resources, pause
):
    organisation = await _enterprise(database)
    charge = await ask_top_up(database, gateway, organisation, 700)
    faults.plan(Fault.LOST_RESPONSE)
    await run_outbox(worker_resources, only="payments.advance")
    await run_outbox(worker_resources, only="payments.send")
    assert [call.state for call in await _calls(database, charge.id)] == [CallState.UNKNOWN]
    await pause("organisation", organisation)
    await _pass_time(database, worker_resources)
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.SUCCEEDED


async def test_effect_of_a_killed_sender_is_adopted_when_the_target_was_paused_since(
    database, gateway, worker_resources, pause
):
    """The job died after the provider had the call: it stands as planned, and money moved."""
    organisation = await _enterprise(database)
    charge = await ask_top_up(database, gateway, organisation, 700)
    await run_outbox(worker_resources, only="payments.advance")
    (call,) = await _calls(database, charge.id)
    await pause("organisation", organisation)
    await gateway.create_charge(call.key, call.ref, Money(700, "CNY"))
    await _pass_time(database, worker_resources)
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.SUCCEEDED
    assert len(await remote_objects(database, Leg.CHARGE, charge.id.hex)) == 1


async def test_payee_and_enterprise_see_why_their_money_waits(client, app, database, worker, pause, lift):
    async with committed(database) as session:
        enterprise, vendor = await make_enterprise(session), await make_vendor(session)
    paths = {
        "/v1/me/money-status": bearer(app, worker),
        f"/v1/organisations/{enterprise.organisation.id}/money-status": bearer(app, enterprise),
        f"/v1/organisations/{vendor.organisation.id}/money-status": bearer(app, vendor),
    }
    for path, headers in paths.items():
        assert (await client.get(path, headers=headers)).json() == {
            "provider": "sandbox", "payee_state": None, "moving": True, "holds": [],
        }  # fmt: skip
    targets = (("payee", worker.person.id), ("organisation", enterprise.organisation.id))
    for scope, target in (*targets, ("organisation", vendor.organisation.id)):
        await pause(scope, target)
    for path, headers in paths.items():
        seen = (await client.get(path, headers=headers)).json()
        assert (seen["moving"], [(hold["reason"], hold["detail"]) for hold in seen["holds"]]) == (
            False,
            [("paused", WHY)],
        )


async def test_payout_is_refused_with_the_reason_when_the_payee_is_paused(client, app, database, worker, pause):
    await earn(database, worker.person.id, 800)
    await pause("payee", worker.person.id)
    headers = bearer(app, worker) | {"Idempotency-Key": str(new_id())}
    answer = await client.post("/v1/me/payouts", json={"currency": "CNY"}, headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (409, "payouts_paused", WHY)
    balance = (await client.get("/v1/me/balance", headers=bearer(app, worker))).json()
    assert balance[0]["available_minor"] == 800


async def test_pause_stands_once_and_leaves_a_trail_when_it_is_lifted(client, finance, database, worker, pause, lift):
    pause_id = await pause("payee", worker.person.id)
    body = {"scope": "payee", "target": str(worker.person.id), "reason": "once more"}
    again = await client.post(PATH, json=body, headers=finance)
    assert (again.status_code, again.json()["code"]) == (409, "already_paused")
    await lift(pause_id)
    twice = await client.post(f"{PATH}/{pause_id}/lift", json={"reason": "once more"}, headers=finance)
    assert (twice.status_code, twice.json()["code"]) == (409, "pause_lifted")
    assert (await client.get(PATH, headers=finance)).json()["items"] == []
    (old,) = (await client.get(PATH, params={"standing": False}, headers=finance)).json()["items"]
    assert (old["id"], old["lifted_at"] is None, old["lifted_by"]) == (pause_id, False, old["by"])
    async with database.sessions() as session:
        trail = await session.exec(
            select(AuditEntry).where(AuditEntry.subject == f"payee:{worker.person.id}").order_by(AuditEntry.id)
        )
        assert [(row.action, row.facts["reason"]) for row in trail] == [
            ("payment.pause", WHY), ("payment.lift", "all is well"),
        ]  # fmt: skip
    await pause("payee", worker.person.id)  # may be paused again


@pytest.mark.parametrize(("scope", "target"), [("provider", "nobody"), ("payee", "x"), ("organisation", new_id())])
async def test_pause_is_refused_when_there_is_no_such_target(client, finance, scope, target):
    body = {"scope": scope, "target": str(target), "reason": WHY}
    answer = await client.post(PATH, json=body, headers=finance)
    assert (answer.status_code, answer.json()["code"]) == (404, "pause_target_unknown")


async def test_pauses_are_forbidden_when_the_caller_is_a_tenant(client, app, database):
    async with committed(database) as session:
        tenant = bearer(app, await make_enterprise(session))
    assert (await client.get(PATH, headers=tenant)).status_code == 403
    assert (await client.post(PATH, json={}, headers=tenant)).status_code in {403, 422}
    assert (await client.get("/v1/operator/providers", headers=tenant)).status_code == 403
