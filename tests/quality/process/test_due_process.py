"""Due process over HTTP: the brake, held verdicts, who may answer an appeal and by when, what is public."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, text
from sqlmodel import col, select

from marketplace.audit.models import AuditEntry
from marketplace.core.actor import Role
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.outbox import Outbox
from marketplace.core.settings import Settings
from marketplace.quality.models import Appeal, Verdict, WorkerGold
from marketplace.quality.states import AppealState, Outcome, ReasonCode, VerdictState
from marketplace.tasks.models import Seat
from marketplace.tasks.states import ClaimState, SeatState
from tests.factories.identity import Party, bearer, make_approved_worker, make_enterprise, make_operator
from tests.quality.work import Work, make_work

PLAN = {"overlap_min": 2, "overlap_max": 3, "gold_share": 0.25, "bundle_max_tasks": 6, "max_reworks": 0}


@dataclass
class Scene:
    """A request whose gates reject, and everybody who has to do with it."""

    client: httpx.AsyncClient
    app: FastAPI
    work: Work
    enterprise: Party
    worker: Party
    arbitrator: Party
    other: Party

    async def get(self, party: Party, path: str, **params: Any) -> httpx.Response:
        return await self.client.get(f"/v1{path}", params=params, headers=bearer(self.app, party))

    async def post(self, party: Party, path: str, body: dict[str, Any]) -> httpx.Response:
        return await self.client.post(f"/v1{path}", json=body, headers=bearer(self.app, party))

    @property
    def path(self) -> str:
        return f"/requests/{self.work.request.id}"

    async def history(self, rejected: int, accepted: int = 0) -> None:
        """Verdicts that the gates gave before, each on another worker."""
        moment = now()
        async with self.work.database.sessions() as session:
            for number in range(rejected + accepted):
                bad = number < rejected
                session.add(
                    Verdict(
                        request_id=self.work.request.id,
                        claim_id=UUID(int=number + 1),
                        revision=1,
                        contract_id=self.work.contract.id,
                        worker_id=UUID(int=number + 1),
                        outcome=Outcome.REJECTED if bad else Outcome.ACCEPTED,
                        reason_code=ReasonCode.GOLD_ACCURACY if bad else ReasonCode.PASSED,
                        evidence={"gates": []},
                        gate_set_version="v",
                        decided_by="gates",
                        final_at=moment + timedelta(days=7),
                    )
                )
            await session.commit()

    async def held(self) -> dict[str, Any]:
        """The worker's wrong bundle, held because so many others were rejected before."""
        await self.history(rejected=10, accepted=10)
        worker = await self.work.worker(self.worker.actor.id)
        claim = await self.work.claim(worker)
        revision = await self.work.submit(claim, worker, self.work.wrong)
        verdicts = await asyncio.gather(*(self.work.judge(claim.id, revision) for _ in range(3)))
        assert verdicts == [None, None, None]
        (row,) = (await self.get(self.arbitrator, "/held-verdicts")).json()["items"]
        assert row["claim_id"] == str(claim.id)
        found: dict[str, Any] = row
        return found

    async def decide(self, party: Party, held: dict[str, Any], decision: str) -> httpx.Response:
        body = {"decision": decision, "reason": "The gold of this request is disputed."}
        return await self.post(party, f"/held-verdicts/{self.work.request.id}/{held['id']}/decide", body)


@pytest.fixture
async def scene(client: httpx.AsyncClient, app: FastAPI, database: Database, settings: Settings) -> Scene:
    async with database.sessions() as session:
        enterprise, worker = await make_enterprise(session), await make_approved_worker(session)
        arbitrator = await make_operator(session, Role.ARBITRATOR)
        other = await make_enterprise(session)
        await session.commit()
    assert enterprise.organisation is not None
    work = await make_work(
        database, settings, quality_plan=PLAN, organisation=enterprise.organisation.id, budget_minor=100_000
    )
    return Scene(client, app, work, enterprise, worker, arbitrator, other)


