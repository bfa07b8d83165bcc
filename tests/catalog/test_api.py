"""Dataset requests and uploads over HTTP: what a client meets, and the problem it gets for every bad input."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from obstore.store import ObjectStore

from marketplace.catalog import uploads
from marketplace.catalog.errors import UploadOffsetWrong
from marketplace.catalog.upload_schemas import UploadDraft
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.settings import Settings
from tests.catalog.conftest import Caller, Desk, make_desk
from tests.factories.catalog import SENTIMENT
from tests.factories.identity import bearer, make_operator, make_vendor
from tests.jobs import run_outbox
from workers.handlers import WorkerResources

ROWS = b'{"id": "a", "text": "x"}\n{"id": "b", "text": "y", "gold": "positive"}\nnonsense\n'


def body(**overrides: Any) -> dict[str, Any]:
    fields = {
        "title": "Reviews", "description": "Is the buyer content?", "subject": "sentiment", "languages": ["zh"],
        "currency": "CNY", "unit_price_ceiling": 35000, "budget_minor": 500000,
        "deadline": (now() + timedelta(days=30)).isoformat(), "bid_deadline": (now() + timedelta(days=3)).isoformat(),
        "data_class": "public", "residency": ["CN"], "label_schema": SENTIMENT, "guideline": {"body": "Choose."},
    }  # fmt: skip
    return fields | overrides


def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


def fields_of(answer: httpx.Response) -> set[str]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert all(entry["reason"] for entry in problem["fields"])
    return {entry["field"] for entry in problem["fields"]}


async def test_request_is_made_once_when_the_call_is_repeated(call: Caller) -> None:
    headers, draft = key(), body()
    first = await call("POST", "/v1/requests", json=draft, headers=headers)
    again = await call("POST", "/v1/requests", json=draft, headers=headers)
    assert (first.status_code, again.json()) == (201, first.json())
    listed = (await call("GET", "/v1/requests")).json()["items"]
    assert [view["id"] for view in listed].count(first.json()["id"]) == 1


BAD_DRAFTS = [
    ({"unit_price_ceiling": 0}, 422, "unit_price_ceiling"),
    ({"unit_price_ceiling": -1}, 422, "unit_price_ceiling"),
    ({"unit_price_ceiling": 1.5}, 422, "unit_price_ceiling"),
    ({"unit_price_ceiling": 10**12 + 1}, 422, "unit_price_ceiling"),
    ({"unit_price_ceiling": 10**40}, 422, "unit_price_ceiling"),
    ({"budget_minor": 0}, 422, "budget_minor"),
    ({"budget_minor": 1}, 400, "budget_minor"),
    ({"currency": "XXX"}, 400, "currency"),
    ({"currency": "RMB!"}, 422, "currency"),
    ({"deadline": "2001-01-01T00:00:00Z"}, 400, "deadline"),
    ({"deadline": "2030-01-01T00:00:00"}, 422, "deadline"),
    ({"deadline": "tomorrow"}, 422, "deadline"),
    ({"bid_deadline": "2001-01-01T00:00:00Z"}, 400, "bid_deadline"),
    ({"bid_deadline": None}, 400, "bid_deadline"),
    ({"title": ""}, 422, "title"),
    ({"title": "  "}, 422, "title"),
    ({"title": "x" * 201}, 422, "title"),
    ({"title": "a\u0000b"}, 422, "title"),
    ({"languages": []}, 422, "languages"),
    ({"languages": ["not a language"]}, 422, "languages.0"),
    ({"residency": ["Mars"]}, 422, "residency.0"),
    ({"residency": ["*"], "data_class": "personal"}, 400, "residency"),
    ({"data_class": "secret"}, 422, "data_class"),
    ({"quality_plan": {"overlap_min": 5, "overlap_max": 3}}, 422, "quality_plan"),
    ({"quality_plan": {"gold_share": 2}}, 422, "quality_plan.gold_share"),
    ({"quality_plan": {"gates": [{"gate": "mood"}]}}, 422, "quality_plan.gates.0"),
    (
        {"quality_plan": {"gates": [{"gate": "completeness"}, {"gate": "gold_accuracy", "bars": 1}]}},
        422,
        "quality_plan.gates.1.gold_accuracy.bars",
    ),
    ({"scoring": {"price": 0, "quality": 0, "capacity": 0, "track_record": 0}}, 422, "scoring"),
    ({"scoring": {"beauty": 1}}, 422, "scoring.beauty"),
    ({"unknown": 1}, 422, "unknown"),
    ({"label_schema": {"kind": "sculpture"}}, 422, "label_schema"),
    ({"label_schema": {**SENTIMENT, "extra_schema": {"type": "nope"}}}, 400, "extra_schema"),
    ({"label_schema": {**SENTIMENT, "extra_schema": {"$ref": "http://127.0.0.1/"}}}, 400, "extra_schema"),
    ({"label_schema": {**SENTIMENT, "extra_schema": {"\u0000": 1}}}, 422, "label_schema.single_choice.extra_schema"),
    ({"guideline": {"body": "x", "examples": [{"data": {"a": "\u0000"}, "answer": {}, "right": True}]}}, 422,
     "guideline.examples.0.data"),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "status", "field"), BAD_DRAFTS)
async def test_draft_is_refused_with_its_field_when_bad(
    call: Caller, overrides: dict[str, Any], status: int, field: str
) -> None:
    answer = await call("POST", "/v1/requests", json=body(**overrides), headers=key())
    assert answer.status_code == status
    assert field in fields_of(answer)
    assert len((await call("GET", "/v1/requests")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("cursor=nonsense!", "cursor"),
        ("cursor=AAAA", "cursor"),
        (f"cursor={'A' * 101}", "cursor"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("state=lost", "state"),
    ],
)
async def test_list_is_refused_with_its_field_when_paging_is_bad(call: Caller, query: str, field: str) -> None:
    answer = await call("GET", f"/v1/requests?{query}")
    assert answer.status_code in {400, 422}
    assert fields_of(answer) == {field}


async def test_list_pages_meet_every_request_once_when_followed(call: Caller) -> None:
    made = {(await call("POST", "/v1/requests", json=body(), headers=key())).json()["id"] for _ in range(4)}
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await call("GET", f"/v1/requests?limit=2&{'cursor=' + cursor if cursor else ''}")).json()
        seen += [view["id"] for view in page["items"]]
        cursor = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 5
    assert made < set(seen)


async def test_body_is_refused_when_it_is_too_large(call: Caller) -> None:
    content = json.dumps(body(description="x" * 9 * 2**20)).encode()
    known = await call("POST", "/v1/requests", content=content, headers=key())
    assert known.status_code == 413
    chunked = await call("POST", "/v1/requests", content=_bytes(content), headers=key())
    assert chunked.status_code == 413
    assert fields_of(chunked) == set()


async def test_request_is_not_found_when_it_is_of_a_stranger(
    app: FastAPI, client: httpx.AsyncClient, database: Database, desk: Desk
) -> None:
    stranger = Caller(client, bearer(app, (await make_desk(database)).party))
    path = f"/v1/requests/{desk.request_id}"
    draft = {"filename": "a", "size_bytes": 1, "format": "csv"}
    for method, url, options in (
        ("GET", path, {}),
        ("PATCH", path, {"json": {"title": "x"}}),
        ("POST", f"{path}/publish", {"headers": key()}),
        ("POST", f"{path}/cancel", {"headers": key()}),
        ("PUT", f"{path}/label-schema", {"json": SENTIMENT}),
        ("PUT", f"{path}/guideline", {"json": {"body": "x"}}),
        ("GET", f"{path}/label-schema", {}),
        ("GET", f"{path}/guideline", {}),
        ("GET", f"{path}/public", {}),
        ("GET", f"{path}/uploads", {}),
        ("POST", f"{path}/uploads", {"json": draft}),
        ("GET", f"{path}/delivery", {}),
        ("POST", f"{path}/delivery/accept", {"headers": key()}),
        ("POST", f"{path}/exports", {"json": {"format": "csv"}, "headers": key()}),
        ("GET", f"{path}/exports", {}),
    ):
        answer = await stranger(method, url, **options)
        assert (answer.status_code, url) == (404, url)


async def test_call_is_forbidden_when_the_role_does_not_allow_it(
    app: FastAPI, client: httpx.AsyncClient, database: Database, desk: Desk
) -> None:
    async with database.sessions() as session:
        vendor, operator = await make_vendor(session), await make_operator(session)
        await session.commit()
    path = f"/v1/requests/{desk.request_id}"
    refused = await client.post("/v1/requests", json=body(), headers=bearer(app, vendor) | key())
    assert refused.status_code == 403
    own = await client.post(f"{path}/suspend", json={"reason": "x"}, headers=bearer(app, desk.party))
    assert own.status_code == 403
    draft = await client.post(f"{path}/suspend", json={"reason": "x"}, headers=bearer(app, operator))
    assert (draft.status_code, draft.json()["code"]) == (409, "transition_refused")


async def _announce(call: Caller, desk: Desk, **overrides: Any) -> str:
    draft = {"filename": "rows.jsonl", "size_bytes": len(ROWS), "format": "jsonl", "keep_good_rows": True}
    answer = await call("POST", f"/v1/requests/{desk.request_id}/uploads", json=draft | overrides)
    assert answer.status_code == 201
    return answer.headers["location"]


async def test_upload_becomes_items_when_sent_in_pieces(
    call: Caller, desk: Desk, worker_resources: WorkerResources
) -> None:
    location = await _announce(call, desk)
    first = await call("PATCH", location, content=ROWS[:10], headers={"Upload-Offset": "0"})
    assert (first.status_code, first.headers["upload-offset"]) == (204, "10")
    again = await call("PATCH", location, content=ROWS[:10], headers={"Upload-Offset": "0"})
    assert (again.status_code, again.json()["upload_offset"]) == (409, 10)
    where = await call("HEAD", location)
    assert (where.headers["upload-offset"], where.headers["upload-length"]) == ("10", str(len(ROWS)))
    last = await call("PATCH", location, content=ROWS[10:], headers={"Upload-Offset": "10"})
    assert last.status_code == 204
    more = await call("PATCH", location, content=b"x", headers={"Upload-Offset": str(len(ROWS))})
    assert (more.status_code, more.json()["code"]) == (409, "transition_refused")
    assert await run_outbox(worker_resources, only="catalog.") == ["catalog.import", "catalog.discard_objects"]
    view = (await call("GET", location)).json()
    assert (view["state"], view["rows_good"], view["rows_bad"]) == ("imported", 2, 1)
    assert view["report"] == [{"line": 3, "field": "", "reason": view["report"][0]["reason"]}]
    request = (await call("GET", f"/v1/requests/{desk.request_id}")).json()
    assert (request["item_count"], request["gold_count"]) == (1, 1)
    assert request["estimate"]["answers_min"] == 3


async def test_upload_is_refused_when_it_is_larger_than_announced(call: Caller, desk: Desk) -> None:
    location = await _announce(call, desk, size_bytes=5)
    known = await call("PATCH", location, content=b"123456", headers={"Upload-Offset": "0"})
    assert (known.status_code, known.json()["code"]) == (413, "upload_too_large")

    async def chunked() -> Any:
        yield b"123"
        yield b"456"

    unknown = await call("PATCH", location, content=chunked(), headers={"Upload-Offset": "0"})
    assert unknown.status_code == 413
    assert (await call("HEAD", location)).headers["upload-offset"] == "0"


async def test_upload_passes_the_general_limit_when_streamed(call: Caller, desk: Desk, settings: Settings) -> None:
    size = settings.max_body_bytes + 1
    location = await _announce(call, desk, size_bytes=size + 1)
    sent = await call("PATCH", location, content=b"x" * size, headers={"Upload-Offset": "0"})
    assert (sent.status_code, sent.headers["upload-offset"]) == (204, str(size))


@pytest.mark.parametrize(
    ("overrides", "status", "field"),
    [
        ({"size_bytes": 0}, 422, "size_bytes"),
        ({"size_bytes": 10**12}, 413, "size_bytes"),
        ({"format": "xls"}, 422, "format"),
        ({"filename": ""}, 422, "filename"),
        ({"filename": "a\u0000b"}, 422, "filename"),
    ],
)
async def test_announcement_is_refused_with_its_field_when_bad(
    call: Caller, desk: Desk, overrides: dict[str, Any], status: int, field: str
) -> None:
    draft = {"filename": "rows.jsonl", "size_bytes": 10, "format": "jsonl"} | overrides
    answer = await call("POST", f"/v1/requests/{desk.request_id}/uploads", json=draft)
    assert answer.status_code == status
    assert fields_of(answer) == {field}


@pytest.mark.parametrize("offset", ["-1", "x", ""])
async def test_piece_is_refused_when_its_offset_is_no_number(call: Caller, desk: Desk, offset: str) -> None:
    location = await _announce(call, desk)
    answer = await call("PATCH", location, content=b"x", headers={"Upload-Offset": offset})
    assert answer.status_code == 422


async def _bytes(content: bytes) -> Any:
    yield content


async def test_one_sender_wins_when_two_send_the_same_stretch(
    database: Database, store: ObjectStore, desk: Desk
) -> None:
    actor, request_id = desk.party.actor, desk.request_id
    async with database.sessions() as session:
        draft = UploadDraft.model_validate({"filename": "a", "size_bytes": 6, "format": "jsonl"})
        upload = await uploads.create_upload(session, actor, request_id, draft, 100)
        await session.commit()
    first, second = [await uploads.store_parts(store, upload, 0, _bytes(b)) for b in (b"abc", b"xyz")]
    async with database.sessions() as session:
        await uploads.advance(session, actor, request_id, upload.id, 0, first)
        await session.commit()
    async with database.sessions() as session:
        with pytest.raises(UploadOffsetWrong):
            await uploads.advance(session, actor, request_id, upload.id, 0, second)


async def test_label_schema_is_readable_to_workers_when_published_only(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    async with database.sessions() as session:
        vendor = await make_vendor(session)
        await session.commit()
    for state, status in (("draft", 404), ("open", 200)):
        shown = await make_desk(database, state=state)
        for part in ("label-schema", "guideline", "public"):
            answer = await client.get(f"/v1/requests/{shown.request_id}/{part}", headers=bearer(app, vendor))
            assert answer.status_code == status
    listed = (await client.get("/v1/requests/open", headers=bearer(app, vendor))).json()["items"]
    assert [UUID(view["id"]) for view in listed] == [shown.request_id]
    assert (await client.get("/v1/requests/open")).status_code == 401


async def test_what_arrived_is_kept_when_the_connection_breaks(app: FastAPI, call: Caller, desk: Desk) -> None:
    location = await _announce(call, desk)
    arriving = [
        {"type": "http.request", "body": ROWS[:7], "more_body": True},
        {"type": "http.request", "body": ROWS[7:20], "more_body": True},
        {"type": "http.disconnect"},
    ]
    headers = {**call.headers, "Upload-Offset": "0", "Content-Length": str(len(ROWS))}
    scope = {
        "type": "http", "http_version": "1.1", "method": "PATCH", "scheme": "http", "path": location,
        "raw_path": location.encode(), "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("kapok.test", 80), "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return arriving.pop(0) if arriving else {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        """Nobody listens any more."""

    await app(scope, receive, send)
    assert (await call("HEAD", location)).headers["upload-offset"] == "20"
    rest = await call("PATCH", location, content=ROWS[20:], headers={"Upload-Offset": "20"})
    assert rest.status_code == 204
