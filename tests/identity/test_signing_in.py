"""Sign-up, sign-in, refresh, switch and sign-out over HTTP, on a real database."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from statistics import median
from time import perf_counter
from uuid import uuid4

import httpx
import pytest
import time_machine
from fastapi import FastAPI
from sqlmodel import select

from marketplace.audit.models import AuditEntry
from marketplace.core.actor import OrganisationKind, Role
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.settings import Settings
from marketplace.identity import signing_in
from marketplace.identity.models import Membership, Person, RefreshToken
from marketplace.identity.states import MembershipState
from tests.factories.identity import PASSWORD, Party, bearer, make_enterprise, make_member, make_person, make_vendor

SIGN_UP = {"identifier": "Wei@Kapok.example", "password": PASSWORD, "display_name": "韦木棉", "locale": "za"}


async def _person(database: Database) -> Person:
    async with database.sessions.begin() as session:
        return await make_person(session)


async def _owner(database: Database) -> Party:
    async with database.sessions.begin() as session:
        return await make_enterprise(session)


async def _sign_in(client: httpx.AsyncClient, identifier: str | None, password: str = PASSWORD) -> httpx.Response:
    return await client.post("/v1/auth/sign-in", json={"identifier": identifier, "password": password})


async def _refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/v1/auth/refresh", json={"refresh_token": token})


async def _actions(database: Database, action: str) -> list[AuditEntry]:
    async with database.sessions() as session:
        return list((await session.exec(select(AuditEntry).where(AuditEntry.action == action))).all())


async def test_a_person_acts_for_themselves_when_they_have_signed_up(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/auth/sign-up", json=SIGN_UP)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    me = await client.get("/v1/me", headers={"Authorization": f"Bearer {answer.json()['access_token']}"})
    assert me.json()["email"] == "wei@kapok.example"
    assert me.json()["roles"] == ["worker"]
    assert me.json()["scopes"] == ["money:read", "money:write", "profile", "work"]
    assert me.json()["organisation_id"] is None


async def test_sign_up_is_refused_when_the_address_is_taken_in_another_spelling(
    client: httpx.AsyncClient, database: Database
) -> None:
    await client.post("/v1/auth/sign-up", json=SIGN_UP)
    again = await client.post("/v1/auth/sign-up", json=SIGN_UP | {"identifier": " wei@KAPOK.example"})
    assert (again.status_code, again.json()["code"]) == (409, "identifier_taken")
    async with database.sessions() as session:
        assert len((await session.exec(select(Person))).all()) == 1


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"password": "wei-password-1"}, "password_weak"),
        ({"password": "short"}, "password_weak"),
        ({"identifier": "13800138000"}, "identifier_invalid"),
        ({"locale": "Chinese"}, "malformed"),
        ({"is_admin": True}, "malformed"),
    ],
    ids=str,
)
async def test_sign_up_is_refused_when_the_input_breaks_a_rule(
    client: httpx.AsyncClient, changed: dict[str, object], code: str
) -> None:
    answer = await client.post("/v1/auth/sign-up", json=SIGN_UP | changed)
    assert answer.json()["code"] == code
    assert answer.json()["fields"]
    assert str(changed.get("password", "no password")) not in answer.text


async def test_a_phone_number_signs_in_when_it_signed_up(client: httpx.AsyncClient) -> None:
    await client.post("/v1/auth/sign-up", json=SIGN_UP | {"identifier": "+86 138 0013 8000"})
    answer = await _sign_in(client, "+8613800138000")
    assert answer.status_code == 200


async def test_an_unknown_address_and_a_wrong_password_are_answered_alike_and_written_down(
    client: httpx.AsyncClient, database: Database
) -> None:
    person = await _person(database)
    wrong = await _sign_in(client, person.email, "a wrong password")
    unknown = await _sign_in(client, "nobody@kapok.example", "a wrong password")
    nonsense = await _sign_in(client, "no address at all", "a wrong password")
    for answer in (wrong, unknown, nonsense):
        assert answer.status_code == 401
        assert {**answer.json(), "request_id": ""} == {**wrong.json(), "request_id": ""}
    entries = await _actions(database, "person.sign_in_refused")
    assert sorted(entry.subject for entry in entries) == [f"person:{person.id}", "person:unknown", "person:unknown"]


async def test_an_unknown_address_takes_as_long_as_a_wrong_password(database: Database) -> None:
    person = await _person(database)

    async def seconds(identifier: str) -> float:
        command = signing_in.SignIn(identifier=identifier, password="a wrong password")
        started = perf_counter()
        assert not (await signing_in.prove(database, command)).right
        return perf_counter() - started

    assert person.email
    await seconds(person.email)
    known = median([await seconds(person.email) for _ in range(5)])
    unknown = median([await seconds("nobody@kapok.example") for _ in range(5)])
    assert unknown > known / 3, "an answer without hashing is hundreds of times faster"


async def test_sign_in_is_refused_when_the_person_is_disabled(client: httpx.AsyncClient, database: Database) -> None:
    async with database.sessions.begin() as session:
        person = await make_person(session)
        person.disabled_at = now()
    assert (await _sign_in(client, person.email)).json()["code"] == "sign_in_refused"


async def test_a_person_acts_for_their_only_organisation_when_none_is_named(
    client: httpx.AsyncClient, database: Database
) -> None:
    owner = await _owner(database)
    answer = await _sign_in(client, owner.person.email)
    assert owner.organisation
    assert answer.json()["organisation_id"] == str(owner.organisation.id)
    me = await client.get("/v1/me", headers={"Authorization": f"Bearer {answer.json()['access_token']}"})
    assert me.json()["roles"] == ["owner"]


async def test_a_person_acts_for_themselves_when_they_have_a_choice_or_only_work(
    client: httpx.AsyncClient, database: Database
) -> None:
    async with database.sessions.begin() as session:
        twice = await make_enterprise(session)
        other = await make_vendor(session)
        assert other.organisation
        await make_member(session, other.organisation, Role.MANAGER, person=twice.person)
        worker = await make_member(session, other.organisation, Role.WORKER)
    for person in (twice.person, worker.person):
        assert (await _sign_in(client, person.email)).json()["organisation_id"] is None
    named = {"identifier": worker.person.email, "password": PASSWORD, "organisation_id": str(other.organisation.id)}
    assert (await client.post("/v1/auth/sign-in", json=named)).status_code == 404


async def test_sign_in_is_refused_when_the_organisation_is_not_theirs_or_unknown(
    client: httpx.AsyncClient, database: Database
) -> None:
    person, other = await _person(database), await _owner(database)
    assert other.organisation
    for organisation_id in (other.organisation.id, uuid4()):
        named = {"identifier": person.email, "password": PASSWORD, "organisation_id": str(organisation_id)}
        answer = await client.post("/v1/auth/sign-in", json=named)
        assert (answer.status_code, answer.json()["code"]) == (404, "organisation_unknown")


async def test_a_reused_refresh_token_ends_its_whole_family(client: httpx.AsyncClient, database: Database) -> None:
    person = await _person(database)
    first = (await _sign_in(client, person.email)).json()["refresh_token"]
    elsewhere = (await _sign_in(client, person.email)).json()["refresh_token"]
    second = (await _refresh(client, first)).json()["refresh_token"]
    assert second != first

    reused = await _refresh(client, first)
    assert (reused.status_code, reused.json()["code"]) == (401, "refresh_token_reused")
    assert (await _refresh(client, second)).json()["code"] == "refresh_token_invalid"
    assert (await _refresh(client, elsewhere)).status_code == 200, "another sign-in is another family"
    entries = await _actions(database, "person.refresh_token_reused")
    assert [entry.subject for entry in entries] == [f"person:{person.id}"]


async def test_one_of_two_refreshes_wins_when_both_come_at_once_and_the_family_ends(
    client: httpx.AsyncClient, database: Database
) -> None:
    person = await _person(database)
    token = (await _sign_in(client, person.email)).json()["refresh_token"]
    answers = await asyncio.gather(_refresh(client, token), _refresh(client, token))
    assert sorted(answer.status_code for answer in answers) == [200, 401]
    winner = next(answer for answer in answers if answer.status_code == 200)
    assert (await _refresh(client, winner.json()["refresh_token"])).status_code == 401


@pytest.mark.parametrize("token", ["", "x", "a" * 86, "é" * 10, "/" * 86])
async def test_a_refresh_is_refused_when_the_token_is_forged(client: httpx.AsyncClient, token: str) -> None:
    answer = await _refresh(client, token)
    assert (answer.status_code, answer.json()["code"]) == (401, "refresh_token_invalid")


async def test_a_refresh_is_refused_when_the_secret_is_of_another_token(
    client: httpx.AsyncClient, database: Database
) -> None:
    person = await _person(database)
    token = (await _sign_in(client, person.email)).json()["refresh_token"]
    changed = token[:-8] + ("A" * 8)
    assert (await _refresh(client, changed)).status_code == 401
    assert (await _refresh(client, token)).status_code == 200, "a wrong guess ends nothing"


async def test_a_refresh_is_refused_when_the_token_has_expired(
    client: httpx.AsyncClient, database: Database, settings: Settings
) -> None:
    person = await _person(database)
    token = (await _sign_in(client, person.email)).json()["refresh_token"]
    with time_machine.travel(now() + timedelta(seconds=settings.refresh_token_seconds + 1)):
        assert (await _refresh(client, token)).json()["code"] == "refresh_token_invalid"


async def test_a_refresh_falls_back_to_oneself_when_the_role_has_ended(
    client: httpx.AsyncClient, database: Database
) -> None:
    owner = await _owner(database)
    token = (await _sign_in(client, owner.person.email)).json()["refresh_token"]
    async with database.sessions.begin() as session:
        found = await session.exec(select(Membership).where(Membership.person_id == owner.person.id))
        found.one().state = MembershipState.ENDED
    assert (await _refresh(client, token)).json()["organisation_id"] is None


async def test_the_cookie_refreshes_only_when_the_client_header_is_there(
    client: httpx.AsyncClient, database: Database
) -> None:
    person = await _person(database)
    answer = await _sign_in(client, person.email)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    refused = await client.post("/v1/auth/refresh", json={})
    assert (refused.status_code, refused.json()["code"]) == (403, "client_header_missing")
    assert (await client.post("/v1/auth/sign-out", json={})).status_code == 403
    taken = await client.post("/v1/auth/refresh", json={}, headers={"X-Kapok-Client": "web"})
    assert taken.status_code == 200


async def test_the_cookie_is_bound_to_its_host_when_the_address_is_https(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    shared = app.state.resources
    secure = shared.settings.model_copy(update={"public_url": "https://kapok.example"})
    app.state.resources = replace(shared, settings=secure)
    cookie = (await _sign_in(client, (await _person(database)).email)).headers["set-cookie"]
    assert cookie.startswith("__Host-kapok_refresh=")
    assert "; Secure" in cookie
    assert "; Path=/" in cookie
    assert "Domain" not in cookie


async def test_a_refresh_is_refused_when_there_is_no_token(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/auth/refresh", json={})).json()["code"] == "refresh_token_missing"


async def test_sign_out_ends_the_sign_in_and_is_content_when_it_has_ended(
    client: httpx.AsyncClient, database: Database
) -> None:
    person = await _person(database)
    token = (await _sign_in(client, person.email)).json()["refresh_token"]
    for _ in range(2):
        assert (await client.post("/v1/auth/sign-out", json={"refresh_token": token})).status_code == 204
    assert (await _refresh(client, token)).json()["code"] == "refresh_token_invalid"
    assert not client.cookies, "the cookie is taken back"


async def test_switch_changes_the_organisation_and_ends_the_old_sign_in(
    client: httpx.AsyncClient, database: Database
) -> None:
    owner = await _owner(database)
    assert owner.organisation
    signed_in = (await _sign_in(client, owner.person.email)).json()
    headers = {"Authorization": f"Bearer {signed_in['access_token']}"}
    body = {"organisation_id": None, "refresh_token": signed_in["refresh_token"]}
    switched = await client.post("/v1/auth/switch", json=body, headers=headers)
    assert switched.json()["organisation_id"] is None
    assert (await _refresh(client, signed_in["refresh_token"])).status_code == 401
    back = await client.post(
        "/v1/auth/switch",
        json={"organisation_id": str(owner.organisation.id), "refresh_token": switched.json()["refresh_token"]},
        headers={"Authorization": f"Bearer {switched.json()['access_token']}"},
    )
    assert back.json()["organisation_id"] == str(owner.organisation.id)
    foreign = {"organisation_id": str(uuid4()), "refresh_token": back.json()["refresh_token"]}
    assert (await client.post("/v1/auth/switch", json=foreign, headers=headers)).status_code == 404


async def test_another_password_ends_every_sign_in_and_needs_the_old_one(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    owner = await _owner(database)
    token = (await _sign_in(client, owner.person.email)).json()["refresh_token"]
    body = {"password": "a wrong password", "new_password": "木棉花开了，山坡一片红"}
    refused = await client.post("/v1/auth/password", json=body, headers=bearer(app, owner))
    assert refused.json()["code"] == "sign_in_refused"
    changed = await client.post("/v1/auth/password", json=body | {"password": PASSWORD}, headers=bearer(app, owner))
    assert changed.status_code == 200
    assert (await _refresh(client, token)).status_code == 401
    assert (await _refresh(client, changed.json()["refresh_token"])).status_code == 200
    assert (await _sign_in(client, owner.person.email)).status_code == 401
    assert (await _sign_in(client, owner.person.email, body["new_password"])).status_code == 200


async def test_sign_in_is_limited_when_an_address_tries_too_often(app: FastAPI, client: httpx.AsyncClient) -> None:
    shared = app.state.resources
    strict = shared.settings.model_copy(update={"sign_in_limit_per_minute": 2})
    app.state.resources = replace(shared, settings=strict)
    answers = [(await _sign_in(client, "nobody@kapok.example")).status_code for _ in range(3)]
    assert answers == [401, 401, 429]
    refused = await client.get("/v1/me", headers={"Authorization": "Bearer forged"})
    assert refused.status_code == 401, "another purpose has its own count"
    statuses = [
        (await client.get("/v1/me", headers={"Authorization": f"Bearer forged{n}"})).status_code for n in range(3)
    ]
    assert statuses[-1] == 429


async def test_no_route_answers_when_nobody_signed_in(client: httpx.AsyncClient) -> None:
    for path in ("/v1/me", f"/v1/organisations/{uuid4()}", "/v1/vetting/queue"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_published_keys_verify_when_a_third_party_reads_them(client: httpx.AsyncClient) -> None:
    answer = await client.get("/.well-known/jwks.json")
    assert [key["alg"] for key in answer.json()["keys"]] == ["EdDSA", "EdDSA"]
    assert "d" not in answer.json()["keys"][0]


async def test_ended_tokens_are_forgotten_when_their_afterlife_is_over(
    client: httpx.AsyncClient, database: Database, settings: Settings
) -> None:
    person = await _person(database)
    await _sign_in(client, person.email)
    later = now() + timedelta(seconds=settings.refresh_token_seconds, days=8)
    async with database.sessions.begin() as session:
        assert await signing_in.forget_ended_tokens(session) == 0
    with time_machine.travel(later):
        async with database.sessions.begin() as session:
            assert await signing_in.forget_ended_tokens(session) == 1
    async with database.sessions() as session:
        assert (await session.exec(select(RefreshToken))).all() == []


async def test_a_suspended_organisation_is_no_context_when_signing_in(
    client: httpx.AsyncClient, database: Database
) -> None:
    async with database.sessions.begin() as session:
        owner = await make_enterprise(session)
        assert owner.organisation
        owner.organisation.state = "suspended"
    assert owner.organisation.kind is OrganisationKind.ENTERPRISE
    assert (await _sign_in(client, owner.person.email)).json()["organisation_id"] is None
