"""Results as files: the same rows in every format, streamed; and what an enterprise decides on a delivery."""

import csv
import hashlib
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from obstore.store import LocalStore, MemoryStore, ObjectStore
from pyarrow import parquet
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog import deliveries
from marketplace.catalog.delivery_schemas import ExportDraft
from marketplace.catalog.errors import DeliveryDecided, DeliveryNotFound, NothingToExport
from marketplace.catalog.exports import ROW_GROUP_ROWS, Column, ColumnKind, write_export
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import ExportFormat, RequestState
from marketplace.core.actor import Role
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.errors import TransitionRefused
from marketplace.core.ids import new_id
from marketplace.core.outbox import Outbox
from marketplace.core.paging import PageQuery
from marketplace.core.settings import Settings
from tests.catalog.conftest import Caller, Desk, make_desk
from tests.factories.identity import make_operator

COLUMNS = [
    Column("id"), Column("text"), Column("label", ColumnKind.JSON), Column("confidence", ColumnKind.NUMBER),
    Column("answers", ColumnKind.INTEGER), Column("gold", ColumnKind.BOOLEAN), Column("at", ColumnKind.TIME),
]  # fmt: skip
TEXTS = ["=1+1", '一行\n二行, "引"', "@x", "", "-5"]


async def rows(count: int) -> AsyncIterator[dict[str, Any]]:
    for index in range(count):
        yield {
            "id": new_id(), "text": TEXTS[index % len(TEXTS)], "label": {"choice": "好"}, "confidence": 0.5,
            "answers": index, "gold": index % 2 == 0, "at": now(), "beyond": "no column",
        }  # fmt: skip


async def export(fmt: ExportFormat, count: int) -> bytes:
    store = MemoryStore()
    written = await write_export(store, "exports/a", fmt, rows(count), COLUMNS)
    content = bytes(store.get("exports/a").bytes())
    assert written == (count, len(content), hashlib.sha256(content).hexdigest())
    return content


@pytest.mark.parametrize("count", [0, 7, 12_000])
async def test_jsonl_holds_the_rows_when_exported(count: int) -> None:
    read = [json.loads(line) for line in (await export(ExportFormat.JSONL, count)).splitlines()]
    assert len(read) == count
    assert all(row["text"] == TEXTS[index % len(TEXTS)] for index, row in enumerate(read))
    assert all(list(row) == [column.name for column in COLUMNS] for row in read)


@pytest.mark.parametrize("count", [0, 7, 12_000])
async def test_csv_holds_every_value_as_it_is_when_exported(count: int) -> None:
    content = await export(ExportFormat.CSV, count)
    assert content.startswith(b"\xef\xbb\xbf")
    read = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert [row["text"] for row in read] == [TEXTS[index % len(TEXTS)] for index in range(count)]
    assert all(json.loads(row["label"]) == {"choice": "好"} and row["gold"] in {"true", "false"} for row in read)


