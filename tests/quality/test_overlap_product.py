"""Adaptive overlap in the market: when a task is done, which seats are withdrawn, and where scarce money goes."""

import asyncio
import random
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlmodel import col, select

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import LabelKind, RequestState
from marketplace.core.ids import new_id
from marketplace.ledger import service as ledger
from marketplace.ledger.accounts import org_cash, psp, reserved
from marketplace.ledger.entries import credit, debit
from marketplace.matching.models import Contract
from marketplace.quality import completion
from marketplace.quality.consolidation import votes_ahead
from marketplace.quality.learned_models import RequestSkill
from marketplace.quality.models import Consensus
from marketplace.quality.queries import request_model
from marketplace.quality.spec import LabelSpec
from marketplace.tasks import bundles
from marketplace.tasks.errors import NothingOpen
from marketplace.tasks.models import Claim, ContractPlan, OpenSeat, Seat
from marketplace.tasks.states import SeatState
from tests.factories.identity import bearer, make_vendor
from tests.jobs import run_outbox
from tests.quality.work import Work, choice, make_work
from workers.handlers import WorkerResources

PLAN: dict[str, Any] = {
    "overlap_min": 2, "overlap_max": 5, "gold_share": 0, "bundle_max_tasks": 6, "confidence_target": 0.9,
    "min_agreement": 0, "adaptive": {"lead": 2},
}  # fmt: skip


async def disputed(resources: WorkerResources, **fields: Any) -> Work:
    """A request of six tasks with two answers each that disagree, and a bundle of third seats."""
    work = await make_work(resources.database, resources.settings, gold=0, **{"quality_plan": PLAN, **fields})
    await work.do(await work.worker(), work.right)
    await work.do(await work.worker(), work.wrong)
    return work


async def settle_tasks(work: Work, tasks: list[UUID]) -> None:
    """Say that these tasks became sure, as a fit with more of their workers' answers may find."""
    async with work.database.hot.acquire() as connection:
        statement = "UPDATE task SET done = true WHERE request_id = $1 AND id = ANY($2)"
        await connection.execute(statement, work.request.id, tasks)


async def seats(work: Work) -> tuple[list[Seat], list[OpenSeat], ContractPlan]:
    async with work.database.sessions() as session:
        made = (await session.exec(select(Seat).where(Seat.request_id == work.request.id))).all()
        queue = (await session.exec(select(OpenSeat).where(OpenSeat.request_id == work.request.id))).all()
        plan = await session.get_one(ContractPlan, (work.request.id, work.contract.id))
    return list(made), list(queue), plan


async def test_open_seat_is_withdrawn_when_its_tasks_became_sure(worker_resources: WorkerResources) -> None:
    work = await disputed(worker_resources)
    assert await work.extend() == 6
    await settle_tasks(work, list(await work.tasks()))
    assert await work.extend() == 0
    made, queue, plan = await seats(work)
    assert not queue
    assert sorted(seat.state for seat in made) == [SeatState.ACCEPTED, SeatState.ACCEPTED, SeatState.CLOSED]
    assert (plan.planned_units, plan.withdrawn_units) == (12, 6)
    assert all(task.planned == task.answered == 2 for task in (await work.tasks()).values())


async def test_rest_gets_a_seat_of_its_own_when_most_of_a_bundle_became_sure(worker_resources: WorkerResources) -> None:
    work = await disputed(worker_resources)
    await work.extend()
    order = sorted(await work.tasks())
    await settle_tasks(work, order[:4])
    assert await work.extend() == 2
    _, queue, plan = await seats(work)
    assert [seat.units for seat in queue] == [2]
    assert (plan.planned_units, plan.withdrawn_units) == (14, 6)
    assert {task.id for task in (await work.tasks()).values() if task.planned == 3} == set(order[4:])


async def test_seat_stays_when_most_of_its_tasks_are_in_doubt(worker_resources: WorkerResources) -> None:
    work = await disputed(worker_resources)
    await work.extend()
    await settle_tasks(work, sorted(await work.tasks())[:2])
    assert await work.extend() == 0
    _, queue, plan = await seats(work)
    assert [seat.units for seat in queue] == [6]
    assert plan.withdrawn_units == 0


async def test_reserved_seat_stays_when_its_tasks_became_sure(worker_resources: WorkerResources) -> None:
    work = await disputed(worker_resources)
    await work.extend()
    async with work.database.hot.acquire() as connection:
        await connection.execute("UPDATE open_seat SET reserved_for = $1", new_id())
    await settle_tasks(work, list(await work.tasks()))
    await work.extend()
    assert len((await seats(work))[1]) == 1


