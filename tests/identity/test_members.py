"""Organisations, members and invitations over HTTP: tenants apart, roles kept, the last owner stays."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest
import time_machine
from fastapi import FastAPI
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.models import AuditEntry
from marketplace.core.actor import OrganisationKind, Role
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.identity import service
from marketplace.identity.errors import OperatorExists, RoleNotOfKind
from marketplace.identity.models import Membership, Organisation
from marketplace.identity.queries import engaged_vendor_ids
from marketplace.identity.schemas import SignUp
from tests.factories.identity import (
    PASSWORD,
    Party,
    actor_for,
    bearer,
    make_enterprise,
    make_member,
    make_operator,
    make_organisation,
    make_person,
    make_vendor,
)


def _path(party: Party, rest: str = "") -> str:
    assert party.organisation
    return f"/v1/organisations/{party.organisation.id}{rest}"


async def _two_vendors(database: Database) -> tuple[Party, Party]:
    async with database.sessions.begin() as session:
        return await make_vendor(session), await make_vendor(session)


async def _worker(database: Database) -> Party:
    async with database.sessions.begin() as session:
        person = await make_person(session)
    return Party(person, None, actor_for(person))


async def _invite(
    app: FastAPI, client: httpx.AsyncClient, inviter: Party, identifier: str | None, role: Role
) -> httpx.Response:
    body = {"identifier": identifier, "role": role}
    return await client.post(_path(inviter, "/invitations"), json=body, headers=bearer(app, inviter))


async def _engaged(database: Database, worker: Party) -> set[UUID]:
    async with database.sessions() as session:
        return await engaged_vendor_ids(session, worker.person.id)


@pytest.mark.parametrize("kind", ["enterprise", "vendor"])
async def test_a_person_owns_an_organisation_when_they_founded_it(
    app: FastAPI, client: httpx.AsyncClient, database: Database, kind: str
) -> None:
    founder = await _worker(database)
    body = {"kind": kind, "name": "红棉数据", "country": "CN", "region": "CN-GX"}
    founded = await client.post("/v1/organisations", json=body, headers=bearer(app, founder))
    assert founded.status_code == 201
    me = await client.get("/v1/me", headers=bearer(app, founder))
    assert me.json()["contexts"] == [{"organisation": founded.json(), "roles": ["owner"]}]


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"kind": "operator"}, 403, "kind_not_founded"),
        ({"region": "VN-HN"}, 400, "region_outside_country"),
        ({"country": "XX"}, 422, "malformed"),
        ({"name": " "}, 422, "malformed"),
    ],
    ids=str,
)
async def test_founding_is_refused_when_it_breaks_a_rule(
    app: FastAPI, client: httpx.AsyncClient, database: Database, changed: dict[str, str], status: int, code: str
) -> None:
    body = {"kind": "vendor", "name": "红棉数据", "country": "CN", "region": "CN-GX"} | changed
    answer = await client.post("/v1/organisations", json=body, headers=bearer(app, await _worker(database)))
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_another_tenant_is_not_found_when_its_owner_asks(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    mine, theirs = await _two_vendors(database)
    async with database.sessions() as session:
        found = await session.exec(select(Membership).where(Membership.person_id == theirs.person.id))
        their_membership = found.one().id
    headers = bearer(app, mine)
    answers = [
        await client.get(_path(theirs), headers=headers),
        await client.get(_path(theirs, "/members"), headers=headers),
        await client.get(_path(theirs, "/invitations"), headers=headers),
        await client.post(
            _path(theirs, "/invitations"), json={"identifier": "x@kapok.example", "role": "worker"}, headers=headers
        ),
        await client.patch(_path(theirs, f"/members/{their_membership}"), json={"role": "finance"}, headers=headers),
        await client.post(_path(theirs, f"/members/{their_membership}/end"), headers=headers),
        await client.post(_path(mine, f"/members/{their_membership}/end"), headers=headers),
        await client.get(f"/v1/vendors/{theirs.actor.organisation_id}/profile", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)


async def test_the_operator_sees_but_does_not_govern_when_it_is_not_their_organisation(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    async with database.sessions.begin() as session:
        admin, vendor = await make_operator(session), await make_vendor(session)
    assert (await client.get(_path(vendor), headers=bearer(app, admin))).status_code == 200
    assert (await client.get(_path(vendor, "/members"), headers=bearer(app, admin))).status_code == 200
    assert (await _invite(app, client, vendor, "x@kapok.example", Role.WORKER)).status_code == 201
    foreign = await client.post(
        _path(vendor, "/invitations"), json={"identifier": "y@kapok.example", "role": "worker"},
        headers=bearer(app, admin),
    )  # fmt: skip
    assert foreign.status_code == 404


@pytest.mark.parametrize("role", [Role.REVIEWER, Role.FINANCE])
async def test_members_are_not_governed_when_the_role_lacks_the_scope(
    app: FastAPI, client: httpx.AsyncClient, database: Database, role: Role
) -> None:
    async with database.sessions.begin() as session:
        member = await make_enterprise(session, role)
    answer = await client.get(_path(member, "/members"), headers=bearer(app, member))
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert (await client.get(_path(member), headers=bearer(app, member))).status_code == 200


async def test_suspending_is_refused_when_the_caller_is_no_admin_of_the_operator(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    async with database.sessions.begin() as session:
        officer, vendor = await make_operator(session, Role.VETTING_OFFICER), await make_vendor(session)
    body = {"reason": "Unpaid workers."}
    refused = await client.post(_path(vendor, "/suspend"), json=body, headers=bearer(app, officer))
    assert (refused.status_code, refused.json()["code"]) == (403, "role_missing")
    assert (await client.post(_path(vendor, "/suspend"), json=body, headers=bearer(app, vendor))).status_code == 403


async def test_a_suspended_organisation_acts_again_when_it_is_reinstated(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    async with database.sessions.begin() as session:
        admin, vendor = await make_operator(session), await make_vendor(session)
    headers, body = bearer(app, admin), {"reason": "Unpaid workers."}
    assert (await client.post(_path(vendor, "/suspend"), json=body, headers=headers)).json()["state"] == "suspended"
    assert (await client.post(_path(vendor, "/suspend"), json=body, headers=headers)).status_code == 409
    assert (await client.get("/v1/me", headers=bearer(app, vendor))).json()["contexts"] == []
    assert (await client.post(_path(vendor, "/reinstate"), json=body, headers=headers)).json()["state"] == "active"
    assert len((await client.get("/v1/me", headers=bearer(app, vendor))).json()["contexts"]) == 1
    assert (await client.post(_path(admin, "/suspend"), json=body, headers=headers)).status_code == 404


async def test_a_worker_is_engaged_when_they_accept_and_free_when_they_leave(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    vendor, other = await _two_vendors(database)
    worker = await _worker(database)
    await _invite(app, client, vendor, worker.person.email, Role.WORKER)
    await _invite(app, client, other, worker.person.email, Role.WORKER)
    mine = await client.get("/v1/me/invitations", headers=bearer(app, worker))
    assert [(i["role"], i["needs_code"]) for i in mine.json()] == [("worker", False)] * 2
    for invitation in mine.json():
        path = f"/v1/me/invitations/{invitation['id']}/accept"
        assert (await client.post(path, json={}, headers=bearer(app, worker))).json()["state"] == "active"
        again = await client.post(path, json={}, headers=bearer(app, worker))
        assert again.json()["code"] == "transition_refused"
    assert await _engaged(database, worker) == {vendor.actor.organisation_id, other.actor.organisation_id}
    left = f"/v1/me/engagements/{other.actor.organisation_id}/leave"
    assert (await client.post(left, headers=bearer(app, worker))).json()["state"] == "ended"
    assert (await client.post(left, headers=bearer(app, worker))).status_code == 404
    assert await _engaged(database, worker) == {vendor.actor.organisation_id}


async def test_an_engagement_is_taken_up_again_when_it_had_ended(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    vendor, _ = await _two_vendors(database)
    worker = await _worker(database)
    for _ in range(2):
        made = (await _invite(app, client, vendor, worker.person.email, Role.WORKER)).json()["invitation"]
        path = f"/v1/me/invitations/{made['id']}/accept"
        membership = (await client.post(path, json={}, headers=bearer(app, worker))).json()
        ended = await client.post(_path(vendor, f"/members/{membership['id']}/end"), headers=bearer(app, vendor))
        assert ended.json()["state"] == "ended"
    assert await _engaged(database, worker) == set()


async def test_a_declined_invitation_engages_nobody(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    vendor, _ = await _two_vendors(database)
    worker = await _worker(database)
    made = (await _invite(app, client, vendor, worker.person.email, Role.WORKER)).json()["invitation"]
    path = f"/v1/me/invitations/{made['id']}"
    assert (await client.post(f"{path}/decline", headers=bearer(app, worker))).json()["state"] == "declined"
    assert (await client.post(f"{path}/accept", json={}, headers=bearer(app, worker))).status_code == 409
    assert await _engaged(database, worker) == set()


async def test_an_invitation_is_not_found_when_it_is_to_somebody_else(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    vendor, other = await _two_vendors(database)
    made = (await _invite(app, client, vendor, "someone@kapok.example", Role.WORKER)).json()["invitation"]
    worker = await _worker(database)
    for answer in ("accept", "decline"):
        path = f"/v1/me/invitations/{made['id']}/{answer}"
        assert (await client.post(path, json={}, headers=bearer(app, worker))).status_code == 404
    foreign = _path(other, f"/invitations/{made['id']}/revoke")
    assert (await client.post(foreign, headers=bearer(app, other))).status_code == 404


async def test_a_governing_role_is_given_only_when_the_code_is_right(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    vendor, _ = await _two_vendors(database)
    person = await _worker(database)
    made = (await _invite(app, client, vendor, person.person.email, Role.MANAGER)).json()
    path = f"/v1/me/invitations/{made['invitation']['id']}/accept"
    for body in ({}, {"code": "guessed"}):
        refused = await client.post(path, json=body, headers=bearer(app, person))
        assert (refused.status_code, refused.json()["code"]) == (403, "invitation_code_wrong")
    taken = await client.post(path, json={"code": made["code"]}, headers=bearer(app, person))
    assert taken.json()["role"] == "manager"


async def test_an_invitation_has_ended_when_it_was_revoked_or_its_time_is_over(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    vendor, other = await _two_vendors(database)
    worker = await _worker(database)
    revoked = (await _invite(app, client, vendor, worker.person.email, Role.WORKER)).json()["invitation"]
    path = _path(vendor, f"/invitations/{revoked['id']}/revoke")
    assert (await client.post(path, headers=bearer(app, vendor))).json()["state"] == "revoked"
    late = (await _invite(app, client, other, worker.person.email, Role.WORKER)).json()["invitation"]
    with time_machine.travel(now() + timedelta(days=15)):
        headers = bearer(app, worker)
        assert (await client.get("/v1/me/invitations", headers=headers)).json() == []
        gone = await client.post(f"/v1/me/invitations/{late['id']}/accept", json={}, headers=headers)
        assert (gone.status_code, gone.json()["code"]) == (410, "invitation_expired")
        again = await _invite(app, client, other, worker.person.email, Role.WORKER)
        assert again.status_code == 201, "an expired one does not stand in the way"


async def test_an_invitation_is_refused_when_one_is_open_or_the_role_is_held(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    vendor, _ = await _two_vendors(database)
    worker = await _worker(database)
    made = (await _invite(app, client, vendor, worker.person.email, Role.WORKER)).json()["invitation"]
    assert worker.person.email
    open_ = await _invite(app, client, vendor, worker.person.email.upper(), Role.WORKER)
    assert open_.json()["code"] == "already_invited"
    await client.post(f"/v1/me/invitations/{made['id']}/accept", json={}, headers=bearer(app, worker))
    held = await _invite(app, client, vendor, worker.person.email, Role.WORKER)
    assert held.json()["code"] == "already_member"


async def test_a_manager_makes_no_managers(app: FastAPI, client: httpx.AsyncClient, database: Database) -> None:
    async with database.sessions.begin() as session:
        manager = await make_vendor(session, Role.MANAGER)
    refused = await _invite(app, client, manager, "x@kapok.example", Role.MANAGER)
    assert (refused.status_code, refused.json()["code"]) == (403, "role_not_grantable")
    assert (await _invite(app, client, manager, "x@kapok.example", Role.WORKER)).status_code == 201


async def test_an_enterprise_engages_no_workers(app: FastAPI, client: httpx.AsyncClient, database: Database) -> None:
    async with database.sessions.begin() as session:
        owner = await make_enterprise(session)
    refused = await _invite(app, client, owner, "x@kapok.example", Role.WORKER)
    assert (refused.status_code, refused.json()["code"]) == (400, "role_not_of_kind")


async def _memberships(database: Database, party: Party) -> list[Membership]:
    async with database.sessions() as session:
        statement = select(Membership).where(Membership.organisation_id == party.actor.organisation_id)
        return list((await session.exec(statement.order_by(col(Membership.id)))).all())


async def test_the_last_owner_stays(app: FastAPI, client: httpx.AsyncClient, database: Database) -> None:
    vendor, _ = await _two_vendors(database)
    own = (await _memberships(database, vendor))[0].id
    ended = await client.post(_path(vendor, f"/members/{own}/end"), headers=bearer(app, vendor))
    changed = await client.patch(
        _path(vendor, f"/members/{own}"), json={"role": "finance"}, headers=bearer(app, vendor)
    )
    assert [ended.json()["code"], changed.json()["code"]] == ["last_owner", "last_owner"]


async def test_one_owner_stays_when_both_leave_at_once(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    async with database.sessions.begin() as session:
        first = await make_vendor(session)
        assert first.organisation
        second = await make_member(session, first.organisation, Role.OWNER)
    rows = {row.person_id: row.id for row in await _memberships(database, first)}
    answers = await asyncio.gather(
        *(
            client.post(_path(party, f"/members/{rows[party.person.id]}/end"), headers=bearer(app, party))
            for party in (first, second)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_a_changed_role_replaces_the_old_one_and_is_written_down(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    async with database.sessions.begin() as session:
        owner = await make_enterprise(session)
        assert owner.organisation
        reviewer = await make_member(session, owner.organisation, Role.REVIEWER)
    row = next(r for r in await _memberships(database, owner) if r.person_id == reviewer.person.id)
    path = _path(owner, f"/members/{row.id}")
    changed = await client.patch(path, json={"role": "finance"}, headers=bearer(app, owner))
    assert (changed.json()["role"], changed.json()["state"]) == ("finance", "active")
    assert (await client.patch(path, json={"role": "manager"}, headers=bearer(app, owner))).status_code == 409
    me = await client.get("/v1/me", headers=bearer(app, reviewer))
    assert me.json()["contexts"][0]["roles"] == ["finance"]
    async with database.sessions() as session:
        found = await session.exec(select(AuditEntry).where(AuditEntry.action == "member.role_changed"))
        assert found.one().facts == {"before": "reviewer", "after": "finance"}


async def test_members_are_listed_in_pages(app: FastAPI, client: httpx.AsyncClient, database: Database) -> None:
    async with database.sessions.begin() as session:
        owner = await make_vendor(session)
        assert owner.organisation
        for _ in range(4):
            await make_member(session, owner.organisation, Role.WORKER)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2", "role": "worker"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(_path(owner, "/members"), params=query, headers=bearer(app, owner))).json()
        seen += [member["id"] for member in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == 4
    assert seen == sorted(seen, reverse=True)


async def test_a_person_changes_only_what_they_name(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    worker = await _worker(database)
    changed = await client.patch("/v1/me", json={"display_name": "Nông Thị Mai"}, headers=bearer(app, worker))
    assert (changed.json()["display_name"], changed.json()["locale"]) == ("Nông Thị Mai", "zh-CN")
    changed = await client.patch("/v1/me", json={"locale": "vi"}, headers=bearer(app, worker))
    assert (changed.json()["display_name"], changed.json()["locale"]) == ("Nông Thị Mai", "vi")


async def test_there_is_one_operator_when_it_is_made_twice(session: AsyncSession) -> None:
    admin = SignUp(identifier="admin@kapok.example", password=PASSWORD, display_name="Admin")
    operator, person = await service.bootstrap_operator(session, name="Kapok", country="CN", admin=admin)
    assert operator.kind is OrganisationKind.OPERATOR
    found = await session.exec(select(Membership).where(Membership.person_id == person.id))
    assert found.one().role is Role.ADMIN
    with pytest.raises(OperatorExists):
        await service.bootstrap_operator(session, name="Kapok", country="CN", admin=admin)


async def test_a_role_is_appointed_only_when_the_kind_has_it(session: AsyncSession) -> None:
    vendor, person = await make_organisation(session, OrganisationKind.VENDOR), await make_person(session)
    await service.appoint(session, vendor.id, person.id, Role.WORKER)
    assert await engaged_vendor_ids(session, person.id) == {vendor.id}
    with pytest.raises(RoleNotOfKind):
        await service.appoint(session, vendor.id, person.id, Role.ADMIN)
    with pytest.raises(service.OrganisationUnknown):
        await service.appoint(session, uuid4(), person.id, Role.OWNER)
    assert (await session.get(Organisation, vendor.id)) is not None
