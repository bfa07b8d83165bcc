"""Whatever is sent to any call is answered by a 4xx that says what is wrong, never by a fault of ours."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.routing import APIRoute

from api.app import ROUTERS
from api.auth import Authorize
from marketplace.catalog.states import RequestState
from marketplace.core.actor import OrganisationKind, Role
from marketplace.core.ids import new_id
from marketplace.tasks import claims
from tests.factories.catalog import make_request
from tests.factories.identity import bearer, make_approved_vendor, make_member, make_operator
from tests.factories.work import make_work

ODD_TEXTS = ("a\x00b", "\ud800", "", "x" * 5000, "' OR 1=1 --")
ODD_NUMBERS = (2**31, 2**63, -(2**70), 10**400, 0, -1, 1e308, float("nan"), float("inf"))
ODD_REST: tuple[Any, ...] = (None, [], {}, True, [[[]]] * 3, {"\x00": "\ud800"}, json.loads("[" * 300 + "]" * 300))


def _sample(schema: dict[str, Any], defs: dict[str, Any], depth: int = 0) -> Any:
    """Make a value that a JSON Schema takes, roughly: the field that is made odd is what matters."""
    if "$ref" in schema:
        return _sample(defs[schema["$ref"].rpartition("/")[2]], defs, depth + 1)
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return _sample(schema[choice][0], defs, depth + 1)
    fixed = [*schema.get("examples", []), *schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]
    if fixed:
        return fixed[0]
    kind = schema.get("type")
    if kind == "object":
        return {name: _sample(inner, defs, depth + 1) for name, inner in schema.get("properties", {}).items()}
    texts = {"uuid": str(new_id()), "date-time": "2099-01-01T00:00:00Z"}
    return {
        "string": texts.get(schema.get("format", ""), "a sane text"),
        "integer": max(1, schema.get("minimum", 1)),
        "number": max(1.0, schema.get("minimum", 1.0)),
        "boolean": True,
        "array": [_sample(schema["items"], defs, depth + 1)] if "items" in schema and depth < 6 else [],
    }.get(str(kind), {"choice": "positive"})


def _odd(value: Any) -> Iterator[Any]:
    """Yield the value with each of its leaves, and each whole member, made odd in turn."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from ({**value, name: changed} for changed in _odd(inner))
            yield {other: value[other] for other in value if other != name}
    elif isinstance(value, list):
        yield from ([changed] for inner in value[:1] for changed in _odd(inner))
        yield value * 3
    elif isinstance(value, str):
        yield from ODD_TEXTS
    elif isinstance(value, int | float):
        yield from ODD_NUMBERS
    yield from ODD_REST


def _routes() -> list[APIRoute]:
    return [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def _kind_of(route: APIRoute) -> OrganisationKind | Role:
    """For which party a route is: a kind of organisation, or workers."""
    waiting = [route.dependant]
    while waiting:
        dependant = waiting.pop()
        if isinstance(dependant.call, Authorize):
            if dependant.call.kind is not None:
                return dependant.call.kind
            return Role.WORKER if Role.WORKER in dependant.call.roles else OrganisationKind.ENTERPRISE
        waiting += dependant.dependencies
    return OrganisationKind.ENTERPRISE


@pytest.fixture
async def scene(app, database):
    """A draft, a request in production with a claim, and somebody of each kind with all rights of that kind."""
    app.state.resources.settings.rate_limit_per_minute = 1_000_000
    async with database.sessions() as session:
        vendor = await make_approved_vendor(session)
        work = await make_work(session, vendor=vendor, workers=1)
        worker = work.workers[0]
        operator = await make_operator(session, *[role for role in Role if role not in {Role.WORKER, Role.OWNER}])
        organisation = await session.get_one(type(vendor.organisation), work.request.organisation_id)
        enterprise = await make_member(session, organisation, Role.OWNER)
        draft = await make_request(session, enterprise.actor.organisation_id, state=RequestState.DRAFT)
        await session.commit()
    async with database.hot.acquire() as connection:
        claim = await claims.claim_seat(connection, work.command(worker))
    parties = {
        OrganisationKind.ENTERPRISE: enterprise, OrganisationKind.VENDOR: vendor,
        OrganisationKind.OPERATOR: operator, Role.WORKER: worker,
    }  # fmt: skip
    return parties, work, draft, claim


async def test_no_call_faults_when_its_body_is_odd(app, client, scene):
    parties, work, draft, claim = scene
    schema = app.openapi()
    faults, statuses = [], Counter()
    for route in _routes():
        content = _body_of(route, schema)
        if content is None:
            continue
        party = parties[_kind_of(route)]
        sample = _sample(content["schema"], schema["components"]["schemas"])
        for request in (draft, work.request):
            known = {
                "request_id": request.id, "contract_id": work.contract.id, "claim_id": claim.id,
                "organisation_id": party.actor.organisation_id,
            }  # fmt: skip
            path = _path(route, known)
            for body in _odd(sample):
                headers = {**bearer(app, party), "Idempotency-Key": str(new_id()), "Content-Type": "application/json"}
                method = next(iter(route.methods))
                answer = await client.request(method, path, content=json.dumps(body), headers=headers)
                statuses[answer.status_code] += 1
                if answer.status_code >= 500:
                    faults.append((method, route.path, json.dumps(body)[:300], answer.status_code))
            if "request_id" not in _names(route):
                break
    assert statuses.total() > 2000
    assert statuses[200] + statuses[201] > 50
    assert faults == []


def _body_of(route: APIRoute, schema: dict[str, Any]) -> dict[str, Any] | None:
    operation = schema["paths"].get(route.path, {}).get(next(iter(route.methods)).lower(), {})
    body: dict[str, Any] | None = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return body


def _path(route: APIRoute, known: dict[str, Any]) -> str:
    """Return the route's path with known ids where there are some, and ids of nothing elsewhere."""
    return re.sub(r"{(\w+)[^}]*}", lambda found: str(known.get(found[1]) or new_id()), route.path)


def _names(route: APIRoute) -> list[str]:
    return re.findall(r"{(\w+)", route.path)


@pytest.mark.parametrize("odd", ["\x00", "a\x00b", "-1", "9" * 400, "x" * 5000, "%", "é", "nan"])
async def test_no_list_faults_when_its_query_is_odd(app, client, scene, odd):
    parties, work, _, claim = scene
    faults = []
    for route in _routes():
        if "GET" not in route.methods or route.name == "watch_progress":
            continue
        party = parties[_kind_of(route)]
        known = {
            "request_id": work.request.id, "contract_id": work.contract.id, "claim_id": claim.id,
            "organisation_id": party.actor.organisation_id,
        }  # fmt: skip
        path = _path(route, known)
        names = [parameter.alias for parameter in route.dependant.query_params] + ["cursor", "limit"]
        for name in names:
            answer = await client.get(f"{path}?{name}={quote(odd)}", headers=bearer(app, party))
            if answer.status_code >= 500:
                faults.append((route.path, name, answer.status_code))
        if _names(route):
            path = _path(route, dict.fromkeys(_names(route), quote(odd, safe="")))
            answer = await client.get(path, headers=bearer(app, party))
            if answer.status_code >= 500:
                faults.append((path, "path", answer.status_code))
    assert faults == []
