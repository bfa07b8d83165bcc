"""Gold over HTTP and by rule: exposure, doubts and what follows from them, candidates, dealing."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlmodel import col, select

from marketplace.catalog.models import DatasetRequest, Gold, Item
from marketplace.catalog.states import RequestState
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.settings import Settings
from marketplace.quality.gold.policy import MOST_WORKERS, GoldTally, is_doubtful, is_overexposed
from marketplace.quality.gold.trust import trusted_truths
from marketplace.quality.gold.watch import watch
from marketplace.quality.learned_models import RequestSkill
from marketplace.quality.models import Consensus, Verdict, WorkerGold
from marketplace.quality.states import Outcome, VerdictState
from marketplace.tasks import pools
from marketplace.tasks.gold_models import GoldAddition, GoldPause
from tests.factories.identity import Party, bearer, make_approved_worker, make_enterprise
from tests.quality.work import Work, choice, make_work

PLAN = {
    "overlap_min": 8, "overlap_max": 8, "gold_share": 0.25, "gold_pass_share": 0.9, "bundle_max_tasks": 6,
    "max_reworks": 0,
}  # fmt: skip


@dataclass
class Scene:
    """A request with two gold items, of which one has a wrong truth; every worker meets both."""

    client: httpx.AsyncClient
    app: FastAPI
    work: Work
    enterprise: Party
    other: Party
    bad: UUID

    async def get(self, party: Party, path: str, **params: Any) -> httpx.Response:
        return await self.client.get(f"/v1{path}", params=params, headers=bearer(self.app, party))

    async def post(self, path: str, body: dict[str, Any], party: Party | None = None) -> httpx.Response:
        return await self.client.post(f"/v1{path}", json=body, headers=bearer(self.app, party or self.enterprise))

    @property
    def path(self) -> str:
        return f"/requests/{self.work.request.id}"

    def really(self, task: UUID) -> Any:
        """What careful workers say: the opposite of the wrong truth."""
        return self.work.wrong(task) if task == self.bad else self.work.right(task)

    async def crowd(self, count: int) -> list[Verdict]:
        """Good workers do a bundle each."""
        verdicts = [await self.work.do(await self.work.worker(), self.really) for _ in range(count)]
        async with self.work.database.sessions() as session:
            for verdict in verdicts:
                session.add(
                    RequestSkill(
                        request_id=self.work.request.id, worker_id=verdict.worker_id,
                        accuracy=0.95, low=0.85, high=0.99, answers=50, gold=2,
                    )
                )  # fmt: skip
            await session.commit()
        return verdicts

    async def watch(self) -> None:
        async with self.work.database.sessions() as session:
            await watch(session, self.work.request.id)
            await session.commit()

    async def decide(self, decision: str, **fields: Any) -> httpx.Response:
        body = {"decision": decision, "reason": "它是反话", **fields}
        return await self.post(f"{self.path}/gold/{self.bad}/decide", body)


@pytest.fixture
async def scene(client: httpx.AsyncClient, app: FastAPI, database: Database, settings: Settings) -> Scene:
    async with database.sessions() as session:
        enterprise, other = await make_enterprise(session), await make_enterprise(session)
        await session.commit()
    assert enterprise.organisation is not None
    work = await make_work(
        database, settings, gold=2, quality_plan=PLAN, organisation=enterprise.organisation.id, budget_minor=100_000
    )
    async with database.sessions() as session:
        request = await session.get_one(DatasetRequest, work.request.id)
        request.state = RequestState.IN_PRODUCTION
        session.add(request)
        await session.commit()
    return Scene(client, app, work, enterprise, other, min(work.gold))


@pytest.mark.parametrize(
    ("good", "right", "doubtful"), [(5, 1, True), (5, 2, False), (4, 0, False), (10, 3, True), (10, 4, False)]
)
def test_gold_is_doubtful_when_good_workers_agree_against_it(good: int, right: int, doubtful: bool) -> None:
    assert is_doubtful(GoldTally(workers=50, right=45, good_workers=good, good_right=right)) is doubtful


def test_gold_is_overexposed_when_more_workers_met_it_than_the_bar() -> None:
    assert not is_overexposed(GoldTally(workers=MOST_WORKERS))
    assert is_overexposed(GoldTally(workers=MOST_WORKERS + 1))


async def test_gold_is_raised_to_its_enterprise_when_good_workers_disagree(scene: Scene) -> None:
    await scene.crowd(5)
    await asyncio.gather(scene.watch(), scene.watch())
    shown = (await scene.get(scene.enterprise, f"{scene.path}/gold")).json()["items"]
    by_id = {row["item_id"]: row for row in shown}
    bad, good = by_id.pop(str(scene.bad)), by_id.popitem()[1]
    assert (bad["state"], bad["why"], bad["workers"]) == ("in_doubt", "good_workers_disagree", 5)
    assert (bad["right_share"], bad["good_workers"], bad["good_right_share"]) == (0.0, 5, 0.0)
    assert (good["state"], good["workers"], good["right_share"]) == ("active", 5, 1.0)
    doubts = (await scene.get(scene.enterprise, f"{scene.path}/gold", state="in_doubt")).json()["items"]
    assert [row["item_id"] for row in doubts] == [str(scene.bad)]
    async with scene.work.database.sessions() as session:
        assert scene.bad not in await trusted_truths(session, scene.work.request.id)
    assert (await scene.get(scene.other, f"{scene.path}/gold")).status_code == 404
    async with scene.work.database.sessions() as session:
        worker = await make_approved_worker(session)
        await session.commit()
    assert (await scene.get(worker, f"{scene.path}/gold")).status_code == 403


async def test_gold_in_doubt_is_not_dealt_and_not_judged_when_a_claim_comes_later(scene: Scene) -> None:
    held_before = await scene.work.worker()
    claim = await scene.work.claim(held_before)
    await scene.crowd(5)
    await scene.watch()
    async with scene.work.database.sessions() as session:
        await session.execute(text("UPDATE gold_pause SET from_at = now()"))
        await session.commit()
    pools._pools.clear()  # as after `POOL_SECONDS`
    assert scene.bad in await scene.work.tasks_of(claim, held_before), "a claim keeps the gold it was made with"
    verdict = await scene.work.judge(claim.id, await scene.work.submit(claim, held_before, scene.really))
    assert verdict is not None
    assert verdict.outcome is Outcome.ACCEPTED
    async with scene.work.database.sessions() as session:
        assert (await session.get_one(WorkerGold, (scene.work.request.id, held_before))).seen == 1
    later = await scene.work.worker()
    tasks = await scene.work.tasks_of(await scene.work.claim(later), later)
    assert scene.bad not in tasks
    assert set(tasks) & scene.work.gold == scene.work.gold - {scene.bad}


async def test_rejections_can_be_appealed_anew_and_records_are_right_when_gold_is_corrected(scene: Scene) -> None:
    verdicts = await scene.crowd(5)
    rejected = verdicts[0]
    assert {verdict.outcome for verdict in verdicts} == {Outcome.REJECTED}
    async with scene.work.database.sessions() as session:
        old = now() - timedelta(days=1)
        await session.execute(text("UPDATE verdict SET final_at = :old, state = 'final'"), {"old": old})
        await session.commit()
    await scene.watch()
    assert (await scene.decide("corrected")).json()["code"] == "gold_truth_needed"
    assert (await scene.decide("corrected", truth={"choice": "no such"})).json()["code"] == "gold_truth_needed"
    answers = await asyncio.gather(*(scene.decide("corrected", truth=scene.really(scene.bad)) for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    shown = next(answer for answer in answers if answer.status_code == 200).json()
    assert (shown["state"], shown["truth"], shown["right_share"]) == ("corrected", scene.really(scene.bad), 1.0)
    async with scene.work.database.sessions() as session:
        verdict = await session.get_one(Verdict, (scene.work.request.id, rejected.id))
        assert (verdict.state, verdict.final_at > now()) == (VerdictState.GIVEN, True)
        assert not any(str(gold) in str(verdict.evidence) for gold in scene.work.gold)
        records = (await session.exec(select(WorkerGold))).all()
        assert {(record.right, record.seen) for record in records} == {(2, 2)}
        pause = (await session.exec(select(GoldPause))).one()
        assert pause.until_at is not None


async def test_marks_are_taken_back_when_doubtful_gold_is_retired(scene: Scene) -> None:
    await scene.crowd(5)
    await scene.watch()
    assert (await scene.decide("retired")).json()["state"] == "retired"
    async with scene.work.database.sessions() as session:
        records = (await session.exec(select(WorkerGold))).all()
        assert {(record.right, record.seen) for record in records} == {(1, 1)}
        assert (await session.exec(select(GoldPause))).one().until_at is None
        assert scene.bad not in await trusted_truths(session, scene.work.request.id)


async def test_gold_is_not_raised_again_when_a_person_kept_it(scene: Scene) -> None:
    await scene.crowd(5)
    await scene.watch()
    assert (await scene.decide("kept")).json()["state"] == "kept"
    await scene.watch()
    shown = (await scene.get(scene.enterprise, f"{scene.path}/gold", state="in_doubt")).json()["items"]
    assert shown == []


async def test_sure_tasks_become_gold_for_strangers_when_their_enterprise_confirms(scene: Scene) -> None:
    worker = await scene.work.worker()
    await scene.work.do(worker, scene.really)
    tasks = sorted(await scene.work.tasks())
    async with scene.work.database.sessions() as session:
        await session.execute(text("DELETE FROM consensus"))
        for number, task in enumerate(tasks[:3]):
            session.add(
                Consensus(
                    request_id=scene.work.request.id, task_id=task, value=choice("positive"), done=True,
                    confidence=0.995 if number else 0.98, answers=5, distribution={},
                )
            )  # fmt: skip
        await session.commit()
    await scene.watch()
    shown = (await scene.get(scene.enterprise, f"{scene.path}/gold-candidates")).json()["items"]
    assert {row["task_id"] for row in shown} == {str(task) for task in tasks[1:3]}
    assert {row["source"] for row in shown} == {"confident"}
    body = {"decision": "confirmed", "task_ids": [str(task) for task in tasks[:2]]}
    path = f"{scene.path}/gold-candidates/decide"
    assert (await scene.post(path, body)).json()["code"] == "gold_candidate_unknown"
    assert (await scene.post(path, body, scene.other)).status_code == 404
    body["task_ids"] = [str(tasks[1])]
    answers = await asyncio.gather(*(scene.post(path, body) for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 404]
    async with scene.work.database.sessions() as session:
        added = (await session.exec(select(GoldAddition))).one()
        copy = await session.get_one(Item, (scene.work.request.id, added.item_id))
        origin = await session.get_one(Item, (scene.work.request.id, tasks[1]))
        gold = await session.get_one(Gold, (scene.work.request.id, copy.id))
        assert (copy.position, copy.data, gold.truth) == (-1, origin.data, choice("positive"))
        assert added.met == [worker]
        assert (await session.get_one(DatasetRequest, scene.work.request.id)).gold_count == 3
        found = await session.exec(select(Item.id).where(col(Item.position) >= 0))
        assert copy.id not in found.all()


async def test_workers_meet_less_gold_when_their_accuracy_is_known(database: Database, settings: Settings) -> None:
    plan = {**PLAN, "overlap_min": 2, "gold_share": 0.4}
    work = await make_work(database, settings, items=12, quality_plan=plan, budget_minor=100_000)
    known, newcomer = await work.worker(), await work.worker()
    async with database.sessions() as session:
        request = await session.get_one(DatasetRequest, work.request.id)
        request.state = RequestState.IN_PRODUCTION
        session.add(
            RequestSkill(
                request_id=work.request.id, worker_id=known, accuracy=0.95, low=0.93, high=0.97, answers=500, gold=50
            )
        )
        await watch(session, work.request.id)
        await session.commit()
    assert (await work.claim(newcomer)).gold_count == 4
    first, second = await work.claim(known), await work.claim(known)
    assert (first.gold_count, second.gold_count) == (1, 1)
    assert second.gold_start == first.gold_start + 1, "no gold is met twice or left out"
