"""The fake's HTTP: authentication, the contract, keys, faults; what an endpoint does stands in `actions`."""

import asyncio
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.fakestripe import contract, listing
from tests.fakestripe.world import DAY, PLATFORM, Refused

KEY_SECONDS = DAY
Answer = tuple[int, dict[str, Any]]


class App:
    """An ASGI application over a fake."""

    def __init__(self, fake: Any) -> None:
        self.fake = fake
        self.stored: dict[tuple[str, str], tuple[int, Any, Answer]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return None
        request = Request(scope, receive)
        raw = await request.body()
        fault = self.fake.faults.next() if request.method == "POST" else None
        if fault in {"lost_request", "hang"}:
            await asyncio.sleep(self.fake.hang_seconds if fault == "hang" else 0)
            return await _drop(send)
        status, body, replayed = self._answer(request, raw, fault)
        self.fake.deliver_soon()
        if fault == "lost_response":
            return await _drop(send)
        headers = {"request-id": self.fake.world.new_id("req")} | ({"idempotent-replayed": "true"} if replayed else {})
        if status == 429:
            headers["retry-after"] = "1"
        await Response(json.dumps(body), status, headers, "application/json")(scope, receive, send)
        return None

    def _answer(self, request: Request, raw: bytes, fault: str | None) -> tuple[int, dict[str, Any], bool]:
        refusal = self._at_the_door(request, fault)
        if refusal is not None:
            return *refusal, False
        account = request.headers.get("stripe-account", PLATFORM)
        key = (account, request.headers.get("idempotency-key", ""))
        asked = (request.method, request.url.path, request.url.query, raw)
        at, before, answer = self.stored.get(key, (0, None, (0, {})))
        if key[1] and request.method == "POST" and before is not None and self.fake.world.now() - at < KEY_SECONDS:
            if before != asked:
                return 400, _error("idempotency_error", None, "the key was used with other parameters"), False
            return *answer, True
        try:
            run = self._checked(request, raw, account)
        except Refused as error:  # what was never begun is not stored
            return error.status, _error(error.kind, error.code, error.message), False
        answer = _run(run, fault)
        if key[1] and request.method == "POST":
            self.stored[key] = (self.fake.world.now(), asked, answer)
        return *answer, False

    def _at_the_door(self, request: Request, fault: str | None) -> Answer | None:
        if request.headers.get("authorization") != f"Bearer {self.fake.api_key}":
            return 401, _error("invalid_request_error", "api_key_invalid", "Invalid API Key provided")
        if fault == "throttled":
            return 429, _error("invalid_request_error", "rate_limit", "Too many requests")
        if fault == "conflict":
            return 409, _error("idempotency_error", "idempotency_key_in_use", "the key is at work")
        return None

    def _checked(self, request: Request, raw: bytes, account: str) -> Any:
        path, text = request.url.path, raw.decode()
        found = contract.route(request.method, path)
        if found is None:
            self.fake.contract_breaks.append(f"{request.method} {path}: no such endpoint")
            raise Refused("url_invalid", f"Unrecognized request URL ({request.method}: {path})", 404)
        if account and account not in self.fake.world.objects:
            raise Refused("account_invalid", "the key may not act for this account", 403)
        action, object_id, params_type = found
        as_json = path.startswith("/v2/") and request.method == "POST"
        given = json.loads(text or "{}") if as_json else contract.decode_form(text or request.url.query)
        cursor = given.pop("page", None) if path.startswith("/v2/") and not as_json else None
        checker = contract.Checker(form=not as_json)
        params = checker.check(params_type, given)
        if checker.breaks:
            self.fake.contract_breaks += [f"{request.method} {path}: {one}" for one in checker.breaks]
            missing = any(one.endswith("is required") for one in checker.breaks)
            raise Refused("parameter_missing" if missing else "parameter_unknown", "; ".join(checker.breaks))
        if cursor is not None:
            params["page"] = cursor
        return lambda: self._act(action, params, account, object_id, path)

    def _act(self, action: str, params: dict[str, Any], account: str, object_id: str | None, path: str) -> Any:
        world = self.fake.world
        if action == "get_event":
            return next(one for one in world.events if one["id"] == object_id)
        if action.startswith("list_"):
            found = listing.listed(world, action, params, account, object_id)
            body = (listing.page_v2 if path.startswith("/v2/") else listing.page_v1)(found, params, path)
        else:
            body = getattr(self.fake.actions, action)(params, account, object_id)
        for part in params.get("expand", []):
            body = listing.expanded(world, body, part.split("."))
        return body


def _run(run: Any, fault: str | None) -> Answer:
    broken = 500, _error("api_error", None, "An unknown error occurred")
    if fault == "error_before":
        return broken
    try:
        body = json.loads(json.dumps(run()))
    except Refused as error:
        return error.status, _error(error.kind, error.code, error.message)
    return broken if fault == "error_after" else (200, body)


def _error(kind: str, code: str | None, message: str) -> dict[str, Any]:
    return {"error": {"type": kind, "code": code, "message": message}}


async def _drop(send: Send) -> None:
    """Promise a body and close the connection instead; the SDK sees a broken connection, as on the way."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
