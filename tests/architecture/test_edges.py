"""What the edges promise: each route says who may call it, each error has a code and a status, OpenAPI is committed."""

import json
from collections import Counter
from pathlib import Path

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.app import ROUTERS, create_app
from api.auth import Authorize, PublicRoute
from api.errors import STATUS_OF_KIND
from marketplace.core.errors import DomainError, Kind, all_errors
from marketplace.core.settings import Settings
from workers.handlers import HANDLERS, SCHEDULE
from workers.main import load_handlers

ROOT = Path(__file__).parents[2]
OPENAPI = ROOT / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def application():
    return create_app(Settings(_env_file=None, env="test", database_url="postgresql://none", redis_url="redis://none"))


def _guards(dependant: Dependant) -> set[Authorize | PublicRoute]:
    """The declarations of a route; one that stands in the signature and in a dependency of it counts once."""
    found = {dependant.call} if isinstance(dependant.call, Authorize | PublicRoute) else set()
    return found.union(*(_guards(inner) for inner in dependant.dependencies))


def _routes() -> list[APIRoute]:
    return [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def test_every_route_declares_who_may_call_it():
    routes = _routes()
    assert len(routes) > 50
    undeclared = [f"{route.methods} {route.path}" for route in routes if len(_guards(route.dependant)) != 1]
    assert undeclared == []


def test_every_route_has_words_and_a_name_of_its_own():
    routes = [route for route in _routes() if route.include_in_schema]
    assert [route.path for route in routes if not route.description or not route.tags] == []
    assert [name for name, count in Counter(route.name for route in routes).items() if count > 1] == []


def test_every_error_has_a_code_of_its_own_and_a_message():
    kinds = {error for error in all_errors() if DomainError in error.__bases__}
    assert len(kinds) == len(Kind)
    codes = Counter(error.code for error in all_errors())
    assert [code for code, count in codes.items() if count > 1] == []
    assert [error.__name__ for error in all_errors() if not error.__doc__] == []
    assert set(STATUS_OF_KIND) == set(Kind)


def test_every_periodic_job_has_a_handler():
    load_handlers()
    assert {job.kind for job in SCHEDULE} <= set(HANDLERS)
    assert len(HANDLERS) > 10


def test_committed_openapi_is_what_the_api_says(application):
    assert json.loads(OPENAPI.read_text()) == application.openapi(), "run `make openapi`"
