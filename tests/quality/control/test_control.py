"""Control rules on a request under way: put over HTTP, carried out by the job, read by the worker, lifted."""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlmodel import select

from marketplace.core.actor import Role
from marketplace.core.db import Database
from marketplace.core.settings import Settings
from marketplace.identity.models import Person
from marketplace.quality import conduct
from marketplace.quality.control.models import ControlAction
from marketplace.tasks.errors import WorkPaused
from marketplace.tasks.skill_models import OwnSkill
from tests.factories.identity import Party, bearer, make_approved_worker, make_enterprise, make_operator
from tests.jobs import run_outbox
from tests.quality.work import Work, make_work
from workers.handlers import WorkerResources

PLAN = {"overlap_min": 2, "overlap_max": 3, "gold_share": 0.5, "bundle_max_tasks": 6, "max_reworks": 0}
BAD_GOLD = {
    "name": "known answers",
    "collector": {"kind": "gold_answers"},
    "min_count": 20,
    "conditions": [{"figure": "upper_bound", "op": "<", "value": 0.6}],
    "action": {"kind": "pause", "hours": 48, "reason": "Too many known answers were wrong."},
}
MORE_GOLD = {
    "name": "look closer",
    "collector": {"kind": "gold_answers"},
    "min_count": 3,
    "conditions": [{"figure": "share", "op": "<", "value": 0.5}],
    "action": {"kind": "more_gold", "extra": 5, "hours": 48},
}
SKILL = {
    "name": "own skill",
    "collector": {"kind": "submissions"},
    "conditions": [{"figure": "count", "op": ">=", "value": 1}],
    "action": {"kind": "add_skill", "skill": "reliable", "by": 10},
}


@dataclass
class Scene:
    client: httpx.AsyncClient
    app: FastAPI
    work: Work
    enterprise: Party
    stranger: Party
    bad: Party
    good: Party
    operator: Party

    async def call(self, party: Party, method: str, path: str, body: Any = None) -> httpx.Response:
        return await self.client.request(method, f"/v1{path}", json=body, headers=bearer(self.app, party))

    @property
    def path(self) -> str:
        return f"/requests/{self.work.request.id}"

    async def put(self, *rules: dict[str, Any]) -> dict[str, Any]:
        answer = await self.call(self.enterprise, "PUT", f"{self.path}/control-rules", {"rules": list(rules)})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def work_on(self, bundles: int) -> None:
        for _ in range(bundles):
            await self.work.do(self.bad.actor.id, self.work.wrong)
            await self.work.do(self.good.actor.id, self.work.right)

    async def look(self) -> None:
        async with self.work.database.sessions() as session:
            await conduct.look_at(session, self.work.request.id)
            await session.commit()

    async def actions(self) -> list[ControlAction]:
        async with self.work.database.sessions() as session:
            found = await session.exec(select(ControlAction).order_by(ControlAction.at, ControlAction.rule))
            return list(found.all())


@pytest.fixture
async def scene(client: httpx.AsyncClient, app: FastAPI, database: Database, settings: Settings) -> Scene:
    async with database.sessions() as session:
        enterprise, stranger = await make_enterprise(session), await make_enterprise(session)
        bad, good = await make_approved_worker(session), await make_approved_worker(session)
        operator = await make_operator(session, Role.ADMIN)
        await session.commit()
    assert enterprise.organisation is not None
    work = await make_work(
        database, settings, quality_plan=PLAN, organisation=enterprise.organisation.id, items=60, gold=80,
        budget_minor=100_000, residency=["*"],
    )  # fmt: skip
    for party in (bad, good):
        await work.worker(party.actor.id)
    return Scene(client, app, work, enterprise, stranger, bad, good, operator)


def outcome_of(view: dict[str, Any]) -> tuple[Any, ...]:
    return view["at"], view["rule"], view["worker"], str(view["until"]), str(sorted(view["figures"].items()))


async def test_dry_run_says_what_the_live_run_then_does(scene: Scene) -> None:
    await scene.put(BAD_GOLD, MORE_GOLD, SKILL)
    await scene.work_on(8)
    dry = (await scene.call(scene.enterprise, "POST", f"{scene.path}/control-rules/dry-run")).json()
    assert await scene.actions() == []
    await scene.look()
    await scene.look()
    done = await scene.actions()
    assert dry["total"] == len(done) > 0
    said = [outcome_of(each) for each in dry["actions"]]
    listed = (await scene.call(scene.enterprise, "GET", f"{scene.path}/control-actions")).json()["items"]
    assert sorted(said) == sorted(outcome_of(each) for each in listed)
    assert {each.worker_id for each in done if each.rule == "known answers"} == {scene.bad.actor.id}


