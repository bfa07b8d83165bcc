"""From the last verdict to the enterprise's desk, by the jobs as they run in production."""

import csv
import io
import json
from collections import Counter
from datetime import timedelta
from itertools import combinations
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlmodel import select

from marketplace.catalog.deliveries import accept_delivery, export_key, find_delivery
from marketplace.catalog.models import DatasetRequest, Export
from marketplace.catalog.states import ExportFormat, ExportState, RequestState
from marketplace.core.actor import SYSTEM
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.settings import Settings
from marketplace.core.storage import open_store
from marketplace.matching.models import Contract
from marketplace.matching.states import ContractState
from marketplace.quality import completion
from marketplace.quality.aliases import worker_alias
from marketplace.quality.export_rows import write_file
from marketplace.quality.models import Verdict
from marketplace.quality.queries import gate_set_of
from marketplace.quality.report import make_report
from marketplace.quality.schemas import QualityReport
from marketplace.quality.states import Outcome, VerdictState
from marketplace.tasks.queries import AcceptedAnswer, accepted_answers
from tests.jobs import run_outbox
from tests.quality.work import Work, choice, make_work
from workers.handlers import WorkerResources

PLAN: dict[str, Any] = {
    "overlap_min": 2, "overlap_max": 3, "gold_share": 0.25, "bundle_max_tasks": 6, "confidence_target": 0.9,
    "adaptive": {"lead": 2},
}  # fmt: skip


async def state_of(work: Work) -> tuple[RequestState, ContractState]:
    async with work.database.sessions() as session:
        request = await session.get_one(DatasetRequest, work.request.id)
        contract = await session.get_one(Contract, (work.request.id, work.contract.id))
    return request.state, contract.state


async def report_of(work: Work) -> QualityReport:
    async with work.database.sessions() as session:
        return await make_report(session, await session.get_one(DatasetRequest, work.request.id))


async def answers_of(work: Work) -> list[AcceptedAnswer]:
    async with work.database.sessions() as session:
        return await accepted_answers(session, work.request.id, list(work.truth))


async def run_later(shared: WorkerResources, work: Work) -> list[str]:
    """Run the jobs of quality as if seconds had passed; return the kinds that followed, in order."""
    ran: list[str] = []
    while True:
        async with work.database.hot.acquire() as connection:
            await connection.execute("UPDATE outbox SET due_at = due_at - interval '1 second'")
        kinds = await run_outbox(shared, only="quality.")
        if not kinds:
            return list(dict.fromkeys(kind for kind in ran if kind not in {"quality.judge", "quality.gold"}))
        ran += kinds


TO_DELIVERY = ["quality.extend", "quality.refit", "quality.recompute", "quality.deliver"]


async def test_request_is_delivered_when_all_are_sure(worker_resources: WorkerResources) -> None:
    work = await make_work(worker_resources.database, worker_resources.settings, quality_plan=PLAN)
    for _ in range(2):
        await work.do(await work.worker(), work.right)
    assert await run_later(worker_resources, work) == TO_DELIVERY
    assert await state_of(work) == (RequestState.IN_ACCEPTANCE, ContractState.COMPLETED)
    async with work.database.sessions() as session:
        delivery = await find_delivery(session, work.request.id)
    assert delivery is not None
    assert QualityReport.model_validate(delivery.report).done == 6
    async with work.database.sessions() as session:
        again = await completion.deliver(session, work.request.id)
        assert again is not None
        assert again.id == delivery.id
        await accept_delivery(session, SYSTEM, work.request.id)
        assert await completion.deliver(session, work.request.id) is None


