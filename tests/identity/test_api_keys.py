"""API keys: shown once, kept as a hash, scoped, revocable."""

import base64
from datetime import timedelta

import httpx
import pytest
import time_machine
from fastapi import FastAPI
from sqlmodel import select

from marketplace.audit.models import AuditEntry
from marketplace.core.actor import ActorKind, Role, Scope
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.identity.errors import ApiKeyInvalid
from marketplace.identity.models import ApiKey, Organisation
from marketplace.identity.service import actor_of_api_key
from marketplace.identity.states import OrganisationState
from tests.factories.identity import Party, bearer, make_enterprise, make_vendor

READ_WRITE = [Scope.REQUESTS_READ, Scope.REQUESTS_WRITE]


async def _owner(database: Database) -> Party:
    async with database.sessions.begin() as session:
        return await make_enterprise(session)


async def _make(
    app: FastAPI, client: httpx.AsyncClient, party: Party, scopes: list[Scope], **more: str
) -> httpx.Response:
    body = {"name": "exporter", "scopes": scopes, **more}
    path = f"/v1/organisations/{party.actor.organisation_id}/api-keys"
    return await client.post(path, json=body, headers=bearer(app, party))


async def test_a_key_acts_for_its_organisation_with_its_scopes(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    owner = await _owner(database)
    made = (await _make(app, client, owner, READ_WRITE)).json()
    async with database.sessions() as session:
        actor = await actor_of_api_key(session, made["key"])
        row = (await session.exec(select(ApiKey))).one()
    assert (actor.kind, actor.organisation_id) == (ActorKind.API_KEY, owner.actor.organisation_id)
    assert (actor.scopes, actor.roles) == (frozenset(READ_WRITE), {Role.MANAGER})
    assert made["key"].removeprefix("kapok_") not in str(row.model_dump())
    listed = await client.get(f"/v1/organisations/{owner.actor.organisation_id}/api-keys", headers=bearer(app, owner))
    assert listed.json()["items"] == [made["api_key"]]
    assert made["key"].endswith(made["api_key"]["hint"])


async def test_a_key_governs_nobody_and_is_no_person(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    owner = await _owner(database)
    headers = {"Authorization": f"Bearer {(await _make(app, client, owner, READ_WRITE)).json()['key']}"}
    for path in ("/v1/me", f"/v1/organisations/{owner.actor.organisation_id}/members"):
        answer = await client.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


async def test_a_key_is_refused_when_it_was_revoked(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    owner = await _owner(database)
    made = (await _make(app, client, owner, READ_WRITE)).json()
    path = f"/v1/organisations/{owner.actor.organisation_id}/api-keys/{made['api_key']['id']}/revoke"
    revoked = [(await client.post(path, headers=bearer(app, owner))).json()["revoked_at"] for _ in range(2)]
    assert revoked[0] is not None
    assert revoked[0] == revoked[1]
    answer = await client.get("/v1/me", headers={"Authorization": f"Bearer {made['key']}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "api_key_invalid")
    async with database.sessions() as session:
        actions = (await session.exec(select(AuditEntry.action).order_by(AuditEntry.id))).all()
    assert actions == ["api_key.made", "api_key.revoked"]


async def test_a_key_is_refused_when_it_has_expired_or_its_organisation_is_suspended(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    owner = await _owner(database)
    expires = (now() + timedelta(hours=1)).isoformat()
    key = (await _make(app, client, owner, READ_WRITE, expires_at=expires)).json()["key"]
    async with database.sessions() as session:
        assert (await actor_of_api_key(session, key)).organisation_id == owner.actor.organisation_id
        with time_machine.travel(now() + timedelta(hours=2)), pytest.raises(ApiKeyInvalid):
            await actor_of_api_key(session, key)
    async with database.sessions.begin() as session:
        organisation = await session.get(Organisation, owner.actor.organisation_id)
        assert organisation
        organisation.state = OrganisationState.SUSPENDED
    async with database.sessions() as session:
        with pytest.raises(ApiKeyInvalid):
            await actor_of_api_key(session, key)


async def test_a_key_is_refused_when_it_is_forged(app: FastAPI, client: httpx.AsyncClient, database: Database) -> None:
    owner = await _owner(database)
    key = (await _make(app, client, owner, READ_WRITE)).json()["key"]
    other_secret = base64.urlsafe_b64encode(bytes(64)).decode().rstrip("=")
    forged = ["kapok_", "kapok_x", f"kapok_{other_secret}", key[:-4] + "AAAA", key + "AAAA", "kapok_é"]
    async with database.sessions() as session:
        for attempt in forged:
            with pytest.raises(ApiKeyInvalid):
                await actor_of_api_key(session, attempt)


@pytest.mark.parametrize("scope", [Scope.PROFILE, Scope.ORGANISATION, Scope.WORK, Scope.OPERATE, Scope.VETTING])
async def test_a_key_gets_no_scope_that_is_closed_to_keys(
    app: FastAPI, client: httpx.AsyncClient, database: Database, scope: Scope
) -> None:
    answer = await _make(app, client, await _owner(database), [Scope.REQUESTS_READ, scope])
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_not_grantable")


async def test_keys_are_the_owners_of_enterprises_only(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    async with database.sessions.begin() as session:
        manager, vendor = await make_enterprise(session, Role.MANAGER), await make_vendor(session)
        other = await make_enterprise(session)
    for party in (manager, vendor):
        answer = await _make(app, client, party, READ_WRITE)
        assert (answer.status_code, answer.json()["code"]) == (403, "role_missing")
    path = f"/v1/organisations/{manager.actor.organisation_id}/api-keys"
    assert (await client.get(path, headers=bearer(app, other))).status_code == 404


async def test_a_key_is_not_made_when_its_end_has_no_time_zone(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    answer = await _make(app, client, await _owner(database), READ_WRITE, expires_at="2099-01-01T00:00:00")
    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, "expires_at")