async def test_paused_worker_cannot_claim_until_a_person_lifts_it(scene: Scene) -> None:
    await scene.put(BAD_GOLD)
    await scene.work_on(8)
    await scene.look()
    with pytest.raises(WorkPaused, match="Too many known answers were wrong"):
        await scene.work.claim(scene.bad.actor.id)
    await scene.work.claim(scene.good.actor.id)
    mine = (await scene.call(scene.bad, "GET", "/me/control-actions")).json()["items"]
    assert [(each["rule"], each["worker"]) for each in mine] == [("known answers", "you")]
    assert (await scene.call(scene.good, "GET", "/me/control-actions")).json()["items"] == []
    feed = (await scene.call(scene.bad, "GET", "/me/feed")).json()["entries"]
    assert any("you are paused" in line for entry in feed for line in entry["missing"])
    said = await scene.call(
        scene.bad, "POST", f"/me/control-actions/{mine[0]['id']}/objection", {"reason": "The known answers are wrong."}
    )
    assert said.json()["objection"] == "The known answers are wrong."
    lift = f"{scene.path}/control-actions/{mine[0]['id']}/lift"
    assert (await scene.call(scene.stranger, "POST", lift, {"reason": "x"})).status_code == 404
    assert (await scene.call(scene.enterprise, "POST", lift, {"reason": "Our answers were wrong."})).status_code == 200
    assert (await scene.call(scene.enterprise, "POST", lift, {"reason": "again"})).status_code == 409
    await scene.look()
    await scene.work.claim(scene.bad.actor.id)


async def test_pause_from_the_requester_holds_on_its_other_requests(scene: Scene) -> None:
    rule = {**BAD_GOLD, "action": {**BAD_GOLD["action"], "scope": "requester"}}  # type: ignore[dict-item]
    await scene.put(rule)
    await scene.work_on(8)
    await scene.look()
    other = await make_work(
        scene.work.database, scene.work.settings, organisation=scene.work.request.organisation_id, budget_minor=10_000
    )
    elsewhere = await make_work(scene.work.database, scene.work.settings)
    for each in (other, elsewhere):
        await each.worker(scene.bad.actor.id)
    with pytest.raises(WorkPaused):
        await other.claim(scene.bad.actor.id)
    await elsewhere.claim(scene.bad.actor.id)


async def test_more_gold_comes_with_the_next_bundle(scene: Scene) -> None:
    await scene.put(MORE_GOLD)
    before = await scene.work.claim(scene.bad.actor.id)
    await scene.work.submit(before, scene.bad.actor.id, scene.work.wrong)
    await scene.work.judge(before.id)
    await scene.look()
    after = await scene.work.claim(scene.bad.actor.id)
    assert after.gold_count == before.gold_count + 5


async def test_new_version_speaks_from_then_on_and_the_old_one_no_more(scene: Scene) -> None:
    await scene.put(SKILL)
    await scene.work_on(2)
    await scene.put()
    await scene.work_on(2)
    await scene.look()
    assert len(await scene.actions()) == 4
    async with scene.work.database.sessions() as session:
        skills = {row.worker_id: row.value for row in (await session.exec(select(OwnSkill))).all()}
    assert skills == {scene.bad.actor.id: 20, scene.good.actor.id: 20}


@pytest.mark.parametrize("is_lifted", [False, True])
async def test_unchanged_rule_does_not_act_again_on_used_evidence_when_another_is_added(
    scene: Scene, *, is_lifted: bool
) -> None:
    told = {**BAD_GOLD, "action": {"kind": "notify", "message": "Look."}}
    await scene.put(BAD_GOLD if is_lifted else told)
    await scene.work_on(6)
    await scene.look()
    before = await scene.actions()
    assert {each.rule for each in before} == {"known answers"}
    if is_lifted:
        lift = f"{scene.path}/control-actions/{before[0].id}/lift"
        assert (await scene.call(scene.enterprise, "POST", lift, {"reason": "Wrong."})).status_code == 200
    await scene.put(BAD_GOLD if is_lifted else told, SKILL)
    await scene.work_on(1)
    await scene.look()
    await scene.look()
    after = await scene.actions()
    assert [each.id for each in after if each.rule == "known answers"] == [each.id for each in before]
    assert {each.rule for each in after} == {"known answers", "own skill"}