async def test_tasks_get_one_more_answer_when_two_disagree(worker_resources: WorkerResources) -> None:
    # two who agree are to be sure enough here, though a raw posterior's doubt counts tenfold: so there is much gold
    plan = {**PLAN, "confidence_target": 0.501, "gold_share": 0.5}
    work = await make_work(worker_resources.database, worker_resources.settings, quality_plan=plan)
    doubtful = set(list(await work.tasks())[:2])
    await work.do(await work.worker(), work.right)
    await work.do(await work.worker(), lambda task: work.wrong(task) if task in doubtful else work.right(task))
    assert await run_later(worker_resources, work) == ["quality.extend"]
    assert {task.id for task in (await work.tasks()).values() if task.planned == 3} == doubtful
    verdict = await work.do(await work.worker(), work.right)
    assert (await work.claim_row(verdict.claim_id)).units == 2
    assert await run_later(worker_resources, work) == TO_DELIVERY
    assert all(row.value == work.truth[task] for task, row in (await work.consensus()).items())
    assert (await state_of(work))[0] is RequestState.IN_ACCEPTANCE


async def test_contract_ends_when_the_money_is_spent(worker_resources: WorkerResources) -> None:
    # 350,000 at price scale is 35 minor units an answer: 12 answers cost 420, a thirteenth is too much
    work = await make_work(worker_resources.database, worker_resources.settings, quality_plan=PLAN, budget_minor=420)
    await work.do(await work.worker(), work.right)
    await work.do(await work.worker(), work.wrong_but_gold)
    await run_later(worker_resources, work)
    assert not any(task.done for task in (await work.tasks()).values())
    assert (await state_of(work))[0] is RequestState.IN_ACCEPTANCE


async def test_nothing_ends_when_seats_are_still_open(worker_resources: WorkerResources) -> None:
    work = await make_work(worker_resources.database, worker_resources.settings, quality_plan=PLAN)
    await work.do(await work.worker(), work.right)
    assert await run_later(worker_resources, work) == ["quality.extend"]
    assert await state_of(work) == (RequestState.IN_PRODUCTION, ContractState.ACTIVE)


async def test_sweep_rings_again_when_a_wish_was_lost(worker_resources: WorkerResources) -> None:
    work = await make_work(worker_resources.database, worker_resources.settings, quality_plan=PLAN)
    for _ in range(2):
        await work.do(await work.worker(), work.right)
    async with work.database.hot.acquire() as connection:
        await connection.execute("DELETE FROM outbox")
    async with work.database.sessions() as session:
        await completion.sweep(session)
        await session.commit()
    assert await run_later(worker_resources, work) == TO_DELIVERY


async def test_sweep_delivers_when_the_vendor_ended_the_contract(worker_resources: WorkerResources) -> None:
    work = await make_work(worker_resources.database, worker_resources.settings, quality_plan=PLAN)
    await work.do(await work.worker(), work.right)
    async with work.database.hot.acquire() as connection:
        await connection.execute("DELETE FROM outbox")
        await connection.execute("UPDATE contract SET state = 'completed'")
    async with work.database.sessions() as session:
        await completion.sweep(session)
        await session.commit()
    assert await run_later(worker_resources, work) == ["quality.deliver"]
    assert (await state_of(work))[0] is RequestState.IN_ACCEPTANCE


async def test_gates_are_written_down_when_nobody_has_claimed_yet(worker_resources: WorkerResources) -> None:
    work = await make_work(worker_resources.database, worker_resources.settings, quality_plan=PLAN)
    async with work.database.sessions() as session:
        await completion.sweep(session)
        fixed = await gate_set_of(session, work.request.id)
    assert fixed is not None
    assert fixed.definition["gates"][2]["bar"] == 0.7


async def test_delivery_waits_when_a_submission_is_not_judged(worker_resources: WorkerResources) -> None:
    work = await make_work(worker_resources.database, worker_resources.settings, quality_plan=PLAN)
    worker = await work.worker()
    await work.submit(await work.claim(worker), worker, work.right)
    async with work.database.sessions() as session:
        contract = await session.get_one(Contract, (work.request.id, work.contract.id))
        contract.state = ContractState.COMPLETED
        session.add(contract)
        await session.flush()
        assert await completion.deliver(session, work.request.id) is None


async def test_verdict_is_final_when_its_window_has_ended(worker_resources: WorkerResources) -> None:
    work = await make_work(worker_resources.database, worker_resources.settings, quality_plan=PLAN)
    verdict = await work.do(await work.worker(), work.right)
    async with work.database.sessions() as session:
        stored = await session.get_one(Verdict, (work.request.id, verdict.id))
        stored.final_at = now() - timedelta(seconds=1)
        session.add(stored)
        await session.flush()
        await completion.sweep(session)
        await session.refresh(stored)
        assert stored.state is VerdictState.FINAL


