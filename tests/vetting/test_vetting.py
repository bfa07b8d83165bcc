"""Vetting over HTTP: profiles, applications, decisions, expiry, and who counts as vetted."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
import time_machine
from fastapi import FastAPI
from sqlalchemy import event
from sqlalchemy.exc import ProgrammingError
from sqlmodel import select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.models import AuditEntry
from marketplace.core.actor import Role
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.errors import TransitionRefused
from marketplace.identity.states import OrganisationState
from marketplace.vetting import queries, service
from marketplace.vetting.models import Decision, VettingFile
from marketplace.vetting.schemas import Decide
from marketplace.vetting.states import VETTING_STEPS, SubjectKind, VettingState
from tests.factories.identity import (
    Party,
    actor_for,
    bearer,
    make_approved_vendor,
    make_approved_worker,
    make_enterprise,
    make_member,
    make_operator,
    make_person,
    make_vendor,
)

WORKER_PROFILE = {"languages": ["ZH", "vi"], "country": "CN", "region": "CN-GX", "skills": {"medicine": 70}}
VENDOR_PROFILE = {"languages": ["zh"], "modalities": ["text", "audio"], "capacity_per_day": 5000, "about": "红棉数据"}


async def _worker(database: Database) -> Party:
    async with database.sessions.begin() as session:
        person = await make_person(session)
    return Party(person, None, actor_for(person))


async def _officer(database: Database) -> Party:
    async with database.sessions.begin() as session:
        return await make_operator(session, Role.VETTING_OFFICER)


async def _vendor(database: Database) -> Party:
    async with database.sessions.begin() as session:
        return await make_vendor(session)


async def _apply(app: FastAPI, client: httpx.AsyncClient, party: Party) -> str:
    """Fill in the profile and apply; return the path of the file."""
    headers = bearer(app, party)
    if party.organisation is None:
        profile = await client.put("/v1/me/worker-profile", json=WORKER_PROFILE, headers=headers)
    else:
        path = f"/v1/vendors/{party.organisation.id}/profile"
        profile = await client.put(path, json=VENDOR_PROFILE, headers=headers)
    assert profile.status_code == 200
    applied = await client.post("/v1/vetting/files", json={"statement": "We label."}, headers=headers)
    assert applied.status_code == 201
    return f"/v1/vetting/files/{applied.json()['id']}"


async def _decide(
    app: FastAPI, client: httpx.AsyncClient, officer: Party, path: str, verdict: str, **more: object
) -> httpx.Response:
    headers = bearer(app, officer)
    await client.post(f"{path}/review", headers=headers)
    body = {"verdict": verdict, "reason": "Checked.", **more}
    return await client.post(f"{path}/decision", json=body, headers=headers)


async def test_a_worker_is_vetted_when_the_operator_approves(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    worker, officer = await _worker(database), await _officer(database)
    path = await _apply(app, client, worker)
    queue = await client.get("/v1/vetting/queue", headers=bearer(app, officer))
    assert [row["subject_name"] for row in queue.json()["items"]] == [worker.person.display_name]
    async with database.sessions() as session:
        assert not (await queries.worker_standing(session, worker.person.id)).approved
    approved = await _decide(app, client, officer, path, "approved")
    assert approved.json()["state"] == "approved"
    assert [step["verdict"] for step in approved.json()["decisions"]] == ["in_review", "approved"]
    assert approved.json()["decisions"][1]["decided_by"] == str(officer.person.id)
    async with database.sessions() as session:
        standing = await queries.worker_standing(session, worker.person.id)
        actions = (await session.exec(select(AuditEntry.action).order_by(AuditEntry.id))).all()
    assert standing.approved
    assert (standing.languages, standing.country, standing.region) == ({"zh", "vi"}, "CN", "CN-GX")
    assert standing.skills == {"medicine": 70}
    steps = [action.removeprefix("vetting.") for action in actions if action.startswith("vetting.")]
    assert steps == ["applied", "in_review", "approved"]


async def test_a_vendor_is_vetted_with_the_security_level_that_the_operator_found(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    vendor, officer = await _vendor(database), await _officer(database)
    path = await _apply(app, client, vendor)
    assert vendor.organisation
    async with database.sessions() as session:
        assert await queries.approved_vendor(session, vendor.organisation.id) is None
    await _decide(app, client, officer, path, "approved", security_level=3)
    async with database.sessions() as session:
        profile = await queries.approved_vendor(session, vendor.organisation.id)
        assert list(await queries.approved_vendors(session)) == [vendor.organisation.id]
        assert await queries.approved_vendors(session, [uuid4()]) == {}
    assert profile is not None
    assert (profile.security_level, profile.languages, profile.capacity_per_day) == (3, ["zh"], 5000)
    claimed = await client.put(
        f"/v1/vendors/{vendor.organisation.id}/profile",
        json=VENDOR_PROFILE | {"security_level": 5},
        headers=bearer(app, vendor),
    )
    assert claimed.status_code == 422
    changed = await client.put(
        f"/v1/vendors/{vendor.organisation.id}/profile",
        json=VENDOR_PROFILE | {"capacity_per_day": 9},
        headers=bearer(app, vendor),
    )
    assert (changed.json()["capacity_per_day"], changed.json()["security_level"]) == (9, 3)


@pytest.mark.parametrize("verdict", ["refused", "needs_papers"])
async def test_a_decision_is_refused_when_it_is_against_the_applicant_without_a_reason(
    app: FastAPI, client: httpx.AsyncClient, database: Database, verdict: str
) -> None:
    path, officer = await _apply(app, client, await _worker(database)), await _officer(database)
    answer = await _decide(app, client, officer, path, verdict, reason="  ")
    assert (answer.status_code, answer.json()["code"]) == (400, "reason_missing")
    file = await client.get(path, headers=bearer(app, officer))
    assert file.json()["state"] == "in_review"


async def test_a_file_returns_to_the_queue_when_the_papers_asked_for_were_added(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    vendor, officer = await _vendor(database), await _officer(database)
    path = await _apply(app, client, vendor)
    assert (await client.post(f"{path}/resubmit", headers=bearer(app, vendor))).status_code == 409
    asked = await _decide(app, client, officer, path, "needs_papers", reason="The licence is unreadable.")
    assert asked.json()["state"] == "needs_papers"
    assert (await client.post(f"{path}/resubmit", headers=bearer(app, officer))).status_code == 403
    again = await client.post(f"{path}/resubmit", headers=bearer(app, vendor))
    assert again.json()["state"] == "applied"


async def test_a_new_application_is_possible_only_when_the_last_one_is_final(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    vendor, officer = await _vendor(database), await _officer(database)
    path = await _apply(app, client, vendor)
    headers = bearer(app, vendor)
    open_ = await client.post("/v1/vetting/files", json={}, headers=headers)
    assert (open_.status_code, open_.json()["code"]) == (409, "vetting_file_open")
    await _decide(app, client, officer, path, "refused")
    assert (await client.post("/v1/vetting/files", json={}, headers=headers)).status_code == 201
    files = await client.get("/v1/vetting/files", headers=headers)
    assert [file["state"] for file in files.json()["items"]] == ["applied", "refused"]


async def test_one_file_is_made_when_two_applications_come_at_once(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    worker = await _worker(database)
    headers = bearer(app, worker)
    await client.put("/v1/me/worker-profile", json=WORKER_PROFILE, headers=headers)
    answers = await asyncio.gather(*(client.post("/v1/vetting/files", json={}, headers=headers) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]


async def test_an_application_is_refused_when_the_profile_is_missing_or_the_kind_is_not_vetted(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    async with database.sessions.begin() as session:
        enterprise = await make_enterprise(session)
    missing = await client.post("/v1/vetting/files", json={}, headers=bearer(app, await _worker(database)))
    assert (missing.status_code, missing.json()["code"]) == (409, "profile_missing")
    not_vetted = await client.post("/v1/vetting/files", json={}, headers=bearer(app, enterprise))
    assert (not_vetted.status_code, not_vetted.json()["code"]) == (403, "subject_not_vetted")


async def test_a_file_is_not_found_when_it_is_another_subjects(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    mine, theirs, worker = await _vendor(database), await _vendor(database), await _worker(database)
    path = await _apply(app, client, theirs)
    for party in (mine, worker):
        headers = bearer(app, party)
        answers = [
            await client.get(path, headers=headers),
            await client.post(f"{path}/resubmit", headers=headers),
            await client.post(f"{path}/papers/{uuid4()}/address", headers=headers),
        ]
        assert [answer.json()["code"] for answer in answers] == ["vetting_file_unknown"] * 3


async def test_files_are_closed_to_operators_who_do_not_vet(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    path = await _apply(app, client, await _vendor(database))
    async with database.sessions.begin() as session:
        finance = await make_operator(session, Role.OPERATOR_FINANCE)
        assert finance.organisation
        admin = await make_member(session, finance.organisation, Role.ADMIN)
    assert (await client.get(path, headers=bearer(app, finance))).status_code == 403
    assert (await client.get("/v1/vetting/queue", headers=bearer(app, finance))).status_code == 403
    assert (await client.get(path, headers=bearer(app, admin))).status_code == 200


@pytest.mark.parametrize("act", ["review", "decision", "suspend"])
async def test_deciding_is_refused_when_the_caller_is_no_officer(
    app: FastAPI, client: httpx.AsyncClient, database: Database, act: str
) -> None:
    vendor = await _vendor(database)
    path = await _apply(app, client, vendor)
    body = {"verdict": "approved", "reason": "Myself."} if act == "decision" else {"reason": "Myself."}
    answer = await client.post(f"{path}/{act}", json=body, headers=bearer(app, vendor))
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


async def test_an_officer_decides_neither_about_themselves_nor_their_own_vendor(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    vendor, officer = await _vendor(database), await _officer(database)
    assert vendor.organisation
    async with database.sessions.begin() as session:
        await make_member(session, vendor.organisation, Role.FINANCE, person=officer.person)
    as_worker = Party(officer.person, None, actor_for(officer.person))
    for party in (vendor, as_worker):
        path = await _apply(app, client, party)
        answer = await client.post(f"{path}/review", headers=bearer(app, officer))
        assert (answer.status_code, answer.json()["code"]) == (403, "own_vetting_file")


async def test_a_suspended_worker_works_again_when_a_person_has_looked(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    worker, officer = await _worker(database), await _officer(database)
    path = await _apply(app, client, worker)
    await _decide(app, client, officer, path, "approved")
    body = {"reason": "Somebody else uses the account."}
    suspended = await client.post(f"{path}/suspend", json=body, headers=bearer(app, officer))
    assert suspended.json()["state"] == "suspended"
    async with database.sessions() as session:
        assert not (await queries.worker_standing(session, worker.person.id)).approved
    assert (await _decide(app, client, officer, path, "approved")).json()["state"] == "approved"
    async with database.sessions() as session:
        assert (await queries.worker_standing(session, worker.person.id)).approved


async def test_an_approved_worker_is_checked_again_when_the_place_of_work_changes(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    worker, officer = await _worker(database), await _officer(database)
    path = await _apply(app, client, worker)
    await _decide(app, client, officer, path, "approved")
    headers = bearer(app, worker)
    learnt = WORKER_PROFILE | {"languages": ["zh", "vi", "th"]}
    assert (await client.put("/v1/me/worker-profile", json=learnt, headers=headers)).status_code == 200
    assert (await client.get(path, headers=headers)).json()["state"] == "approved"
    moved = learnt | {"country": "VN", "region": "VN-HN"}
    assert (await client.put("/v1/me/worker-profile", json=moved, headers=headers)).status_code == 200
    file = (await client.get(path, headers=headers)).json()
    assert (file["state"], file["decisions"][-1]["decided_by"]) == ("suspended", None)
    await client.post(f"{path}/review", headers=bearer(app, officer))
    again = await client.put("/v1/me/worker-profile", json=WORKER_PROFILE, headers=headers)
    assert (again.status_code, again.json()["code"]) == (409, "residence_in_review")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"languages": []}, "malformed"),
        ({"languages": ["Chinese!"]}, "language_tag_invalid"),
        ({"country": "VN"}, "region_outside_country"),
        ({"skills": {"medicine": 101}}, "malformed"),
        ({"skills": {"Medicine And Law": 5}}, "malformed"),
    ],
    ids=str,
)
async def test_a_worker_profile_is_refused_when_it_breaks_a_rule(
    app: FastAPI, client: httpx.AsyncClient, database: Database, changed: dict[str, object], code: str
) -> None:
    headers = bearer(app, await _worker(database))
    answer = await client.put("/v1/me/worker-profile", json=WORKER_PROFILE | changed, headers=headers)
    assert answer.json()["code"] == code
    assert (await client.get("/v1/me/worker-profile", headers=headers)).json()["code"] == "profile_unknown"


async def test_a_vendor_profile_is_not_found_when_it_is_another_vendors(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    mine, theirs = await _vendor(database), await _vendor(database)
    assert theirs.organisation
    path = f"/v1/vendors/{theirs.organisation.id}/profile"
    assert (await client.put(path, json=VENDOR_PROFILE, headers=bearer(app, mine))).status_code == 404
    assert (await client.get(path, headers=bearer(app, theirs))).json()["code"] == "profile_unknown"


@pytest.mark.parametrize("before", list(VettingState))
@pytest.mark.parametrize("act", ["review", "approved", "refused", "needs_papers", "suspend", "resubmit"])
async def test_an_act_moves_a_file_only_when_the_table_holds_the_step(
    session: AsyncSession, before: VettingState, act: str
) -> None:
    worker, officer = await make_approved_worker(session), await make_operator(session, Role.VETTING_OFFICER)
    file = (await session.exec(select(VettingFile))).one()
    file.state = before
    await session.flush()
    acts = {
        "review": (VettingState.IN_REVIEW, lambda: service.begin_review(session, officer.actor, file.id)),
        "suspend": (VettingState.SUSPENDED, lambda: service.suspend(session, officer.actor, file.id, "Why.")),
        "resubmit": (VettingState.APPLIED, lambda: service.resubmit(session, worker.actor, file.id)),
    }
    if act in acts:
        target, run = acts[act]
    else:
        target = VettingState(act)
        command = Decide(verdict=target, reason="Why.")  # type: ignore[arg-type]
        run = lambda: service.decide(session, officer.actor, file.id, command)  # noqa: E731
    if target in VETTING_STEPS[before]:
        assert (await run()).state is target
    else:
        with pytest.raises(TransitionRefused):
            await run()
        assert file.state is before


async def test_an_approval_ends_when_its_year_is_over_and_the_job_says_so(
    session: AsyncSession,
) -> None:
    vendor, worker = await make_approved_vendor(session), await make_approved_worker(session)
    assert vendor.organisation
    assert await service.expire_due(session) == 0
    with time_machine.travel(now() + timedelta(days=366)):
        assert not (await queries.worker_standing(session, worker.person.id)).approved, "before the job has run"
        assert await queries.approved_vendor(session, vendor.organisation.id) is None
        assert await service.expire_due(session) == 2
        assert await service.expire_due(session) == 0
    states = (await session.exec(select(VettingFile.state))).all()
    assert states == [VettingState.EXPIRED] * 2
    deciders = (await session.exec(select(Decision.decided_by))).all()
    assert deciders == [None, None]


async def test_a_standing_holds_the_vendors_that_engage_the_worker_and_costs_one_query(
    session: AsyncSession,
) -> None:
    vendor, ended = await make_approved_vendor(session), await make_vendor(session)
    assert vendor.organisation
    assert ended.organisation
    worker = await make_approved_worker(session, vendors=[vendor.organisation, ended.organisation])
    stranger = await make_person(session)
    ended.organisation.state = OrganisationState.SUSPENDED
    await session.flush()
    statements: list[str] = []
    connection = await session.connection()
    event.listen(connection.sync_connection, "before_cursor_execute", lambda *a: statements.append(a[2]))
    standings = await queries.worker_standings(session, [worker.person.id, stranger.id, uuid4()])
    assert len(statements) == 1
    assert set(standings) == {worker.person.id, stranger.id}
    assert standings[worker.person.id].approved
    assert standings[worker.person.id].vendor_ids == {vendor.organisation.id}
    assert not standings[stranger.id].approved
    assert standings[stranger.id].country is None
    assert not (await queries.worker_standing(session, uuid4())).approved


async def test_a_worker_or_vendor_does_not_stand_when_disabled_or_suspended(session: AsyncSession) -> None:
    vendor, worker = await make_approved_vendor(session), await make_approved_worker(session)
    assert vendor.organisation
    worker.person.disabled_at = now()
    vendor.organisation.state = OrganisationState.SUSPENDED
    await session.flush()
    assert not (await queries.worker_standing(session, worker.person.id)).approved
    assert await queries.approved_vendor(session, vendor.organisation.id) is None


async def test_a_decision_stays_when_the_application_tries_to_change_it(session: AsyncSession) -> None:
    worker, officer = await make_approved_worker(session), await make_operator(session)
    file = (await session.exec(select(VettingFile).where(VettingFile.subject_id == worker.person.id))).one()
    assert file.subject is SubjectKind.WORKER
    await service.suspend(session, officer.actor, file.id, "Why.")
    with pytest.raises(ProgrammingError, match="permission denied"):
        await session.exec(update(Decision).values(reason="Another why."))
