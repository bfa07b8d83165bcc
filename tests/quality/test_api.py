"""Quality over HTTP: who sees what, appeals from rejection to pay, browsing and samples."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func
from sqlmodel import col, select

from marketplace.audit.models import AuditEntry
from marketplace.core.actor import Role
from marketplace.core.db import Database
from marketplace.core.outbox import Outbox
from marketplace.core.settings import Settings
from marketplace.quality.models import Verdict
from marketplace.quality.queries import contestable_units
from marketplace.quality.states import Outcome, ReasonCode, VerdictState
from marketplace.tasks.models import Seat
from marketplace.tasks.states import ClaimState, SeatState
from tests.factories.identity import (
    Party,
    actor_for,
    bearer,
    make_approved_worker,
    make_enterprise,
    make_member,
    make_operator,
)
from tests.quality.work import Work, make_work

PLAN = {"overlap_min": 2, "overlap_max": 3, "gold_share": 0.25, "bundle_max_tasks": 6, "max_reworks": 0}


@dataclass
class Scene:
    """A request with one accepted and one rejected bundle, and everybody who has to do with it."""

    client: httpx.AsyncClient
    app: FastAPI
    work: Work
    enterprise: Party
    stranger: Party
    worker: Party
    arbitrator: Party
    rejected: Verdict

    async def get(self, party: Party, path: str, **params: Any) -> httpx.Response:
        return await self.client.get(f"/v1{path}", params=params, headers=bearer(self.app, party))

    async def post(self, party: Party, path: str, body: dict[str, Any]) -> httpx.Response:
        return await self.client.post(f"/v1{path}", json=body, headers=bearer(self.app, party))

    @property
    def request_path(self) -> str:
        return f"/requests/{self.work.request.id}"

    async def appeal(self) -> dict[str, Any]:
        answer = await self.post(
            self.worker, f"{self.request_path}/verdicts/{self.rejected.id}/appeal", {"text": "我按照指南标注。"}
        )
        assert answer.status_code == 201, answer.text
        appeal: dict[str, Any] = answer.json()
        return appeal

    async def decide(self, party: Party, appeal: dict[str, Any], decision: str) -> httpx.Response:
        path = f"/appeals/{self.work.request.id}/{appeal['id']}/decide"
        return await self.post(party, path, {"decision": decision, "answer": "Looked at by two people."})


@pytest.fixture
async def scene(client: httpx.AsyncClient, app: FastAPI, database: Database, settings: Settings) -> Scene:
    async with database.sessions() as session:
        enterprise, stranger = await make_enterprise(session), await make_enterprise(session)
        worker, arbitrator = await make_approved_worker(session), await make_operator(session, Role.ARBITRATOR)
        await session.commit()
    assert enterprise.organisation is not None
    work = await make_work(
        database, settings, quality_plan=PLAN, organisation=enterprise.organisation.id, budget_minor=10_000
    )
    await work.do(await work.worker(), work.right)
    rejected = await work.do(await work.worker(worker.actor.id), work.wrong)
    assert rejected.outcome is Outcome.REJECTED
    return Scene(client, app, work, enterprise, stranger, worker, arbitrator, rejected)


async def test_worker_sees_reason_and_evidence_when_rejected(scene: Scene) -> None:
    answer = (await scene.get(scene.worker, "/me/verdicts")).json()
    assert [(row["reason_code"], row["can_appeal"]) for row in answer["items"]] == [("gold_accuracy", True)]
    one = await scene.get(scene.worker, f"{scene.request_path}/claims/{scene.rejected.claim_id}/verdict")
    assert one.json() == answer["items"][0]
    assert not any(str(task) in one.text for task in scene.work.gold)


async def test_verdict_is_hidden_when_the_claim_is_somebody_elses(scene: Scene) -> None:
    async with scene.work.database.sessions() as session:
        other = await make_approved_worker(session)
        await session.commit()
    path = f"{scene.request_path}/claims/{scene.rejected.claim_id}/verdict"
    assert (await scene.get(other, path)).status_code == 404
    appeal = f"{scene.request_path}/verdicts/{scene.rejected.id}/appeal"
    assert (await scene.post(other, appeal, {"text": "mine"})).status_code == 404


async def test_overturned_rejection_counts_and_is_paid_when_the_seat_was_reissued(scene: Scene) -> None:
    other = await scene.work.do(await scene.work.worker(), scene.work.right)  # takes the reissued seat
    assert (await scene.work.claim_row(other.claim_id)).seat_id == (
        await scene.work.claim_row(scene.rejected.claim_id)
    ).seat_id
    appeal = await scene.appeal()
    async with scene.work.database.sessions() as session:
        assert sum(await contestable_units(session, scene.work.request.id)) == 6
    listed = (await scene.get(scene.arbitrator, "/appeals")).json()["items"]
    assert [row["id"] for row in listed] == [appeal["id"]]
    answer = await scene.decide(scene.arbitrator, appeal, "overturned")
    assert answer.status_code == 200, answer.text
    claim = await scene.work.claim_row(scene.rejected.claim_id)
    assert claim.state is ClaimState.ACCEPTED
    async with scene.work.database.sessions() as session:
        verdict = await session.get_one(Verdict, (scene.work.request.id, scene.rejected.id))
        seat = await session.get_one(Seat, (scene.work.request.id, claim.seat_id))
        asked = (
            select(func.count())
            .select_from(Outbox)
            .where(Outbox.kind == "settlement.accrue", col(Outbox.payload).contains({"claim_id": str(claim.id)}))
        )
        assert (await session.exec(asked)).one() == 1
    assert (verdict.state, verdict.outcome) == (VerdictState.OVERTURNED, Outcome.ACCEPTED)
    assert verdict.reason_code is ReasonCode.OVERTURNED
    assert seat.state is SeatState.ACCEPTED
    assert {row.answers for row in (await scene.work.consensus()).values()} == {3}
    async with scene.work.database.sessions() as session:
        assert await contestable_units(session, scene.work.request.id) == []
    assert (await scene.decide(scene.arbitrator, appeal, "overturned")).json()["code"] == "appeal_decided"


async def test_upheld_rejection_stays_unpaid_when_decided(scene: Scene) -> None:
    appeal = await scene.appeal()
    assert (await scene.decide(scene.arbitrator, appeal, "upheld")).json()["state"] == "upheld"
    assert (await scene.work.claim_row(scene.rejected.claim_id)).state is ClaimState.REJECTED
    again = await scene.post(
        scene.worker, f"{scene.request_path}/verdicts/{scene.rejected.id}/appeal", {"text": "again"}
    )
    assert (again.status_code, again.json()["code"]) == (409, "appeal_not_possible")


async def test_appeal_stays_open_when_the_decision_is_open(scene: Scene) -> None:
    answer = await scene.decide(scene.arbitrator, await scene.appeal(), "open")
    assert (answer.status_code, answer.json()["code"]) == (409, "transition_refused")


async def test_acceptance_cannot_be_appealed(scene: Scene) -> None:
    async with scene.work.database.sessions() as session:
        worker = await make_approved_worker(session)
        await session.commit()
    verdict = await scene.work.do(await scene.work.worker(worker.actor.id), scene.work.right)
    answer = await scene.post(worker, f"{scene.request_path}/verdicts/{verdict.id}/appeal", {"text": "?"})
    assert answer.json()["code"] == "appeal_not_possible"


async def test_appeal_is_refused_when_its_window_has_ended(scene: Scene) -> None:
    async with scene.work.database.hot.acquire() as connection:
        await connection.execute("UPDATE verdict SET final_at = now() - interval '1 second'")
    path = f"{scene.request_path}/verdicts/{scene.rejected.id}/appeal"
    answer = await scene.post(scene.worker, path, {"text": "late"})
    assert (answer.status_code, answer.json()["code"]) == (409, "appeal_too_late")


async def test_nobody_decides_their_own_appeal_when_also_an_arbitrator(scene: Scene) -> None:
    appeal = await scene.appeal()
    assert scene.arbitrator.organisation is not None
    async with scene.work.database.sessions() as session:
        await make_member(session, scene.arbitrator.organisation, Role.ARBITRATOR, person=scene.worker.person)
        await session.commit()
    both = Party(
        scene.worker.person,
        scene.arbitrator.organisation,
        actor_for(scene.worker.person, scene.arbitrator.organisation, Role.ARBITRATOR),
    )
    answer = await scene.decide(both, appeal, "overturned")
    assert (answer.status_code, answer.json()["code"]) == (403, "own_appeal")


async def test_only_the_operator_decides_when_the_enterprise_tries(scene: Scene) -> None:
    answer = await scene.decide(scene.enterprise, await scene.appeal(), "upheld")
    assert answer.status_code == 403
    assert (await scene.get(scene.enterprise, "/appeals")).status_code == 403


@pytest.mark.parametrize("path", ["/quality", "/items", "/delivery/sample", "/card"])
async def test_labels_are_hidden_when_the_request_is_another_enterprises(scene: Scene, path: str) -> None:
    assert (await scene.get(scene.enterprise, scene.request_path + path)).status_code == 200
    assert (await scene.get(scene.stranger, scene.request_path + path)).status_code == 404
    assert (await scene.get(scene.worker, scene.request_path + path)).status_code == 403


async def test_items_come_in_pages_without_gold_and_leave_a_trail(scene: Scene) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 4, **({"cursor": cursor} if cursor else {})}
        page = (await scene.get(scene.enterprise, f"{scene.request_path}/items", **params)).json()
        seen += [row["id"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [UUID(item) for item in seen] == sorted(await scene.work.tasks())
    async with scene.work.database.sessions() as session:
        viewed = select(func.count()).select_from(AuditEntry).where(AuditEntry.action == "items.viewed")
        assert (await session.exec(viewed)).one() == 2


async def test_items_narrow_when_answers_disagree(scene: Scene) -> None:
    doubtful = min(await scene.work.tasks())
    await scene.work.do(
        await scene.work.worker(),
        lambda task: scene.work.wrong(task) if task == doubtful else scene.work.right(task),
    )
    path = f"{scene.request_path}/items"
    found = (await scene.get(scene.enterprise, path, disagreement=True)).json()["items"]
    assert [row["id"] for row in found] == [str(doubtful)]
    consensus = await scene.work.consensus()
    least = consensus[doubtful].confidence
    assert all(row.confidence > least for task, row in consensus.items() if task != doubtful)
    unsure = (await scene.get(scene.enterprise, path, confidence_below=least + 1e-6)).json()["items"]
    assert [row["id"] for row in unsure] == [str(doubtful)]
    positive = (await scene.get(scene.enterprise, path, label="positive")).json()["items"]
    assert {row["id"] for row in positive} == {
        str(task) for task, row in consensus.items() if row.value["choice"] == "positive"
    }
    done = (await scene.get(scene.enterprise, path, is_done=True)).json()["items"]
    assert {row["id"] for row in done} == {str(task) for task, row in consensus.items() if row.done}


async def test_sample_is_the_same_when_the_seed_is(scene: Scene) -> None:
    path = f"{scene.request_path}/delivery/sample"
    one = (await scene.get(scene.enterprise, path, size=3, seed=5)).json()
    assert one == (await scene.get(scene.enterprise, path, size=3, seed=5)).json()
    assert len({row["id"] for row in one["items"]}) == 3
    assert all(len(row["given"]) == 1 and row["given"][0]["worker"].startswith("w") for row in one["items"])
    others = [(await scene.get(scene.enterprise, path, size=3, seed=seed)).json()["items"] for seed in range(6)]
    assert len({tuple(row["id"] for row in items) for items in others}) > 1


async def test_report_and_card_when_work_is_under_way(scene: Scene) -> None:
    report = (await scene.get(scene.enterprise, f"{scene.request_path}/quality")).json()
    assert (report["tasks"], report["labeled"], report["submissions"]["rejected"]) == (6, 6, 1)
    card = (await scene.get(scene.enterprise, f"{scene.request_path}/card")).json()
    assert card["label_definition"]["kind"] == "single_choice"
    assert card["report"]["gold"] == report["gold"]