@pytest.mark.parametrize("turn", range(4))
async def test_no_seat_is_lost_or_doubled_when_claims_race_a_withdrawal(
    worker_resources: WorkerResources, turn: int
) -> None:
    plan = {**PLAN, "bundle_max_tasks": 1}
    work = await make_work(worker_resources.database, worker_resources.settings, gold=0, items=8, quality_plan=plan)
    for answering in (work.right, work.wrong):
        worker = await work.worker()
        for _ in range(8):
            await work.do(worker, answering)
    assert await work.extend() == 8
    await settle_tasks(work, list(await work.tasks()))
    racers = [await work.worker() for _ in range(6)]

    async def claim(worker: UUID, wait: float) -> bool:
        await asyncio.sleep(wait)
        try:
            await work.claim(worker)
        except NothingOpen:
            return False
        return True

    delays = [turn * 0.002 + 0.001 * place for place in range(6)]
    results = await asyncio.gather(work.extend(), *(claim(*each) for each in zip(racers, delays, strict=True)))
    taken = sum(bool(result) for result in results[1:])
    made, queue, row = await seats(work)
    states = [seat.state for seat in made]
    assert not queue
    assert (states.count(SeatState.CLAIMED), states.count(SeatState.CLOSED)) == (taken, 8 - taken)
    assert (row.planned_units, row.withdrawn_units) == (16 + taken, 8 - taken)
    assert sum(task.planned for task in (await work.tasks()).values()) == 16 + taken
    async with work.database.sessions() as session:
        held = (await session.exec(select(Claim.seat_id).where(Claim.worker_id.in_(racers)))).all()  # type: ignore[attr-defined]
    assert len(set(held)) == len(held) == taken


async def fund(work: Work, minor: int, *, bonus: int = 0) -> None:
    """Lay money into the request's reserve, and take a bonus out of it."""
    path, cash = reserved(work.request.id), org_cash(work.request.organisation_id)
    async with work.database.sessions() as session:
        await ledger.post(
            session, f"deposit:{work.request.id}", "deposit",
            [debit(psp("sandbox"), minor), credit(cash, minor)], work.request.currency,
        )  # fmt: skip
        await ledger.post(
            session, f"fund:{work.request.id}", "fund", [debit(cash, minor), credit(path, minor)], work.request.currency
        )
        if bonus:
            legs = [debit(path, bonus), credit(cash, bonus)]
            await ledger.post(session, f"bonus:{work.request.id}", "bonus", legs, work.request.currency)
        await session.commit()


async def test_money_that_a_bonus_took_is_not_planned_again(worker_resources: WorkerResources) -> None:
    # 35 minor units an answer: 12 answers are planned for 420, and 300 pay for eight more
    work = await disputed(worker_resources, budget_minor=720)
    await fund(work, 720, bonus=200)
    async with work.database.sessions() as session:
        request = await session.get_one(DatasetRequest, work.request.id)
        contract = await session.get_one(Contract, (work.request.id, work.contract.id))
        assert await bundles.affordable(session, request, contract) == 2
        assert await bundles.affordable(session, request, contract, kept_minor=40) == 1
    assert await work.extend() == 2


async def test_most_doubtful_tasks_come_first_when_money_is_short(worker_resources: WorkerResources) -> None:
    work = await disputed(worker_resources, budget_minor=420 + 3 * 35)
    order = sorted(await work.tasks())
    doubts = dict(zip(order, (0.6, 0.89, 0.51, 0.88, 0.55, 0.87), strict=True))
    async with work.database.sessions() as session:
        for row in (await session.exec(select(Consensus).where(Consensus.request_id == work.request.id))).all():
            sure = doubts[row.task_id]
            row.distribution, row.confidence = {"positive": sure, "negative": 1 - sure}, sure
            session.add(row)
        await session.commit()
    assert await work.extend() == 3
    asked = {task.id for task in (await work.tasks()).values() if task.planned == 3}
    assert asked == {order[0], order[2], order[4]}
    assert await work.extend() == 0


