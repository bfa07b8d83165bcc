"""The operator's console: books that add up, timelines, and calls whose outcome a person decides."""

import pytest
from sqlmodel import select

from marketplace.audit.models import AuditEntry
from marketplace.core.actor import Role
from marketplace.core.ids import new_id
from marketplace.core.outbox import DeadLetter, Outbox
from marketplace.payments.models import Charge, ProviderCall
from marketplace.payments.sandbox.faults import Fault
from marketplace.payments.states import CallState, ChargeState, Leg
from tests.factories.identity import bearer, make_enterprise, make_operator
from tests.factories.money import ask_payout, ask_top_up, committed, earn, remote_objects, row_of, waiting_jobs
from tests.jobs import run_outbox

WHY = {"reason": "the bank's letter of today"}


@pytest.fixture
async def finance(app, database):
    async with committed(database) as session:
        return bearer(app, await make_operator(session, Role.OPERATOR_FINANCE))


async def _unknown_top_up(database, gateway, faults, worker_resources, fault):
    charge = await ask_top_up(database, gateway, new_id(), 700)
    faults.plan(fault)
    await run_outbox(worker_resources, only="payments.advance")
    await run_outbox(worker_resources, only="payments.send")
    async with database.sessions() as session:
        call = (await session.exec(select(ProviderCall))).one()
    assert call.state is CallState.UNKNOWN
    return charge, call


async def test_trial_balance_sums_to_zero_when_money_has_moved(client, finance, database, gateway, drive):
    await ask_top_up(database, gateway, new_id(), 700)
    await drive()
    answer = await client.get("/v1/operator/ledger/trial-balance", headers=finance)
    (balance,) = answer.json()
    assert (balance["currency"], balance["difference_minor"], balance["debit_minor"]) == ("CNY", 0, 700)
    lines = [(line["code"], line["name"], line["balance_minor"]) for line in balance["lines"]]
    assert lines == [(1010, "psp", 700), (2010, "org_cash", 700)]


async def test_timeline_holds_every_step_when_a_payout_was_sent(client, finance, database, gateway, drive):
    worker = new_id()
    await ask_top_up(database, gateway, new_id(), 5000)
    await drive()
    await earn(database, worker, 800)
    payout = await ask_payout(database, gateway, worker)
    await drive()
    answer = await client.get(f"/v1/operator/ledger/timeline/payout/{payout.id}", headers=finance)
    kinds = [row["kind"] for row in answer.json()["items"]]
    assert kinds == ["payout.reserve", "payout.transferred"]
    path, seen, cursor = f"/v1/operator/ledger/timeline/worker/{worker}", [], None
    while True:
        page = (
            await client.get(path, params={"limit": 1} | ({"cursor": cursor} if cursor else {}), headers=finance)
        ).json()
        seen += [row["kind"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["release", "payout.reserve"]


async def test_call_is_adopted_only_when_the_provider_confirms_it(
    client, finance, database, gateway, faults, worker_resources
):
    charge, call = await _unknown_top_up(database, gateway, faults, worker_resources, Fault.LOST_RESPONSE)
    (remote,) = await remote_objects(database, Leg.CHARGE, call.ref)
    path = f"/v1/operator/provider-calls/{call.id}/adopt"
    wrong = await client.post(path, json=WHY | {"remote_id": str(new_id())}, headers=finance)
    assert (wrong.status_code, wrong.json()["code"]) == (409, "remote_mismatch")
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.CREATED
    right = await client.post(path, json=WHY | {"remote_id": str(remote.id)}, headers=finance)
    assert (right.status_code, right.json()["state"]) == (200, "done")
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.SUCCEEDED
    async with database.sessions() as session:
        entry = (await session.exec(select(AuditEntry).where(AuditEntry.action == "provider_call.adopt"))).one()
    assert entry.facts["reason"] == WHY["reason"]
    again = await client.post(path, json=WHY | {"remote_id": str(remote.id)}, headers=finance)
    assert (again.status_code, again.json()["code"]) == (409, "provider_call_not_open")


async def test_call_is_not_adopted_when_the_provider_has_another_amount(
    client, finance, database, gateway, faults, worker_resources
):
    charge, call = await _unknown_top_up(database, gateway, faults, worker_resources, Fault.LOST_RESPONSE)
    (remote,) = await remote_objects(database, Leg.CHARGE, call.ref)
    async with committed(database) as session:
        (await session.get_one(type(remote), remote.id)).amount_minor += 1
    path = f"/v1/operator/provider-calls/{call.id}/adopt"
    answer = await client.post(path, json=WHY | {"remote_id": str(remote.id)}, headers=finance)
    assert (answer.status_code, answer.json()["code"]) == (409, "remote_mismatch")
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.CREATED


async def test_unknown_call_happens_once_when_it_is_replayed(
    client, finance, database, gateway, faults, worker_resources
):
    charge, call = await _unknown_top_up(database, gateway, faults, worker_resources, Fault.LOST_RESPONSE)
    listed = await client.get("/v1/operator/provider-calls", params={"older_than_seconds": 0}, headers=finance)
    assert [row["id"] for row in listed.json()["items"]] == [str(call.id)]
    answer = await client.post(f"/v1/operator/provider-calls/{call.id}/replay", json=WHY, headers=finance)
    assert (answer.status_code, answer.json()["state"]) == (200, "sending")
    await run_outbox(worker_resources, only="payments.send")
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.SUCCEEDED
    assert len(await remote_objects(database, Leg.CHARGE, call.ref)) == 1


async def test_unknown_call_is_looked_up_when_asked(client, finance, database, gateway, faults, worker_resources):
    _, call = await _unknown_top_up(database, gateway, faults, worker_resources, Fault.LOST_REQUEST)
    before = (await waiting_jobs(database)).count("payments.resolve")
    answer = await client.post(f"/v1/operator/provider-calls/{call.id}/look-up", json=WHY, headers=finance)
    assert answer.status_code == 200
    assert (await waiting_jobs(database)).count("payments.resolve") == before + 1


async def test_dead_letter_runs_again_or_is_dropped_when_an_operator_says_so(client, finance, database):
    jobs = [new_id(), new_id()]
    async with committed(database) as session:
        session.add_all(DeadLetter(job_id=job, kind="test.dead", payload={}, error="no", tries=12) for job in jobs)
    listed = await client.get("/v1/operator/dead-letters", headers=finance)
    assert {row["job_id"] for row in listed.json()["items"]} == {str(job) for job in jobs}
    for job, act, resolution in ((jobs[0], "replay", "replayed"), (jobs[1], "drop", "dropped")):
        answer = await client.post(f"/v1/operator/dead-letters/{job}/{act}", json=WHY, headers=finance)
        assert (answer.status_code, answer.json()["resolution"]) == (200, resolution)
        again = await client.post(f"/v1/operator/dead-letters/{job}/{act}", json=WHY, headers=finance)
        assert again.status_code == 404
    assert await row_of(database, Outbox, jobs[0]) is not None
    assert await row_of(database, Outbox, jobs[1]) is None


async def test_console_is_closed_when_the_caller_is_a_tenant(app, client, database):
    async with committed(database) as session:
        tenant = bearer(app, await make_enterprise(session))
    for path in ("ledger/trial-balance", f"ledger/timeline/request/{new_id()}", "provider-calls", "dead-letters"):
        assert (await client.get(f"/v1/operator/{path}", headers=tenant)).status_code == 403, path
