"""What consensus learns of a request: kept under a number, current from the acceptance on, fitted anew as it grows."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from marketplace.catalog.queries import gold_truths
from marketplace.core.ids import new_id
from marketplace.quality import refit
from marketplace.quality.cases import load_rules
from marketplace.quality.consensus.answers import AnswerTable
from marketplace.quality.consensus.engine import AnswerRow
from marketplace.quality.learned_models import RequestModel
from marketplace.quality.learning import fit_request, learned_of, store_fit
from marketplace.quality.queries import request_model, request_skills
from marketplace.tasks.bundles import accepted_units
from marketplace.tasks.queries import stream_answers
from tests.jobs import run_outbox
from tests.quality.work import Work, make_work
from workers.handlers import WorkerResources

PLAN = {"overlap_min": 3, "overlap_max": 5, "gold_share": 0.25, "bundle_max_tasks": 6, "min_agreement": 0.0}


async def fit_and_store(work: Work) -> int | None:
    async with work.database.sessions() as session:
        number = await refit.refit(session, work.request.id)
        await session.commit()
    return number


async def crowd_of_three(resources: WorkerResources) -> Work:
    """Two workers who are right; a third who is wrong on every task and right on gold."""
    work = await make_work(resources.database, resources.settings, quality_plan=PLAN, items=12)
    for answering in (work.right, work.right, work.wrong_but_gold):
        worker = await work.worker()
        for _ in range(2):
            await work.do(worker, answering)
    return work


async def test_labels_are_there_when_nothing_was_fitted_yet(worker_resources: WorkerResources) -> None:
    work = await make_work(worker_resources.database, worker_resources.settings, quality_plan=PLAN)
    await work.do(await work.worker(), work.right)
    found = await work.consensus()
    assert {task: row.value for task, row in found.items()} == {task: work.truth[task] for task in await work.tasks()}
    async with work.database.sessions() as session:
        assert await request_model(session, work.request.id) is None


async def test_posteriors_change_when_workers_are_fitted_anew(worker_resources: WorkerResources) -> None:
    work = await crowd_of_three(worker_resources)
    before = {task: row.confidence for task, row in (await work.consensus()).items()}
    assert await fit_and_store(work) == 1
    await run_outbox(worker_resources, only="quality.recompute")
    after = {task: row.confidence for task, row in (await work.consensus()).items()}
    assert after.keys() == before.keys()
    assert after != before
    async with work.database.sessions() as session:
        skills = await request_skills(session, work.request.id)
        model = await request_model(session, work.request.id)
    assert model is not None
    assert (model.number, model.units) == (1, 36)
    assert model.answers == 36 + sum(skill.gold for skill in skills.values())
    good, bad = skills[work.workers[0]], skills[work.workers[2]]
    assert good.accuracy > bad.accuracy
    assert good.low <= good.accuracy <= good.high


async def test_rejected_gold_counts_when_workers_are_fitted(worker_resources: WorkerResources) -> None:
    plan = {**PLAN, "gold_pass_share": 0.9, "max_reworks": 0}
    work = await make_work(worker_resources.database, worker_resources.settings, quality_plan=plan, items=24)
    worker = await work.worker()
    for _ in range(4):
        await work.do(worker, work.wrong)
    async with work.database.sessions() as session:
        rows = [row async for row in stream_answers(session, work.request.id)]
        gold = await gold_truths(session, work.request.id)
    assert {task for task, _, _ in rows} <= gold.keys()
    assert rows
    await fit_and_store(work)
    async with work.database.sessions() as session:
        skill = (await request_skills(session, work.request.id))[worker]
    assert skill.gold == len(rows)
    assert skill.accuracy < 0.6


async def test_late_fit_is_dropped_when_a_newer_one_was_kept(worker_resources: WorkerResources) -> None:
    work = await crowd_of_three(worker_resources)
    async with work.database.sessions() as slow:
        rules = await load_rules(slow, work.request.id)
        late = await fit_request(slow, work.request.id, rules, 1)
        assert await fit_and_store(work) == 1
        assert await store_fit(slow, work.request.id, late) is None
        await slow.commit()
    async with work.database.sessions() as session:
        model = await request_model(session, work.request.id)
    assert model is not None
    assert model.units == 36


async def test_last_fit_holds_when_another_was_kept_meanwhile(worker_resources: WorkerResources) -> None:
    work = await crowd_of_three(worker_resources)
    async with work.database.sessions() as slow:
        rules = await load_rules(slow, work.request.id)
        last = await fit_request(slow, work.request.id, rules, await accepted_units(slow, work.request.id))
        await fit_and_store(work)
        assert await store_fit(slow, work.request.id, last, last=True) == 2
        await slow.commit()


async def test_stored_fit_reads_as_it_was_when_another_process_needs_it(worker_resources: WorkerResources) -> None:
    work = await crowd_of_three(worker_resources)
    async with work.database.sessions() as session:
        rules = await load_rules(session, work.request.id)
        fit = await fit_request(session, work.request.id, rules, 36)
        await store_fit(session, work.request.id, fit)
        await session.commit()
        read = await learned_of(session, work.request.id, rules, [])
    assert read == fit.learned
    assert json.loads(json.dumps(read.parameters)) == read.parameters


async def test_old_span_is_left_when_a_newer_fit_has_its_own(worker_resources: WorkerResources) -> None:
    work = await crowd_of_three(worker_resources)
    await fit_and_store(work)
    before = await work.consensus()
    async with work.database.sessions() as session:
        await refit.recompute(session, work.request.id, 7, UUID(int=0), UUID(int=2**128 - 1))
        await session.commit()
    assert {task: row.confidence for task, row in (await work.consensus()).items()} == {
        task: row.confidence for task, row in before.items()
    }


async def test_delivered_labels_stand_when_a_fit_comes_late(worker_resources: WorkerResources) -> None:
    work = await crowd_of_three(worker_resources)
    await fit_and_store(work)
    async with work.database.hot.acquire() as connection:
        await connection.execute("UPDATE dataset_request SET state = 'in_acceptance' WHERE id = $1", work.request.id)
    before = {task: row.confidence for task, row in (await work.consensus()).items()}
    assert await fit_and_store(work) is None
    await run_outbox(worker_resources, only="quality.recompute")
    assert {task: row.confidence for task, row in (await work.consensus()).items()} == before


@pytest.mark.parametrize(
    ("units", "fitted", "due"),
    [(19, 0, False), (20, 0, True), (119, 100, False), (120, 100, True), (1190, 1000, False)],
)
def test_fit_is_due_when_a_fifth_more_was_accepted(units: int, fitted: int, due: bool) -> None:
    assert refit.is_due(units, fitted) is due


def test_fits_cost_six_of_the_last_at_most_when_a_request_grows() -> None:
    fitted, sizes = 0, []
    for units in range(0, 100_000, 7):
        if refit.is_due(units, fitted):
            fitted = units
            sizes.append(units)
    assert sum(sizes) < 6.1 * sizes[-1]


async def test_wish_for_a_fit_is_one_when_it_is_asked_for_twice(worker_resources: WorkerResources) -> None:
    work = await crowd_of_three(worker_resources)
    async with work.database.sessions() as session:
        assert await refit.settle(session, work.request.id, closing=False) is False
        await session.flush()
        assert await refit.settle(session, work.request.id, closing=False) is False
        await session.commit()
    kinds = await run_outbox(worker_resources, only="quality.refit")
    assert kinds == ["quality.refit"]
    async with work.database.sessions() as session:
        assert len((await session.exec(select(RequestModel))).all()) == 1


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.sampled_from(["a", "b", "c"])), max_size=40))
def test_table_reads_as_its_rows_when_answers_come_by_task(drawn: list[tuple[int, int, str]]) -> None:
    tasks, workers = [new_id() for _ in range(6)], [new_id() for _ in range(4)]
    rows = [AnswerRow(tasks[t], workers[w], {"choice": value}) for t, w, value in sorted(drawn)]
    table = AnswerTable()
    for row in rows:
        table.append(row.task, row.worker, json.dumps(row.value))
    assert list(table) == rows
    assert [table[place] for place in range(len(table))] == rows
    assert table[1:3] == rows[1:3]
    task, worker, value = table.codes
    assert [table.values[code] for code in value] == [row.value for row in rows]
    assert [table.task_id(code) for code in task] == [row.task for row in rows]
    assert [table.workers[code] for code in worker] == [row.worker for row in rows]