async def test_vendor_learns_whom_to_ask_when_tasks_are_in_doubt(
    worker_resources: WorkerResources, client: httpx.AsyncClient, app: FastAPI
) -> None:
    work = await disputed(worker_resources)
    async with work.database.sessions() as session:
        vendor, other = await make_vendor(session), await make_vendor(session)
        assert vendor.organisation is not None
        contract = await session.get_one(Contract, (work.request.id, work.contract.id))
        contract.vendor_organisation_id = vendor.organisation.id
        session.add(contract)
        good, poor = new_id(), new_id()
        for worker, accuracy in ((good, 0.95), (poor, 0.6)):
            row: dict[str, Any] = {"accuracy": accuracy, "low": 0.5, "high": 1, "answers": 40, "gold": 0}
            session.add(RequestSkill(request_id=work.request.id, worker_id=worker, **row))
        await session.commit()
    for worker in (poor, good):
        await work.worker(worker)
    path = f"/v1/requests/{work.request.id}/contracts/{work.contract.id}/doubts"
    found = (await client.get(path, headers=bearer(app, vendor))).json()
    assert len(found) == 6
    for view in found:
        assert [adviser["worker_id"] for adviser in view["best"]] == [str(good), str(poor)]
        assert view["best"][0]["gain_per_price"] > view["best"][1]["gain_per_price"] > 0
        assert view["best"][0]["gain_per_price"] == pytest.approx(view["best"][0]["gain"] / 0.35)
    assert (await client.get(path, headers=bearer(app, other))).status_code == 404
    await work.extend()
    assert (await client.get(path, headers=bearer(app, vendor))).json() == []


def answer(work: Work, dice: random.Random, accuracy: float, task: UUID) -> Any:
    return work.right(task) if dice.random() < accuracy else work.wrong(task)


@pytest.mark.parametrize(("seed", "budget"), [(1, 10_000), (2, 30 * 2 * 35 + 400), (3, 30 * 2 * 35)])
async def test_request_is_delivered_within_its_money_when_workers_err(
    worker_resources: WorkerResources, seed: int, budget: int
) -> None:
    dice = random.Random(seed)
    plan = {**PLAN, "gold_share": 0.2, "gold_pass_share": 0.0, "adaptive": {"lead": 2}}
    work = await make_work(
        worker_resources.database, worker_resources.settings, items=30, quality_plan=plan, budget_minor=budget
    )
    await fund(work, budget)
    # twice as many as answers are asked of a task: of fewer, all may have met a block while its tasks still want one
    accuracies = (0.95, 0.95, 0.95, 0.9, 0.9, 0.9, 0.8, 0.8, 0.7, 0.6)
    crowd = {await work.worker(): accuracy for accuracy in accuracies}
    for _ in range(40):
        for worker, accuracy in crowd.items():
            said = partial(answer, work, dice, accuracy)
            try:
                await work.do(worker, said)
            except NothingOpen:
                continue
        async with work.database.hot.acquire() as connection:
            await connection.execute("UPDATE outbox SET due_at = due_at - interval '1 second'")
        await run_outbox(worker_resources, only="quality.")
        async with work.database.sessions() as session:
            request = await session.get_one(DatasetRequest, work.request.id)
        if request.state is not RequestState.IN_PRODUCTION:
            break
    assert request.state is RequestState.IN_ACCEPTANCE
    made, queue, row = await seats(work)
    tasks = (await work.tasks()).values()
    assert not queue
    assert sum(task.answered for task in tasks) == sum(task.planned for task in tasks) == row.planned_units
    assert row.planned_units * 35 <= budget
    assert {seat.state for seat in made} <= {SeatState.ACCEPTED, SeatState.CLOSED}
    done = [task for task in tasks if task.done]
    assert len(done) == 30 if budget == 10_000 else len(done) < 30
    async with work.database.sessions() as session:
        model = await request_model(session, work.request.id)
    assert model is not None
    assert model.units == row.planned_units


ABC = LabelSpec(LabelKind.SINGLE_CHOICE, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("said", "ahead"), [("aaa", 3), ("aab", 1), ("aabb", 0), ("aabc", 1), ("abb", -1), ("a", 1), ("bc", -1)]
)
def test_lead_is_over_the_strongest_rival_when_votes_differ(said: str, ahead: int) -> None:
    assert votes_ahead(ABC, choice("a"), [choice(value) for value in said]) == ahead


async def test_task_asks_again_when_it_is_sure_without_the_lead(worker_resources: WorkerResources) -> None:
    plan = {**PLAN, "adaptive": {"lead": 3}}
    work = await make_work(worker_resources.database, worker_resources.settings, gold=0, quality_plan=plan)
    for _ in range(2):
        await work.do(await work.worker(), work.right)
    assert all(row.confidence > 0.9 and not row.done for row in (await work.consensus()).values())
    assert await work.extend() == 6
    await work.do(await work.worker(), work.right)
    assert all(row.done for row in (await work.consensus()).values())


async def test_contract_ends_when_all_became_sure_after_a_withdrawal(worker_resources: WorkerResources) -> None:
    work = await disputed(worker_resources)
    await work.extend()
    await settle_tasks(work, list(await work.tasks()))
    await work.extend()
    async with work.database.sessions() as session:
        await completion.sweep(session)
        await session.commit()
        open_seats = (await session.exec(select(OpenSeat).where(col(OpenSeat.request_id) == work.request.id))).all()
    assert not open_seats