async def test_rejection_is_held_when_many_workers_were_rejected(scene: Scene) -> None:
    held = await scene.held()
    assert (held["state"], held["reason_code"]) == ("waiting", "gold_accuracy")
    assert not any(str(task) in str(held) for task in scene.work.gold)
    claim = await scene.work.claim_row(UUID(held["claim_id"]))
    assert claim.state is ClaimState.SUBMITTED
    shown = (await scene.get(scene.enterprise, f"{scene.path}/brake")).json()
    assert (shown["is_closed"], shown["why"], shown["times"], shown["waiting"]) == (True, "mass_rejection", 1, 1)
    assert shown["figures"]["rejected"] == 10
    async with scene.work.database.sessions() as session:
        record = await session.get_one(WorkerGold, (scene.work.request.id, scene.worker.actor.id))
        assert record.seen == claim.gold_count, "three judgements count the bundle's gold once"
        actions = select(AuditEntry.action).where(col(AuditEntry.action).in_(["brake.closed", "verdict.held"]))
        assert sorted((await session.exec(actions)).all()) == ["brake.closed", "verdict.held"]


async def test_good_work_is_accepted_when_the_brake_is_closed(scene: Scene) -> None:
    await scene.held()
    verdict = await scene.work.do(await scene.work.worker(), scene.work.right)
    assert verdict.outcome is Outcome.ACCEPTED


async def test_worker_sees_only_that_a_person_reviews_when_held(scene: Scene) -> None:
    held = await scene.held()
    mine = (await scene.get(scene.worker, "/me/reviews")).json()["items"]
    assert [row["claim_id"] for row in mine] == [held["claim_id"]]
    assert mine[0].keys() == {"id", "request_id", "claim_id", "revision", "created_at"}
    answer = await scene.get(scene.worker, f"{scene.path}/claims/{held['claim_id']}/verdict")
    assert (answer.status_code, answer.json()["code"]) == (404, "under_review")
    assert (await scene.get(scene.worker, "/held-verdicts")).status_code == 403


