"""Gates over HTTP: who sees them, and when known answers that were missed may be shown."""

from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import update
from sqlmodel import col

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import RequestState
from marketplace.core.db import Database
from marketplace.core.settings import Settings
from marketplace.quality.gate_views import out_of_use
from tests.factories.identity import (
    Party,
    bearer,
    make_approved_worker,
    make_enterprise,
    make_operator,
    make_vendor,
)
from tests.factories.matching import make_contract
from tests.quality.work import Work, make_work


async def set_state(work: Work, state: RequestState) -> None:
    async with work.database.sessions() as session:
        await session.execute(
            update(DatasetRequest).where(col(DatasetRequest.id) == work.request.id).values(state=state)
        )
        await session.commit()


async def test_gates_are_shown_to_those_concerned_and_hidden_from_others(
    client: httpx.AsyncClient, app: FastAPI, database: Database, settings: Settings
) -> None:
    async with database.sessions() as session:
        enterprise, stranger = await make_enterprise(session), await make_enterprise(session)
        vendor, idle = await make_vendor(session), await make_vendor(session)
        worker, other = await make_approved_worker(session), await make_approved_worker(session)
        operator = await make_operator(session)
        await session.commit()
    assert enterprise.organisation is not None
    assert vendor.organisation is not None
    work = await make_work(database, settings, organisation=enterprise.organisation.id)
    async with database.sessions() as session:
        await make_contract(session, work.request, vendor.organisation.id)
        await session.commit()
    await work.worker(worker.actor.id)

    async def get(party: Party) -> httpx.Response:
        return await client.get(f"/v1/requests/{work.request.id}/gates", headers=bearer(app, party))

    shown = [await get(party) for party in (enterprise, vendor, worker, operator)]
    assert {answer.status_code for answer in shown} == {200}
    assert [(await get(party)).status_code for party in (stranger, idle, other)] == [404, 404, 404]
    view = shown[2].json()
    assert view["fixed"] is False
    verdict = await work.do(worker.actor.id, work.right)
    view = (await get(worker)).json()
    assert (view["fixed"], view["version"]) == (True, verdict.gate_set_version)
    assert [gate["gate"] for gate in view["gates"]] == ["completeness", "minimum_time", "gold_accuracy", "agreement"]
    assert view["gold_in_bundle"] == 2
    rows = {(row["accuracy"], row["gold_seen"]): row["passes"] for row in view["characteristic"]}
    assert len(rows) == 15
    assert rows[0.95, 30] > 0.99 > rows[0.8, 0] > rows[0.5, 0] > rows[0.5, 30]
    assert not any(str(gold) in shown[2].text for gold in work.gold)


async def test_missed_gold_is_shown_to_its_worker_only_when_gold_is_out_of_use(
    client: httpx.AsyncClient, app: FastAPI, database: Database, settings: Settings
) -> None:
    async with database.sessions() as session:
        worker, other = await make_approved_worker(session), await make_approved_worker(session)
        await session.commit()
    work = await make_work(database, settings)
    verdict = await work.do(await work.worker(worker.actor.id), work.one_gold_wrong())
    rejected = await work.do(await work.worker(other.actor.id), work.wrong)

    async def get(party: Party, claim: UUID) -> httpx.Response:
        path = f"/v1/requests/{work.request.id}/claims/{claim}/missed-gold"
        return await client.get(path, headers=bearer(app, party))

    for state in (RequestState.IN_PRODUCTION, RequestState.IN_ACCEPTANCE, RequestState.SUSPENDED):
        await set_state(work, state)
        assert (await get(worker, verdict.claim_id)).json() == {"in_use": True, "missed": []}
    await set_state(work, RequestState.DELIVERED)
    shown = (await get(worker, verdict.claim_id)).json()
    assert shown["in_use"] is False
    (missed,) = shown["missed"]
    task = UUID(missed["task_id"])
    assert task in work.gold
    assert (missed["answered"], missed["right"], missed["note"]) == (work.wrong(task), work.right(task), "known")
    assert missed["asked"]["text"].startswith("金标")
    assert len((await get(other, rejected.claim_id)).json()["missed"]) == 2
    assert (await get(worker, rejected.claim_id)).status_code == 404


@pytest.mark.parametrize("state", list(RequestState))
def test_gold_is_out_of_use_only_when_no_work_can_follow(state: RequestState) -> None:
    ended = {RequestState.DELIVERED, RequestState.SETTLED, RequestState.CLOSED, RequestState.CANCELLED}
    assert out_of_use(state) is (state in ended)