@pytest.mark.parametrize("count", [0, 7, ROW_GROUP_ROWS + 1])
async def test_parquet_holds_the_rows_in_groups_when_exported(count: int) -> None:
    table = parquet.ParquetFile(io.BytesIO(await export(ExportFormat.PARQUET, count)))
    assert table.metadata.num_rows == count
    assert table.metadata.num_row_groups == -(-count // ROW_GROUP_ROWS)
    assert table.schema_arrow.names == [column.name for column in COLUMNS]
    assert table.read(columns=["answers"]).column("answers").to_pylist() == list(range(count))


async def test_nothing_is_exported_when_the_rows_break(tmp_path: Any) -> None:
    async def broken() -> AsyncIterator[dict[str, Any]]:
        yield {"id": "a"}
        raise LookupError

    store = LocalStore(tmp_path)
    for fmt in ExportFormat:
        with pytest.raises(LookupError):
            await write_export(store, "a/b", fmt, broken(), COLUMNS)
    assert [entry["path"] for page in store.list() for entry in page] == []


async def _delivered_desk(database: Database) -> Desk:
    desk = await make_desk(database, state=RequestState.IN_ACCEPTANCE)
    async with database.sessions() as session:
        await deliveries.put_delivery(session, desk.request_id, {"accuracy": 0.97})
        await session.commit()
    return desk


async def test_acceptance_settles_the_request_when_given_once(database: Database) -> None:
    desk = await _delivered_desk(database)
    async with database.sessions() as session:
        await deliveries.dispute_delivery(session, desk.party.actor, desk.request_id, "two labels mixed up")
        with pytest.raises(DeliveryDecided):
            await deliveries.dispute_delivery(session, desk.party.actor, desk.request_id, "again")
        await deliveries.put_delivery(session, desk.request_id, {"accuracy": 0.98})
        accepted = await deliveries.accept_delivery(session, desk.party.actor, desk.request_id)
        assert accepted.accepted_at is not None
        with pytest.raises(TransitionRefused):
            await deliveries.accept_delivery(session, desk.party.actor, desk.request_id)
        with pytest.raises(DeliveryDecided):
            await deliveries.put_delivery(session, desk.request_id, {})
        await session.flush()
        [job] = (await session.exec(select(Outbox).where(Outbox.kind == "settlement.close"))).all()
        assert job.payload == {"request_id": str(desk.request_id)}
        request = (await session.exec(select(DatasetRequest).where(DatasetRequest.id == desk.request_id))).one()
        assert request.state is RequestState.DELIVERED


async def test_delivery_is_refused_when_there_is_none_yet(database: Database, desk: Desk) -> None:
    async with database.sessions() as session:
        with pytest.raises(DeliveryNotFound):
            await deliveries.show_delivery(session, desk.party.actor, desk.request_id)
        with pytest.raises(TransitionRefused):
            await deliveries.accept_delivery(session, desk.party.actor, desk.request_id)
        draft = ExportDraft(format=ExportFormat.CSV)
        with pytest.raises(NothingToExport):
            await deliveries.create_export(session, desk.party.actor, desk.request_id, draft)


async def test_export_has_an_address_when_it_is_ready(
    database: Database, settings: Settings, store: ObjectStore
) -> None:
    desk = await _delivered_desk(database)
    async with database.sessions() as session:
        draft = ExportDraft(format=ExportFormat.PARQUET, with_answers=True)
        asked = await deliveries.create_export(session, desk.party.actor, desk.request_id, draft)
        [job] = (await session.exec(select(Outbox).where(Outbox.kind == "quality.export"))).all()
        assert job.payload == {"request_id": str(desk.request_id), "export_id": str(asked.id)}
        found = await deliveries.get_export(session, desk.request_id, asked.id)
        key = deliveries.export_key(found)
        written = await write_export(store, key, found.format, rows(3), COLUMNS)
        await deliveries.export_ready(session, found, key, written)
        with pytest.raises(TransitionRefused):
            await deliveries.export_failed(session, found)
        page = await deliveries.show_exports(session, settings, store, desk.party.actor, desk.request_id, PageQuery())
    [view] = page.items
    assert (view.rows, view.sha256, view.with_answers) == (3, written.sha256, True)
    assert view.url is not None
    assert "signature=" in view.url


async def test_dispute_ends_when_the_arbitrator_dismisses_it(database: Database) -> None:
    desk = await _delivered_desk(database)
    async with database.sessions() as session:
        await _dismiss(session, desk)


async def _dismiss(session: AsyncSession, desk: Desk) -> None:
    operator = (await make_operator(session, Role.ARBITRATOR)).actor
    with pytest.raises(DeliveryDecided):
        await deliveries.dismiss_dispute(session, operator, desk.request_id, "nobody asked")
    await deliveries.dispute_delivery(session, desk.party.actor, desk.request_id, "two labels mixed up")
    delivery = await deliveries.dismiss_dispute(session, operator, desk.request_id, "they are as the guideline says")
    assert (delivery.dismissal_reason, delivery.accepted_at is None) == ("they are as the guideline says", False)
    request = await session.get_one(DatasetRequest, desk.request_id)
    assert request.state is RequestState.DELIVERED
    with pytest.raises(TransitionRefused):
        await deliveries.dismiss_dispute(session, operator, desk.request_id, "once more")


async def test_delivery_is_disputed_with_a_reason_when_over_http(call: Caller, desk: Desk) -> None:
    path = f"/v1/requests/{desk.request_id}/delivery/dispute"
    answer = await call("POST", path, json={"reason": " "}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 422
    answer = await call("POST", path, json={"reason": "bad"}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (409, "transition_refused")
    assert (await call("POST", path, json={"reason": "bad"})).json()["code"] == "idempotency_key_missing"