async def test_accounts_and_pay_are_untouched_when_rules_act(scene: Scene) -> None:
    await scene.put(BAD_GOLD)
    await scene.work_on(8)
    await scene.look()
    assert await scene.actions()
    async with scene.work.database.sessions() as session:
        assert (await session.get_one(Person, scene.bad.actor.id)).disabled_at is None


async def test_platform_rules_hold_on_every_request(scene: Scene) -> None:
    told = {**BAD_GOLD, "action": {"kind": "notify", "message": "Look."}}
    assert (await scene.call(scene.enterprise, "PUT", "/platform/control-rules", {"rules": [told]})).status_code == 403
    assert (await scene.call(scene.operator, "PUT", "/platform/control-rules", {"rules": [told]})).status_code == 200
    await scene.work_on(8)
    await scene.look()
    listed = await scene.call(scene.enterprise, "GET", f"{scene.path}/control-actions?kind=notify")
    # 48 known answers: the rule is set off by each twenty or more that it has not counted yet
    assert [each["rule"] for each in listed.json()["items"]] == ["known answers"] * 2


async def test_operator_reads_objections_to_the_platforms_rules_and_lifts_what_they_did(scene: Scene) -> None:
    put = await scene.call(scene.operator, "PUT", "/platform/control-rules", {"rules": [BAD_GOLD]})
    assert put.status_code == 200, put.text
    await scene.put(MORE_GOLD)
    await scene.work_on(8)
    await scene.look()
    mine = (await scene.call(scene.bad, "GET", "/me/control-actions")).json()["items"]
    pause = next(each["id"] for each in mine if each["rule"] == "known answers")
    listing = "/platform/control-actions?objection=true"
    assert (await scene.call(scene.operator, "GET", listing)).json()["items"] == []
    for each in mine:
        await scene.call(scene.bad, "POST", f"/me/control-actions/{each['id']}/objection", {"reason": "Not so."})
    found = (await scene.call(scene.operator, "GET", listing)).json()["items"]
    assert [(each["id"], each["objection"]) for each in found] == [(pause, "Not so.")]
    assert (await scene.call(scene.enterprise, "GET", listing)).status_code == 403
    lift = f"/platform/control-actions/{pause}/lift"
    assert (await scene.call(scene.enterprise, "POST", lift, {"reason": "x"})).status_code == 403
    assert (await scene.call(scene.operator, "POST", lift, {"reason": "The answers were wrong."})).status_code == 200
    await scene.look()
    await scene.work.claim(scene.bad.actor.id)


@pytest.mark.parametrize("path", ["control-rules", "control-actions", "integrity", "skill-requirements"])
async def test_another_enterprise_finds_nothing(scene: Scene, path: str) -> None:
    assert (await scene.call(scene.stranger, "GET", f"{scene.path}/{path}")).status_code == 404


async def test_findings_name_the_worker_who_answers_without_looking(scene: Scene) -> None:
    constant = await scene.work.worker()
    for _ in range(6):
        await scene.work.do(scene.good.actor.id, scene.work.right)
        await scene.work.do(scene.bad.actor.id, scene.work.right)
        await scene.work.do(constant, lambda _task: {"choice": "positive"})
    await scene.look()
    found = (await scene.call(scene.enterprise, "GET", f"{scene.path}/integrity")).json()["items"]
    assert len(found) == 3
    assert [(each["is_spammer"], each["pattern_period"]) for each in found if each["is_bot"]] == [(True, 1)]
    assert [each["labels"] for each in found if each["is_spammer"]] == [6 * 12]
    assert all(each["false_alarm_rate"] == 0.01 for each in found)


async def test_jobs_look_at_new_verdicts_and_rest_when_all_was_seen(
    scene: Scene, worker_resources: WorkerResources
) -> None:
    await scene.put(SKILL)
    await scene.work_on(1)

    async def asked() -> list[str]:
        async with scene.work.database.sessions() as session:
            await conduct.ask_for_looks(session)
            await session.commit()
        return await run_outbox(worker_resources, only="quality.conduct")

    assert await asked() == ["quality.conduct"]
    assert len(await scene.actions()) == 2
    async with scene.work.database.hot.acquire() as connection:
        await connection.execute("UPDATE conduct_mark SET due_at = now()")
    assert await asked() == []
    async with scene.work.database.hot.acquire() as connection:
        await connection.execute("UPDATE dataset_request SET state = 'in_acceptance'")
    # the last look, when the work has ended
    assert await asked() == ["quality.conduct"]
    assert await asked() == []
