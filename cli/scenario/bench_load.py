"""The two loads of the bench: claim and submit over HTTP, and the same statements on the bare database."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import msgspec

from cli.scenario.bench_request import CHOICES, BenchRequest
from cli.scenario.lean_http import Connection
from marketplace.core.clock import now
from marketplace.core.db import plain_url
from marketplace.core.ids import new_id
from marketplace.core.settings import Settings
from marketplace.tasks.claims import CLAIM
from marketplace.tasks.policy import MAX_HELD, seat_order
from marketplace.tasks.submissions import SHEET, SUBMIT
from marketplace.tasks.work_sheet import ITEMS

LEASE: Final = timedelta(minutes=30)
SECONDS_A_TASK: Final = 2.0
CREATED: Final = 201
OK: Final = 200
NOTHING_OPEN: Final = 409


class ClaimedTask(msgspec.Struct):
    """Of a claimed task, what the answer needs."""

    task_id: UUID


class Claimed(msgspec.Struct):
    """Of a claim, what the submission needs."""

    claim_id: UUID
    tasks: list[ClaimedTask]


@dataclass
class Timings:
    """What a load did: seconds of each claim and submit, and the answers whose submission was acknowledged."""

    claims: list[float] = field(default_factory=list)
    submits: list[float] = field(default_factory=list)
    acknowledged: dict[UUID, list[UUID]] = field(default_factory=dict)
    seconds: float = 0.0

    def __add__(self, more: "Timings") -> "Timings":
        acknowledged = {**self.acknowledged, **more.acknowledged}
        return Timings(
            self.claims + more.claims, self.submits + more.submits, acknowledged, self.seconds + more.seconds
        )

    @property
    def tasks_per_second(self) -> float:
        """Tasks labeled per second."""
        return sum(map(len, self.acknowledged.values())) / self.seconds if self.seconds else 0.0


Round = Callable[[Timings], Awaitable[bool]]


async def drive(rounds: list[Round], seconds: float) -> Timings:
    """Let each worker do claim and submit again and again, until the time is over or nothing is open."""
    timings = Timings()
    began = time.perf_counter()
    deadline = began + seconds

    async def one(again: Round) -> None:
        while time.perf_counter() < deadline and await again(timings):
            pass

    await asyncio.gather(*(one(each) for each in rounds))
    timings.seconds = time.perf_counter() - began
    return timings


@asynccontextmanager
async def over_http(base_url: str, tokens: list[str], request: BenchRequest) -> AsyncIterator[list[Round]]:
    """Yield rounds that claim and submit over HTTP, one kept connection a worker."""
    connections = [await Connection.open(base_url, token) for token in tokens]
    try:
        yield [_http_round(connection, request) for connection in connections]
    finally:
        for connection in connections:
            await connection.close()


def _http_round(connection: Connection, request: BenchRequest) -> Round:
    claims = f"/v1/requests/{request.id}/contracts/{request.contract_id}/claims".encode()
    decoder = msgspec.json.Decoder(Claimed)
    answers = [{"choice": choice} for choice in CHOICES]

    async def again(timings: Timings) -> bool:
        began = time.perf_counter()
        status, body = await connection.call(b"POST", claims, b'{"key":"%s"}' % str(uuid4()).encode())
        claimed_at = time.perf_counter()
        if status == NOTHING_OPEN:
            return False
        _expect(status, CREATED, body)
        timings.claims.append(claimed_at - began)
        claimed = decoder.decode(body)
        given = [
            {"task_id": task.task_id, "value": answers[number % 2], "seconds": SECONDS_A_TASK}
            for number, task in enumerate(claimed.tasks)
        ]
        sheet = msgspec.json.encode({"submission_id": uuid4(), "answers": given})
        path = f"/v1/requests/{request.id}/claims/{claimed.claim_id}/submission".encode()
        began = time.perf_counter()
        status, body = await connection.call(b"PUT", path, sheet)
        timings.submits.append(time.perf_counter() - began)
        _expect(status, OK, body)
        timings.acknowledged[claimed.claim_id] = [task.task_id for task in claimed.tasks]
        return True

    return again


def _expect(status: int, wanted: int, body: bytes) -> None:
    if status != wanted:
        raise RuntimeError(f"the API answered {status}: {body[:500].decode(errors='replace')}")


@asynccontextmanager
async def on_sql(settings: Settings, worker_ids: list[UUID], request: BenchRequest) -> AsyncIterator[list[Round]]:
    """Yield rounds of the same statements without the API: one connection a worker, each statement a transaction."""
    options = {"server_settings": {"role": settings.database_role}} if settings.database_role else {}
    connections = [await asyncpg.connect(plain_url(settings.database_url), **options) for _ in worker_ids]
    try:
        for connection in connections:
            await _json(connection)
        pairs = zip(connections, worker_ids, strict=True)
        yield [_sql_round(connection, worker_id, request) for connection, worker_id in pairs]
    finally:
        for connection in connections:
            await connection.close()


async def _json(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="text", decoder=msgspec.json.decode,
        encoder=lambda value: msgspec.json.encode(value).decode(),
    )  # fmt: skip


def _sql_round(connection: Any, worker_id: UUID, request: BenchRequest) -> Round:
    values = [msgspec.json.encode({"choice": choice}).decode() for choice in CHOICES]

    async def again(timings: Timings) -> bool:
        began = time.perf_counter()
        row = await claim_row(connection, worker_id, request)
        if row["id"] is None:
            return False
        order = seat_order(0, row["id"], row["task_ids"], [])
        await connection.fetch(ITEMS, request.id, order)
        claimed_at = time.perf_counter()
        await connection.fetchrow(SHEET, request.id, row["id"], worker_id)
        count = len(order)
        revision = await connection.fetchval(
            SUBMIT, request.id, row["id"], worker_id, uuid4(), now(), SECONDS_A_TASK * count, order,
            [values[number % 2] for number in range(count)], [SECONDS_A_TASK] * count, [False] * count, new_id(), {},
        )  # fmt: skip
        timings.claims.append(claimed_at - began)
        timings.submits.append(time.perf_counter() - claimed_at)
        if revision is not None:
            timings.acknowledged[row["id"]] = order
        return True

    return again


async def claim_row(connection: Any, worker_id: UUID, request: BenchRequest) -> Any:
    """Run the claim statement and return its row."""
    moment = now()
    return await connection.fetchrow(
        CLAIM, request.id, worker_id, request.contract_id, str(uuid4()), MAX_HELD, new_id(), 0, moment + LEASE, moment
    )
