"""Skills: their arithmetic, what work makes of them, bars, and the signed record."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import select
from typer.testing import CliRunner

from cli.skill import app as skill_app
from marketplace.core.signatures import public_jwk, published_keys
from marketplace.quality import conduct
from marketplace.quality.browse import worker_alias
from marketplace.quality.skills.models import SkillHistory
from marketplace.quality.skills.policy import HALF_LIFE_DAYS, Evidence, consensus_weight, skill_of
from marketplace.quality.skills.record import RecordBroken, check_record
from marketplace.quality.skills.service import language_of
from marketplace.tasks import feed
from marketplace.tasks.errors import NotEligible
from tests.factories.identity import bearer, make_approved_worker, make_enterprise
from tests.quality.work import make_work


def test_skill_of_the_unknown_is_the_prior_with_a_wide_interval():
    skill = skill_of([])
    assert skill.value == pytest.approx(80)
    assert skill.high - skill.low > 50


def test_interval_narrows_and_value_follows_when_evidence_grows():
    little, much = skill_of([Evidence(9, 1, 0)]), skill_of([Evidence(180, 20, 0)])
    assert little.low < much.low < 90 < much.high < little.high
    assert much.value == pytest.approx(90, abs=1)


def test_half_is_left_after_a_half_life():
    assert skill_of([Evidence(10, 10, HALF_LIFE_DAYS)]) == skill_of([Evidence(5, 5, 0)])


@pytest.mark.parametrize(("confidence", "weight"), [(0.5, 0), (0.2, 0), (0.75, 0.5), (1, 1)])
def test_a_consensus_counts_by_its_confidence(confidence, weight):
    assert consensus_weight(confidence) == pytest.approx(weight)


@pytest.mark.parametrize(
    ("languages", "name"), [(["zh-CN", "vi"], "vi+zh"), ([], "*"), (["a", "b", "c", "d"], "*"), (["th"], "th")]
)
def test_work_is_measured_by_its_languages(languages, name):
    assert language_of(languages) == name


@pytest.fixture
async def scene(client, app, database, settings):
    async with database.sessions() as session:
        enterprise, stranger = await make_enterprise(session), await make_enterprise(session)
        good, bad = await make_approved_worker(session), await make_approved_worker(session)
        await session.commit()
    work = await make_work(
        database, settings, organisation=enterprise.organisation.id, items=36, budget_minor=50_000, residency=["*"]
    )
    for party, answering in ((good, work.right), (bad, work.wrong)):
        worker = await work.worker(party.actor.id)
        for _ in range(5):
            await work.do(worker, answering)
    async with database.sessions() as session:
        await conduct.look_at(session, work.request.id)
        await session.commit()
    return client, app, work, enterprise, stranger, good, bad


async def call(scene, party, method, path, body=None):
    client, app = scene[:2]
    return await client.request(method, f"/v1{path}", json=body, headers=bearer(app, party))


async def test_skills_follow_gold_and_stand_with_their_history(scene):
    *_, good, bad = scene
    mine = (await call(scene, good, "GET", "/me/skills")).json()["measured"]
    theirs = (await call(scene, bad, "GET", "/me/skills")).json()["measured"]
    subject = scene[2].request.subject
    assert {each["subject"] for each in mine} == {subject}
    assert all(each["value"] > 85 and each["low"] < each["value"] < each["high"] for each in mine)
    assert all(each["value"] < 50 for each in theirs)
    assert all(len(each["history"]) == 1 for each in mine)


async def test_history_grows_only_when_the_skill_moves(scene):
    work = scene[2]
    async with work.database.sessions() as session:
        before = len((await session.exec(select(SkillHistory))).all())
        await conduct.look_at(session, work.request.id)
        await session.commit()
        assert len((await session.exec(select(SkillHistory))).all()) == before


async def test_a_bar_keeps_those_below_it_from_beginning(scene):
    _, _, work, enterprise, stranger, good, bad = scene
    bar = {"requirements": [{"skill": work.request.subject, "at_least": 75}]}
    path = f"/requests/{work.request.id}/skill-requirements"
    assert (await call(scene, stranger, "PUT", path, bar)).status_code == 404
    assert (await call(scene, enterprise, "PUT", path, bar)).json()["requirements"][0]["at_least"] == 75
    async with work.database.sessions() as session:
        fresh = await make_approved_worker(session)
        await session.commit()
        # who has begun goes on
        await feed.confirm_guideline(session, bad.actor.id, work.request.id, work.contract.id, version=1)
        with pytest.raises(NotEligible, match="a skill of 75"):
            await feed.confirm_guideline(session, fresh.actor.id, work.request.id, work.contract.id, version=1)
        other = await make_work(
            work.database, work.settings, organisation=enterprise.organisation.id, budget_minor=50_000, residency=["*"]
        )
    await call(scene, enterprise, "PUT", f"/requests/{other.request.id}/skill-requirements", bar)
    async with work.database.sessions() as session:
        await feed.confirm_guideline(session, good.actor.id, other.request.id, other.contract.id, version=1)
        with pytest.raises(NotEligible, match="a skill of 75"):
            await feed.confirm_guideline(session, bad.actor.id, other.request.id, other.contract.id, version=1)


async def test_own_skills_are_set_for_who_worked_and_demanded(scene):
    _, _, work, enterprise, stranger, good, _ = scene
    alias = worker_alias(work.request.id, good.actor.id)
    path = f"/requests/{work.request.id}/workers/{alias}/own-skills/careful"
    assert (await call(scene, stranger, "PUT", path, {"value": 90})).status_code == 404
    nobody = path.replace(alias, "w0000000000")
    assert (await call(scene, enterprise, "PUT", nobody, {"value": 90})).status_code == 404
    assert (await call(scene, enterprise, "PUT", path, {"value": 90})).json()["value"] == 90
    held = (await call(scene, good, "GET", "/me/skills")).json()["of_requesters"]
    assert [(each["name"], each["value"]) for each in held] == [("careful", 90)]
    bar = {"requirements": [{"skill": "careful", "is_own": True, "at_least": 95}]}
    await call(scene, enterprise, "PUT", f"/requests/{work.request.id}/skill-requirements", bar)
    other = await make_work(work.database, work.settings, residency=["*"])
    async with work.database.sessions() as session:
        await feed.confirm_guideline(session, good.actor.id, other.request.id, other.contract.id, version=1)


async def test_record_is_verified_without_kapok_and_breaks_when_a_digit_is_changed(scene, settings):
    good = scene[5]
    answer = await call(scene, good, "GET", "/me/skills/record")
    assert answer.status_code == 200, answer.text
    keys = published_keys(settings)
    document = check_record(answer.content, keys)
    assert document["worker_id"] == str(good.actor.id)
    assert document["skills"]
    changed = json.loads(answer.content)
    changed["document"]["skills"][0]["value"] += 1
    for content, by in (
        (json.dumps(changed, separators=(",", ":"), sort_keys=True).encode(), keys),
        (answer.content, [Ed25519PrivateKey.generate().public_key()]),
        (b"{}", keys),
        (b"\xff", keys),
    ):
        with pytest.raises(RecordBroken):
            check_record(content, by)


async def test_command_says_whose_skills_a_record_attests(scene, settings, tmp_path):
    good = scene[5]
    answer = await call(scene, good, "GET", "/me/skills/record")
    file, key = tmp_path / "record.json", tmp_path / "key.json"
    file.write_bytes(answer.content)
    key.write_text(json.dumps(public_jwk(published_keys(settings)[0])))
    said = CliRunner().invoke(skill_app, ["verify", str(file), "--key", str(key)])
    assert said.exit_code == 0, said.output
    assert f"worker {good.actor.id}" in said.output
    file.write_bytes(answer.content.replace(b'"value":', b'"value":1'))
    assert CliRunner().invoke(skill_app, ["verify", str(file), "--key", str(key)]).exit_code != 0
