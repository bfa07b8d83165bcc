"""The progress read model over the tables of the work, and its live stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import event
from sqlmodel import col, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.routes import progress as route
from marketplace.catalog.errors import RequestNotFound
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import RequestState
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.ids import new_id
from marketplace.ledger import accounts
from marketplace.ledger.entries import credit, debit
from marketplace.ledger.service import post
from marketplace.matching.models import Bid
from marketplace.matching.policy import Record
from marketplace.statistics.progress import fingerprint, is_final, progress
from marketplace.statistics.track_records import track_records
from marketplace.tasks.models import Bundle, Claim, Seat, Task
from marketplace.tasks.states import ClaimState, SeatState
from tests.factories.catalog import make_items, make_request
from tests.factories.identity import Party, bearer, make_approved_vendor, make_enterprise
from tests.factories.matching import make_contract


async def make_running(session: AsyncSession, enterprise: Party) -> DatasetRequest:
    assert enterprise.organisation
    request = await make_request(session, enterprise.organisation.id, state=RequestState.IN_PRODUCTION)
    await make_items(session, request, 4)
    return request


def task(request: DatasetRequest, contract_id: UUID, planned: int, answered: int, *, done: bool = False) -> Task:
    return Task(
        request_id=request.id, id=new_id(), contract_id=contract_id, block=0, planned=planned, answered=answered,
        done=done,
    )  # fmt: skip


async def make_claim(
    session: AsyncSession, request_id: UUID, contract_id: UUID, state: ClaimState, minutes_ago: float, units: int = 10
) -> Claim:
    """A claim made that long ago and, unless it is still held, submitted then."""
    at = now() - timedelta(minutes=minutes_ago)
    bundle = Bundle(request_id=request_id, contract_id=contract_id, task_ids=[], blocks=[], gold_wanted=0)
    seat = Seat(request_id=request_id, bundle_id=bundle.id, contract_id=contract_id, rank=0, state=SeatState(state))
    claim = Claim(
        request_id=request_id, seat_id=seat.id, bundle_id=bundle.id, contract_id=contract_id, worker_id=new_id(),
        key=new_id().hex, state=state, units=units, gold_start=0, gold_count=0, lease_expires_at=now(), created_at=at,
        submitted_at=None if state is ClaimState.CLAIMED else at,
    )  # fmt: skip
    session.add_all([bundle, seat, claim])
    await session.flush()
    return claim


async def test_progress_counts_work_money_and_people(session: AsyncSession) -> None:
    enterprise = await make_enterprise(session)
    request = await make_running(session, enterprise)
    contract = await make_contract(session, request)
    session.add_all([
        task(request, contract.id, 3, 3, done=True), task(request, contract.id, 3, 1),
        task(request, contract.id, 3, 3), task(request, contract.id, 0, 0),
    ])  # fmt: skip
    await make_claim(session, request.id, contract.id, ClaimState.CLAIMED, 5)
    await make_claim(session, request.id, contract.id, ClaimState.CLAIMED, 25)
    await make_claim(session, request.id, contract.id, ClaimState.SUBMITTED, 8)
    await make_claim(session, request.id, contract.id, ClaimState.ACCEPTED, 50)
    await make_claim(session, request.id, contract.id, ClaimState.ACCEPTED, 90)
    assert enterprise.organisation
    cash = accounts.org_cash(enterprise.organisation.id)
    held, accrued = accounts.reserved(request.id), accounts.accrued(request.id, contract.id)
    await post(session, "t1", "top_up", [debit("psp:test", 900), credit(cash, 900)], "CNY")
    await post(session, "t2", "fund", [debit(cash, 900), credit(held, 900)], "CNY")
    await post(session, "t3", "accrue", [debit(held, 250), credit(accrued, 250)], "CNY")

    found = await progress(session, enterprise.actor, request.id)

    assert (found.items, found.tasks, found.tasks_done) == (4, 4, 1)
    # done: 3; 3 planned; full but undecided: one more; not begun: one at least
    assert (found.answers, found.answers_wanted) == (7, 3 + 3 + 4 + 1)
    seats = {"claimed": 2, "submitted": 1, "accepted": 2, "ready": 0, "rework": 0, "rejected": 0, "closed": 0}
    assert found.seats.model_dump() == seats
    assert (found.spend.reserved_minor, found.spend.accrued_minor) == (650, 250)
    assert found.workers_active == 2
    assert found.answers_per_hour == 20.0
    assert found.forecast_finish is not None


async def test_progress_is_zero_when_work_has_not_begun(session: AsyncSession) -> None:
    enterprise = await make_enterprise(session)
    request = await make_running(session, enterprise)
    found = await progress(session, enterprise.actor, request.id)
    assert (found.tasks, found.answers, found.answers_per_hour, found.forecast_finish) == (0, 0, 0.0, None)
    assert found.spend.reserved_minor == 0


async def test_progress_is_hidden_from_other_tenants(session: AsyncSession) -> None:
    enterprise, stranger = await make_enterprise(session), await make_enterprise(session)
    request = await make_running(session, enterprise)
    with pytest.raises(RequestNotFound):
        await progress(session, stranger.actor, request.id)


async def test_progress_takes_six_queries_whatever_the_size(session: AsyncSession) -> None:
    enterprise = await make_enterprise(session)
    request = await make_running(session, enterprise)
    for _ in range(3):
        contract = await make_contract(session, request)
        await make_claim(session, request.id, contract.id, ClaimState.ACCEPTED, 5)
    session.expunge_all()
    statements: list[str] = []
    connection = (await session.connection()).sync_connection

    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(connection, "before_cursor_execute", note)
    await progress(session, enterprise.actor, request.id)
    event.remove(connection, "before_cursor_execute", note)
    assert len([statement for statement in statements if "SAVEPOINT" not in statement]) == 6


async def test_fingerprint_changes_only_when_the_view_does(session: AsyncSession) -> None:
    enterprise = await make_enterprise(session)
    request = await make_running(session, enterprise)
    first = await progress(session, enterprise.actor, request.id)
    assert fingerprint(await progress(session, enterprise.actor, request.id)) == fingerprint(first)
    contract = await make_contract(session, request)
    session.add(task(request, contract.id, 3, 0))
    await session.flush()
    assert fingerprint(await progress(session, enterprise.actor, request.id)) != fingerprint(first)


@pytest.mark.parametrize("state", RequestState)
async def test_progress_is_final_when_no_step_leads_on(session: AsyncSession, state: RequestState) -> None:
    enterprise = await make_enterprise(session)
    request = await make_running(session, enterprise)
    request.state = state
    found = await progress(session, enterprise.actor, request.id)
    assert is_final(found) is (state in {RequestState.CLOSED, RequestState.CANCELLED})


async def test_track_record_counts_last_years_bundles_of_those_who_bid(session: AsyncSession) -> None:
    enterprise = await make_enterprise(session)
    bidder, other = await make_approved_vendor(session), await make_approved_vendor(session)
    assert bidder.organisation
    assert other.organisation
    past, request = await make_running(session, enterprise), await make_running(session, enterprise)
    for vendor_id, states in (
        (bidder.organisation.id, [ClaimState.ACCEPTED, ClaimState.ACCEPTED, ClaimState.REJECTED, ClaimState.SUBMITTED]),
        (other.organisation.id, [ClaimState.ACCEPTED]),
        (None, [ClaimState.REJECTED]),
    ):
        contract = await make_contract(session, past, vendor_id, delivery_at=now() - timedelta(minutes=6.5))
        for minutes, state in enumerate(states, start=6):
            await make_claim(session, past.id, contract.id, state, minutes)
    old = await make_contract(session, past, bidder.organisation.id, created_at=now() - timedelta(days=366))
    await make_claim(session, past.id, old.id, ClaimState.REJECTED, 5)
    session.add(Bid(request_id=request.id, vendor_organisation_id=bidder.organisation.id, sealed=b"", commitment=""))
    await session.flush()

    found = await track_records(session, request.id)

    # of the bidder's two accepted bundles one came six minutes ago, after the delivery date
    assert found.of_vendors == {bidder.organisation.id: Record(judged=3, accepted=2, on_time=1)}
    assert found.market == Record(judged=5, accepted=3, on_time=1)


# The live stream. The test's transport gives a response only when it is whole, so the app is called as ASGI does.


class Viewer:
    """A client of the live stream that reads events as they come, and can leave."""

    def __init__(self, app: FastAPI, party: Party, request_id: UUID, last_event_id: str = "") -> None:
        self.left = asyncio.Event()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.status = 0
        headers = {"host": "kapok.test", **bearer(app, party)} | (
            {"last-event-id": last_event_id} if last_event_id else {}
        )
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": f"/v1/requests/{request_id}/progress/live", "raw_path": b"", "query_string": b"",
            "root_path": "", "client": ("127.0.0.1", 1), "server": ("kapok.test", 80),
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        }  # fmt: skip
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if self.left.is_set():  # as uvicorn does, which says spec 2.3 and drops what comes after a disconnect
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            await self.sent.put(message)

    async def events(self) -> AsyncIterator[dict[str, str]]:
        """Yield the fields of each event until the stream ends."""
        rest = ""
        while True:
            message = await asyncio.wait_for(self.sent.get(), 10)
            rest += message.get("body", b"").decode()
            while "\n\n" in rest:
                block, _, rest = rest.partition("\n\n")
                yield dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if not message.get("more_body"):
                return

    async def leave(self) -> None:
        self.left.set()
        await asyncio.wait_for(self.task, 5)


@pytest.fixture(autouse=True)
def _fast_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "POLL_SECONDS", 0.05)


@pytest.fixture
async def running(database: Database) -> tuple[Party, UUID]:
    async with database.sessions() as session:
        enterprise = await make_enterprise(session)
        request = await make_running(session, enterprise)
        await session.commit()
    return enterprise, request.id


async def move(database: Database, request_id: UUID, state: RequestState) -> None:
    async with database.sessions() as session:
        await session.exec(update(DatasetRequest).where(col(DatasetRequest.id) == request_id).values(state=state))
        await session.commit()


async def test_stream_sends_each_change_once_and_ends_when_the_request_does(
    app: FastAPI, database: Database, running: tuple[Party, UUID]
) -> None:
    enterprise, request_id = running
    viewer = Viewer(app, enterprise, request_id)
    events = viewer.events()
    first = await anext(events)
    assert (first["event"], json.loads(first["data"])["state"]) == ("progress", "in_production")
    await asyncio.sleep(0.5)
    await move(database, request_id, RequestState.CLOSED)
    second, end = await anext(events), await anext(events)
    assert (second["event"], json.loads(second["data"])["state"]) == ("progress", "closed")
    assert second["id"] != first["id"]
    assert (end["event"], json.loads(end["data"])) == ("end", {"state": "closed"})
    assert [event async for event in events] == []
    await asyncio.wait_for(viewer.task, 5)


async def test_stream_repeats_nothing_when_a_client_comes_back(
    app: FastAPI, database: Database, running: tuple[Party, UUID]
) -> None:
    enterprise, request_id = running
    viewer = Viewer(app, enterprise, request_id)
    first = await anext(viewer.events())
    await viewer.leave()
    again = Viewer(app, enterprise, request_id, last_event_id=first["id"])
    await asyncio.sleep(0.3)
    await move(database, request_id, RequestState.IN_ACCEPTANCE)
    event_after = await anext(again.events())
    assert json.loads(event_after["data"])["state"] == "in_acceptance"
    await again.leave()


async def test_stream_breaks_off_when_the_access_token_would_expire(
    app: FastAPI, running: tuple[Party, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    enterprise, request_id = running
    viewer = Viewer(app, enterprise, request_id)  # its token lives as long as ever, for a slow machine reads it late
    monkeypatch.setattr(app.state.resources.settings, "access_token_seconds", 1)
    assert [event["event"] async for event in viewer.events()] == ["progress"]
    await asyncio.wait_for(viewer.task, 5)


async def test_stream_stops_and_holds_no_connection_when_the_client_goes(
    app: FastAPI, running: tuple[Party, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    enterprise, request_id = running
    viewers = [Viewer(app, enterprise, request_id) for _ in range(30)]
    for viewer in viewers:
        await anext(viewer.events())
    monkeypatch.setattr(route, "POLL_SECONDS", 60.0)
    pool = app.state.resources.database.engine.pool
    async with asyncio.timeout(20):  # a stream that held its connection would hold it for the 60 s of a poll
        while pool.checkedout():  # noqa: ASYNC110  # a pool tells nobody
            await asyncio.sleep(0.05)
    await asyncio.gather(*(viewer.leave() for viewer in viewers))
    assert all(viewer.task.done() for viewer in viewers)


async def test_stream_reads_no_more_when_a_client_of_a_real_server_goes(
    app: FastAPI, running: tuple[Party, UUID]
) -> None:
    enterprise, request_id = running
    reads: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        reads.append(statement)

    event.listen(app.state.resources.database.engine.sync_engine, "before_cursor_execute", note)
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn tells by this flag alone
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    path = f"http://127.0.0.1:{port}/v1/requests/{request_id}/progress/live"
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("GET", path, headers=bearer(app, enterprise)) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert await anext(lines) == "event: progress"
        await asyncio.sleep(0.3)
        assert len(reads) > 6  # it went on polling
    await asyncio.sleep(0.3)
    seen = len(reads)
    await asyncio.sleep(0.5)
    assert len(reads) == seen
    server.should_exit = True
    await asyncio.wait_for(serving, 5)


async def test_stream_is_not_found_by_another_tenant(
    app: FastAPI, client: httpx.AsyncClient, database: Database, running: tuple[Party, UUID]
) -> None:
    async with database.sessions() as session:
        stranger = await make_enterprise(session)
        await session.commit()
    for path in ("progress", "progress/live"):
        answer = await client.get(f"/v1/requests/{running[1]}/{path}", headers=bearer(app, stranger))
        assert (answer.status_code, answer.json()["code"]) == (404, "request_not_found")
        assert (await client.get(f"/v1/requests/{running[1]}/{path}")).status_code == 401


async def test_progress_is_shown_to_its_enterprise(
    app: FastAPI, client: httpx.AsyncClient, running: tuple[Party, UUID]
) -> None:
    enterprise, request_id = running
    answer = await client.get(f"/v1/requests/{request_id}/progress", headers=bearer(app, enterprise))
    assert (answer.status_code, answer.json()["items"]) == (200, 4)