async def make_mixed(database: Database, settings: Settings) -> Work:
    """Three answers a task with some disagreement, one rejection and one rework."""
    plan = {**PLAN, "overlap_min": 3, "overlap_max": 3, "min_agreement": 0.0}
    work = await make_work(database, settings, quality_plan=plan)
    order = sorted(await work.tasks())
    await work.do(await work.worker(), work.right)
    await work.do(await work.worker(), work.wrong)
    await work.do(await work.worker(), lambda task: work.wrong(task) if task in order[:2] else work.right(task))
    last = await work.worker()
    verdict = await work.do(last, work.one_gold_wrong(), seconds=0.1)
    async with database.hot.acquire() as connection:
        await connection.execute("UPDATE verdict SET created_at = created_at - interval '5 minutes'")
    await work.redo(verdict.claim_id, last, lambda task: work.wrong(task) if task in order[1:3] else work.right(task))
    return work


def alpha_by_pairs(values: list[list[str]]) -> float:
    """Krippendorff's nominal alpha from its definition: disagreement within units over disagreement of all pairs."""
    units = [unit for unit in values if len(unit) > 1]
    pooled = [value for unit in units for value in unit]
    observed = sum(2 * sum(a != b for a, b in combinations(unit, 2)) / (len(unit) - 1) for unit in units) / len(pooled)
    expected = 2 * sum(a != b for a, b in combinations(pooled, 2)) / (len(pooled) * (len(pooled) - 1))
    return 1 - observed / expected


async def test_report_is_right_when_compared_with_brute_force(worker_resources: WorkerResources) -> None:
    work = await make_mixed(worker_resources.database, worker_resources.settings)
    report, answers, consensus = await report_of(work), await answers_of(work), await work.consensus()
    by_task: dict[Any, list[str]] = {}
    for answer in answers:
        by_task.setdefault(answer.task_id, []).append(answer.value["choice"])
    pairs = [
        sum(a == b for a, b in combinations(unit, 2)) / len(list(combinations(unit, 2))) for unit in by_task.values()
    ]
    assert report.agreement.pairwise == pytest.approx(sum(pairs) / len(pairs))
    assert report.agreement.alpha == pytest.approx(alpha_by_pairs(list(by_task.values())))
    assert 0 < report.agreement.alpha < 1
    assert (report.tasks, report.labeled, report.done, report.answers, report.workers) == (6, 6, 6, 18, 3)
    assert report.answers_per_task == 3
    assert {count.answers: count.tasks for count in report.overlap} == {3: 6}
    assert {count.label: count.count for count in report.classes} == Counter(
        row.value["choice"] for row in consensus.values()
    )
    assert report.mean_confidence == pytest.approx(sum(row.confidence for row in consensus.values()) / 6)
    bins = Counter(min(int(row.confidence * 10), 9) for row in consensus.values())
    assert [each.tasks for each in report.confidence] == [bins[index] for index in range(10)]
    figures = report.submissions
    assert (figures.decided, figures.accepted, figures.rejected, figures.reworked) == (4, 3, 1, 1)
    assert (figures.rejected_share, figures.rework_share) == (0.25, 0.2)
    assert figures.reasons == {"gold_accuracy": 1, "too_fast": 1}
    assert (report.gold.right, report.gold.seen) == (7, 10)
    assert report.gold.accuracy == pytest.approx(0.7)


