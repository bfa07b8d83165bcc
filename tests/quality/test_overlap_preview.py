"""What adaptive overlap is expected to cost and save, and what it has: by simulation, by count, over HTTP."""

from time import process_time
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core.db import Database
from marketplace.core.ids import new_id
from marketplace.core.settings import Settings
from marketplace.quality.learned_models import RequestModel, RequestSkill
from marketplace.quality.overlap import StoppingRule
from marketplace.quality.overlap_preview import Crowd, foresee
from tests.factories.identity import Party, bearer, make_enterprise
from tests.quality.work import Work, make_work

RULE = StoppingRule(0.95, 3, 2)


def test_answers_are_saved_at_equal_accuracy_when_overlap_may_be_large() -> None:
    found = foresee(RULE, 2, 9, 3, Crowd(0.8, 0.05), seed=1)
    assert found.answers.mean < 0.65 * 9
    assert found.accuracy.mean > found.accuracy_of_all.mean - 0.01
    assert found.answers.low <= found.answers.mean <= found.answers.high


def test_better_workers_need_fewer_answers_when_all_else_is_equal() -> None:
    good, poor = (foresee(RULE, 2, 9, 2, Crowd(accuracy, 0), seed=1) for accuracy in (0.95, 0.65))
    assert good.answers.mean < poor.answers.mean
    assert good.accuracy.mean > poor.accuracy.mean


def test_preview_is_quick_when_overlap_and_classes_are_many() -> None:
    began = process_time()
    foresee(RULE, 1, 50, 10_000, Crowd(0.5, 0.05), seed=1)
    assert process_time() - began < 2  # on a machine with nothing else to do it is a quarter of a second


@settings(max_examples=30, deadline=None)
@given(
    least=st.integers(1, 5), more=st.integers(0, 5), classes=st.integers(0, 60), accuracy=st.floats(0.05, 0.99),
    lead=st.floats(0, 5), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_foreseen_figures_stay_in_their_bounds_whatever_is_asked(
    least: int, more: int, classes: int, accuracy: float, lead: float, seed: int
) -> None:
    rule = StoppingRule(0.9, lead, lead)
    found = foresee(rule, least, least + more, classes, Crowd(accuracy, 0.05), seed)
    assert least <= found.answers.low <= found.answers.high <= least + more
    assert 0 <= found.accuracy.low <= found.accuracy.high <= 1
    assert found == foresee(rule, least, least + more, classes, Crowd(accuracy, 0.05), seed)


@pytest.fixture
async def buyer(database: Database) -> Party:
    async with database.sessions() as session:
        enterprise = await make_enterprise(session)
        await session.commit()
    return enterprise


@pytest.fixture
async def work(database: Database, settings: Settings, buyer: Party) -> Work:
    assert buyer.organisation is not None
    return await make_work(database, settings, organisation=buyer.organisation.id)


async def get(client: httpx.AsyncClient, app: FastAPI, party: Party, work: Work, what: str, **params: Any) -> Any:
    return await client.get(f"/v1/requests/{work.request.id}/{what}", params=params, headers=bearer(app, party))


async def test_buyer_sees_cost_and_savings_when_nothing_has_begun(
    client: httpx.AsyncClient, app: FastAPI, buyer: Party, work: Work
) -> None:
    answer = (await get(client, app, buyer, work, "overlap-preview")).json()
    assert answer["accuracy_from"] == "prior"
    assert answer["cost_of_fixed_minor"] == answer["items"] * 3 * 35
    assert answer["cost_minor"]["mean"] <= answer["cost_of_fixed_minor"]
    assert 0 <= answer["saved_share"]["low"] <= answer["saved_share"]["high"] < 1
    other = {"overlap_max": 9, "accuracy": 0.9, "unit_price": 1_000_000, "lead": 2}
    asked = (await get(client, app, buyer, work, "overlap-preview", **other)).json()
    assert (asked["accuracy_from"], asked["worker_accuracy"]) == ("given", 0.9)
    assert asked["cost_of_fixed_minor"] == asked["items"] * 9 * 100
    assert asked["saved_share"]["mean"] > answer["saved_share"]["mean"]


async def test_workers_of_similar_requests_count_when_there_are_enough(
    client: httpx.AsyncClient, app: FastAPI, buyer: Party, work: Work, database: Database, settings: Settings
) -> None:
    for accuracy in (0.9, 0.92, 0.94):
        past = await make_work(database, settings)
        async with database.sessions() as session:
            none: dict[str, Any] = {"record": {}, "calibration": {}}
            session.add(RequestModel(request_id=past.request.id, number=1, units=1, answers=1, parameters=b"", **none))
            for _ in range(12):
                row: dict[str, Any] = {"accuracy": accuracy, "low": 0.5, "high": 1, "answers": 40, "gold": 0}
                session.add(RequestSkill(request_id=past.request.id, worker_id=new_id(), **row))
            await session.commit()
    answer = (await get(client, app, buyer, work, "overlap-preview")).json()
    assert answer["accuracy_from"] == "similar_requests"
    assert answer["worker_accuracy"] == pytest.approx(0.92)


async def test_labels_used_and_saved_are_counted_when_tasks_end_early(
    client: httpx.AsyncClient, app: FastAPI, buyer: Party, work: Work
) -> None:
    for _ in range(2):
        await work.do(await work.worker(), work.right)
    done = sum(task.done for task in (await work.tasks()).values())
    assert done
    answer = (await get(client, app, buyer, work, "overlap")).json()
    assert answer == {
        "tasks": 6, "used": 12, "done_early": done, "saved": done, "saved_share": done / (12 + done), "withdrawn": 0,
    }  # fmt: skip


async def test_overlap_is_hidden_when_the_request_is_somebody_elses(
    client: httpx.AsyncClient, app: FastAPI, work: Work, database: Database
) -> None:
    async with database.sessions() as session:
        stranger = await make_enterprise(session)
        await session.commit()
    for what in ("overlap", "overlap-preview"):
        assert (await get(client, app, stranger, work, what)).status_code == 404


async def test_preview_is_refused_when_the_least_is_above_the_most(
    client: httpx.AsyncClient, app: FastAPI, buyer: Party, work: Work
) -> None:
    answer = await get(client, app, buyer, work, "overlap-preview", overlap_min=9)
    assert (answer.status_code, answer.json()["code"]) == (400, "overlap_reversed")