async def test_held_work_counts_once_when_two_accept_it_at_once(scene: Scene) -> None:
    held = await scene.held()
    answers = await asyncio.gather(*(scene.decide(scene.arbitrator, held, "accepted") for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    claim = await scene.work.claim_row(UUID(held["claim_id"]))
    assert claim.state is ClaimState.ACCEPTED
    async with scene.work.database.sessions() as session:
        accrued = select(func.count()).select_from(Outbox).where(Outbox.kind == "settlement.accrue")
        assert (await session.exec(accrued)).one() == 1
    shown = (await scene.get(scene.worker, f"{scene.path}/claims/{held['claim_id']}/verdict")).json()
    assert (shown["outcome"], shown["reason_code"]) == ("accepted", "overturned")
    assert shown["evidence"]["review"] == "The gold of this request is disputed."
    assert (await scene.get(scene.worker, "/me/reviews")).json()["items"] == []


async def test_confirmed_rejection_is_appealed_to_somebody_else_when_held(scene: Scene) -> None:
    held = await scene.held()
    assert (await scene.decide(scene.arbitrator, held, "confirmed")).status_code == 200
    claim = await scene.work.claim_row(UUID(held["claim_id"]))
    assert claim.state is ClaimState.REJECTED
    async with scene.work.database.sessions() as session:
        seat = await session.get_one(Seat, (scene.work.request.id, claim.seat_id))
        assert seat.state is SeatState.READY
    shown = (await scene.get(scene.worker, f"{scene.path}/claims/{held['claim_id']}/verdict")).json()
    assert shown["can_appeal"]
    appeal = await scene.post(scene.worker, f"{scene.path}/verdicts/{shown['id']}/appeal", {"text": "我标得对"})
    body = {"decision": "upheld", "answer": "No."}
    decided = await scene.post(scene.arbitrator, f"/appeals/{scene.work.request.id}/{appeal.json()['id']}/decide", body)
    assert (decided.status_code, decided.json()["code"]) == (403, "judged_before")


async def test_gates_reject_again_when_a_person_opened_the_brake(scene: Scene) -> None:
    held = await scene.held()
    answer = await scene.post(scene.arbitrator, f"{scene.path}/brake/open", {"reason": "Gold was corrected."})
    assert (answer.status_code, answer.json()["is_closed"], answer.json()["waiting"]) == (200, False, 1)
    again = await scene.post(scene.arbitrator, f"{scene.path}/brake/open", {"reason": "Gold was corrected."})
    assert again.json()["code"] == "brake_open"
    verdict = await scene.work.do(await scene.work.worker(), scene.work.wrong)
    assert verdict.outcome is Outcome.REJECTED
    assert (await scene.decide(scene.arbitrator, held, "confirmed")).status_code == 200


async def test_brake_closes_again_when_rejections_go_on_after_it_was_opened(scene: Scene) -> None:
    await scene.held()
    await scene.post(scene.arbitrator, f"{scene.path}/brake/open", {"reason": "Gold was corrected."})
    async with scene.work.database.sessions() as session:
        await session.execute(text("UPDATE verdict SET created_at = now()"))
        await session.commit()
    worker = await scene.work.worker()
    claim = await scene.work.claim(worker)
    assert await scene.work.judge(claim.id, await scene.work.submit(claim, worker, scene.work.wrong)) is None
    shown = (await scene.get(scene.enterprise, f"{scene.path}/brake")).json()
    assert (shown["is_closed"], shown["times"]) == (True, 2)


async def test_brake_and_decisions_are_refused_when_another_tenant_asks(scene: Scene) -> None:
    held = await scene.held()
    assert (await scene.get(scene.other, f"{scene.path}/brake")).status_code == 404
    for party in (scene.other, scene.enterprise, scene.worker):
        assert (await scene.decide(party, held, "confirmed")).status_code == 403
        assert (await scene.post(party, f"{scene.path}/brake/open", {"reason": "x"})).status_code == 403


async def test_open_appeals_come_by_due_date_when_one_is_overdue(scene: Scene) -> None:
    await scene.history(rejected=4)
    async with scene.work.database.sessions() as session:
        verdicts = (await session.exec(select(Verdict).order_by(col(Verdict.claim_id)))).all()
        for late, verdict in zip((1, -2, -1, 2), verdicts, strict=True):
            due = now() + timedelta(days=late)
            session.add(
                Appeal(
                    request_id=verdict.request_id, verdict_id=verdict.id, worker_id=verdict.worker_id, text="不对",
                    answer_due_at=due,
                )
            )  # fmt: skip
        await session.commit()
    pages, cursor = [], None
    while True:
        page = (await scene.get(scene.arbitrator, "/appeals", limit=1, **({"cursor": cursor} if cursor else {}))).json()
        pages += [(UUID(row["worker_id"]).int, row["is_overdue"]) for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == [(2, True), (3, True), (1, False), (4, False)]


async def test_requester_is_counted_when_appeals_were_overturned(scene: Scene) -> None:
    await scene.history(rejected=3, accepted=5)
    moment = now()
    async with scene.work.database.sessions() as session:
        verdicts = (await session.exec(select(Verdict).order_by(col(Verdict.claim_id)).limit(3))).all()
        for verdict, state, hours in zip(
            verdicts, (AppealState.OVERTURNED, AppealState.UPHELD, AppealState.OPEN), (2, 6, None), strict=True
        ):
            answered = None if hours is None else moment + timedelta(hours=hours)
            session.add(
                Appeal(
                    request_id=verdict.request_id, verdict_id=verdict.id, worker_id=verdict.worker_id, text="不对",
                    state=state, created_at=moment, answer_due_at=moment, answered_at=answered,
                )
            )  # fmt: skip
        verdicts[0].outcome, verdicts[0].state = Outcome.ACCEPTED, VerdictState.OVERTURNED
        verdicts[1].created_at = moment - timedelta(days=91)
        session.add_all(verdicts[:2])
        await session.commit()
    assert scene.enterprise.organisation is not None
    path = f"/requesters/{scene.enterprise.organisation.id}/due-process"
    shown = (await scene.get(scene.worker, path)).json()
    figures = shown["all_time"]
    assert (figures["decided"], figures["rejected"], figures["rejected_share"]) == (8, 3, 0.375)
    assert (figures["appeals"], figures["appeals_decided"], figures["overturned_share"]) == (3, 2, 0.5)
    assert figures["median_answer_hours"] == 4.0
    assert (shown["last_90_days"]["decided"], shown["last_90_days"]["rejected"]) == (7, 2)
    unknown = await scene.get(scene.worker, f"/requesters/{scene.work.request.id}/due-process")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "requester_unknown")


async def test_rejection_names_guideline_and_clause_when_the_enterprise_gave_one(scene: Scene) -> None:
    async with scene.work.database.sessions() as session:
        clauses = 'UPDATE guideline SET clauses = \'{"gold_accuracy": "§ 3 讽刺按字面意思的反面标注"}\''
        await session.execute(text(clauses))
        await session.commit()
    verdict = await scene.work.do(await scene.work.worker(scene.worker.actor.id), scene.work.wrong)
    shown = (await scene.get(scene.worker, f"{scene.path}/claims/{verdict.claim_id}/verdict")).json()
    assert shown["evidence"]["guideline_version"] == 1
    assert shown["evidence"]["clause"] == "§ 3 讽刺按字面意思的反面标注"