@pytest.mark.parametrize("fmt", [ExportFormat.JSONL, ExportFormat.CSV, ExportFormat.PARQUET])
@pytest.mark.parametrize("with_answers", [False, True])
async def test_export_holds_every_item_when_written(
    worker_resources: WorkerResources, fmt: ExportFormat, with_answers: bool
) -> None:
    work = await make_mixed(worker_resources.database, worker_resources.settings)
    store = open_store(worker_resources.settings)
    async with work.database.sessions() as session:
        export = Export(request_id=work.request.id, format=fmt, with_answers=with_answers)
        session.add(export)
        await session.flush()
        done = await write_file(session, store, work.request.id, export.id)
        again = await write_file(session, store, work.request.id, export.id)
        await session.commit()
    assert (done.state, done.rows, again.sha256) == (ExportState.READY, 6, done.sha256)
    content = bytes(await (await store.get_async(export_key(done))).bytes_async())
    rows = read_rows(fmt, content)
    consensus = await work.consensus()
    assert {row["id"]: row["label"] for row in rows} == {
        str(task): row.value["choice"] for task, row in consensus.items()
    }
    assert all(("given" in row) is with_answers for row in rows)
    if with_answers:
        given = rows[0]["given"] if fmt is ExportFormat.JSONL else json.loads(rows[0]["given"])
        known = {worker_alias(work.request.id, worker) for worker in work.workers}
        assert len(given) == 3
        assert {answer["worker"] for answer in given} <= known


def read_rows(fmt: ExportFormat, content: bytes) -> list[dict[str, Any]]:
    if fmt is ExportFormat.JSONL:
        return [json.loads(line) for line in content.splitlines()]
    if fmt is ExportFormat.CSV:
        return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
    return rows


SCALE = {"kind": "numeric_scale", "minimum": 0, "maximum": 100}
SPANS = {"kind": "text_spans", "labels": [{"value": "person", "label": {"en": "Person"}}]}


async def test_report_measures_distance_when_answers_are_numbers(worker_resources: WorkerResources) -> None:
    work = await make_work(
        worker_resources.database,
        worker_resources.settings,
        definition=SCALE,
        truth_of=lambda n: {"value": 10 * (n % 5)},
        quality_plan=PLAN,
    )
    await work.do(await work.worker(), work.right)
    await work.do(await work.worker(), lambda task: {"value": work.truth[task]["value"] + 2})
    report = await report_of(work)
    values = [[float(a.value["value"]) for a in await answers_of(work) if a.task_id == task] for task in work.truth]
    units = [unit for unit in values if len(unit) > 1]
    pooled = [value for unit in units for value in unit]
    observed = sum((a - b) ** 2 for a, b in units) * 2 / len(pooled)
    expected = 2 * sum((a - b) ** 2 for a, b in combinations(pooled, 2)) / (len(pooled) * (len(pooled) - 1))
    assert report.agreement.alpha == pytest.approx(1 - observed / expected)
    assert report.agreement.pairwise == 0
    assert report.done == 6


async def test_report_measures_likeness_when_answers_are_spans(worker_resources: WorkerResources) -> None:
    truth = {"spans": [{"start": 0, "end": 2, "label": "person"}]}
    work = await make_work(
        worker_resources.database,
        worker_resources.settings,
        definition=SPANS,
        truth_of=lambda _: truth,
        quality_plan=PLAN,
    )
    for _ in range(2):
        verdict = await work.do(await work.worker(), work.right)
        assert verdict.outcome is Outcome.ACCEPTED
    report = await report_of(work)
    assert (report.agreement.measure, report.agreement.pairwise) == ("similar", 1.0)
    assert [(count.label, count.count) for count in report.classes] == [("person", 6)]
    assert choice("person") not in [row.value for row in (await work.consensus()).values()]


async def test_every_contract_ends_before_delivery_when_there_are_two(worker_resources: WorkerResources) -> None:
    work = await make_work(worker_resources.database, worker_resources.settings, quality_plan=PLAN)
    async with work.database.sessions() as session:
        other = work.contract.model_dump(exclude={"id", "created_at"})
        session.add(Contract(**{**other, "first_position": 6, "end_position": 7}))
        await session.commit()
    for _ in range(2):
        await work.do(await work.worker(), work.right)
    await run_later(worker_resources, work)
    assert await state_of(work) == (RequestState.IN_PRODUCTION, ContractState.COMPLETED)
    async with work.database.sessions() as session:
        states = set((await session.exec(select(Contract.state))).all())
    assert states == {ContractState.COMPLETED, ContractState.ACTIVE}
