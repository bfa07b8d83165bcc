"""What every answer of the API keeps to, whatever is sent."""

import re

import pytest

PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/me/feed", None, 401, "unauthenticated"),
        ("GET", "/nothing", None, 404, "no_such_path"),
        ("DELETE", "/v1/auth/sign-in", None, 405, "method_not_allowed"),
        ("POST", "/v1/auth/sign-in", b'{"broken', 422, "malformed"),
        ("POST", "/v1/auth/sign-in", b"\xff\xfe", 422, "malformed"),
        ("POST", "/v1/auth/sign-in", b"[" * 100_000, 400, "malformed"),
        ("POST", "/v1/auth/sign-in", b"x" * (8 * 1024 * 1024 + 1), 413, "body_too_large"),
    ],
)
async def test_errors_are_problems_with_a_code(client, method, path, body, status, code):
    answer = await client.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    problem = answer.json()
    assert (problem["code"], problem["status"]) == (code, status)
    assert problem["request_id"] == answer.headers["X-Request-ID"]


async def test_request_id_of_the_caller_is_kept_when_it_is_sane(client):
    kept = await client.get("/healthz/live", headers={"X-Request-ID": "an id of mine"})
    assert kept.headers["X-Request-ID"] == "an id of mine"
    replaced = await client.get("/healthz/live", headers={"X-Request-ID": "x" * 100})
    assert len(replaced.headers["X-Request-ID"]) == 36


async def test_health_says_ready_when_the_servers_answer(client):
    for check, status in (("live", "live"), ("ready", "ready"), ("startup", "started")):
        answer = await client.get(f"/healthz/{check}")
        assert (answer.status_code, answer.json()) == (200, {"status": status})
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_reference_loads_nothing_from_elsewhere(client):
    assert (await client.get("/")).headers["location"] == "/docs"
    page = await client.get("/docs")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    loaded = [address for address in addresses if not address.startswith("data:")]
    assert len(loaded) >= 3
    for address in loaded:
        assert (await client.get(address)).status_code == 200, address
    assert "/v1/openapi.json" in (await client.get("/docs/start.js")).text


async def test_answers_of_the_api_may_not_run_as_pages(client):
    answer = await client.get("/healthz/live")
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
