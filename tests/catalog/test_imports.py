"""From an upload to items: all rows at once or none, bad ones reported, memory flat however many there are."""

import gc
import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import psutil
import pytest
import structlog
import time_machine
from obstore.store import ObjectStore
from sqlalchemy import func
from sqlmodel import col, select

from marketplace.catalog import service, uploads
from marketplace.catalog.imports.run import REPORT_ROWS, run_import
from marketplace.catalog.models import DatasetRequest, Gold, Item, Upload, UploadPart
from marketplace.catalog.states import RequestState, UploadFormat, UploadState
from marketplace.catalog.upload_schemas import UploadDraft
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.outbox import Outbox
from marketplace.core.storage import object_size, remove_objects
from tests.catalog.conftest import Desk, Importer, make_desk, receive
from tests.catalog.test_readers import packed, png

log = structlog.get_logger()
GOOD = b'{"id": "a", "text": "x"}\n{"id": "g", "text": "y", "gold": "positive", "gold_note": "clear"}\n{"text": "z"}\n'


async def items_of(database: Database, request_id: UUID) -> list[Item]:
    async with database.sessions() as session:
        found = await session.exec(
            select(Item).where(Item.request_id == request_id).order_by(col(Item.position), col(Item.id))
        )
        return list(found.all())


async def counts(database: Database, request_id: UUID) -> tuple[int, int]:
    async with database.sessions() as session:
        request = (await session.exec(select(DatasetRequest).where(DatasetRequest.id == request_id))).one()
        return request.item_count, request.gold_count


async def test_rows_become_items_in_order_when_imported(database: Database, desk: Desk, import_data: Importer) -> None:
    upload = await import_data(desk, GOOD)
    assert (upload.state, upload.rows_good, upload.rows_bad, upload.report) == (UploadState.IMPORTED, 3, 0, [])
    gold, first, second = await items_of(database, desk.request_id)
    assert (gold.external_id, gold.position) == ("g", -1)
    assert (first.external_id, first.position, first.data) == ("a", 0, {"text": "x"})
    assert (second.external_id, second.position) == (str(second.id), 1)
    assert await counts(database, desk.request_id) == (2, 1)
    async with database.sessions() as session:
        truth = (await session.exec(select(Gold))).one()
    assert (truth.item_id, truth.truth, truth.note) == (gold.id, {"choice": "positive"}, "clear")


async def test_second_upload_goes_on_behind_the_first_when_imported(
    database: Database, desk: Desk, import_data: Importer
) -> None:
    await import_data(desk, GOOD)
    upload = await import_data(
        desk, b"id,text,gold\na,again,\nb,new,\nb,twice,\nc,gold,negative\n", format=UploadFormat.CSV
    )
    assert [(row["line"], row["field"]) for row in upload.report] == [(2, "id"), (4, "id")]
    assert (upload.rows_good, upload.rows_bad) == (2, 2)
    positions = [(item.external_id, item.position) for item in await items_of(database, desk.request_id)]
    assert ("b", 2) in positions
    assert await counts(database, desk.request_id) == (3, 2)


BAD = [
    (b'{"id": "a", "text": "y"}\n', 4, "id"),
    (b"{broken\n", 4, ""),
    (b'{"text": "y", "gold": "cat"}\n', 4, "gold.choice"),
    (b'{"text": "y", "gold": {"choice": 3}}\n', 4, "gold.choice"),
]


@pytest.mark.parametrize(("line", "number", "field"), BAD)
@pytest.mark.parametrize("keep", [True, False])
async def test_bad_row_refuses_the_upload_when_it_must_be_whole(
    database: Database, desk: Desk, import_data: Importer, line: bytes, number: int, field: str, keep: bool
) -> None:
    upload = await import_data(desk, GOOD + line, keep_good_rows=keep)
    assert [(row["line"], row["field"]) for row in upload.report] == [(number, field)]
    assert upload.state is (UploadState.IMPORTED if keep else UploadState.REFUSED)
    assert len(await items_of(database, desk.request_id)) == (3 if keep else 0)
    assert await counts(database, desk.request_id) == ((2, 1) if keep else (0, 0))


@pytest.mark.parametrize(
    ("content", "fmt"),
    [
        (b"\n\n", UploadFormat.JSONL),
        (b"id,text\n", UploadFormat.CSV),
        (b'id,text\n1,"open\n', UploadFormat.CSV),
        (b"\xff\xfe", UploadFormat.CSV),
        (b"PK\x03\x04 no archive", UploadFormat.ZIP),
        (packed({"../x.png": png(1, 1)}).getvalue(), UploadFormat.ZIP),
        (packed({"bomb.txt": bytes(20_000_000)}).getvalue(), UploadFormat.ZIP),
        (packed({}).getvalue(), UploadFormat.ZIP),
    ],
)
async def test_upload_is_refused_with_a_reason_when_it_is_unusable(
    database: Database, desk: Desk, import_data: Importer, content: bytes, fmt: UploadFormat
) -> None:
    upload = await import_data(desk, content, format=fmt)
    assert upload.state is UploadState.REFUSED
    assert upload.report[0]["reason"]
    assert await items_of(database, desk.request_id) == []


async def test_report_is_capped_when_most_rows_are_bad(desk: Desk, import_data: Importer) -> None:
    upload = await import_data(desk, b"nonsense\n" * (REPORT_ROWS + 500) + b'{"text": "x"}\n')
    assert (len(upload.report), upload.rows_bad, upload.rows_good) == (REPORT_ROWS, REPORT_ROWS + 500, 1)


async def test_gold_is_refused_when_there_is_no_label_schema(database: Database, import_data: Importer) -> None:
    desk = await make_desk(database, label_schema_version=0)
    upload = await import_data(desk, GOOD)
    assert [(row["line"], row["field"]) for row in upload.report] == [(2, "gold")]


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        ({"kind": "pairwise_preference", "left_field": "text"}, "right"),
        ({"kind": "image_shapes", "shapes": ["box"], "labels": [{"value": "a", "label": {"en": "a"}}]}, ""),
    ],
)
async def test_row_is_reported_when_it_lacks_what_the_label_schema_needs(
    database: Database, import_data: Importer, definition: dict[str, object], field: str
) -> None:
    desk = await make_desk(database, definition=definition)
    upload = await import_data(desk, b'{"text": "x"}\n')
    assert (upload.state, upload.report[0]["field"]) == (UploadState.REFUSED, field)


SHAPES = {"kind": "image_shapes", "shapes": ["box"], "labels": [{"value": "car", "label": {"en": "Car"}}]}


async def test_pictures_are_kept_with_their_size_when_a_zip_is_imported(
    database: Database, store: ObjectStore, import_data: Importer
) -> None:
    desk = await make_desk(database, definition=SHAPES)
    box = '{"type": "box", "label": "car", "x": 0, "y": 0, "width": %d, "height": 2}'
    manifest = f'{{"filename": "a.png", "gold": {{"shapes": [{box % 9}]}}}}\n'
    manifest += f'{{"filename": "b.png", "gold": {{"shapes": [{box % 10}]}}}}\n'
    files = {"manifest.jsonl": manifest.encode(), "a.png": png(9, 2), "b.png": png(9, 2), "c.png": png(4, 4)}
    upload = await import_data(desk, packed(files).getvalue(), format=UploadFormat.ZIP)
    assert [row["field"] for row in upload.report] == ["gold.shapes.0"]
    gold, plain = await items_of(database, desk.request_id)
    assert (gold.position, plain.position, plain.external_id) == (-1, 0, "c.png")
    assert plain.data["width"] == 4
    assert plain.media_key is not None
    assert await object_size(store, plain.media_key) == len(png(4, 4))


async def test_parts_are_given_up_when_the_import_is_done(
    database: Database, store: ObjectStore, desk: Desk, import_data: Importer
) -> None:
    await import_data(desk, b"nonsense", keep_good_rows=False)
    async with database.sessions() as session:
        assert (await session.exec(select(UploadPart))).all() == []
        jobs = (await session.exec(select(Outbox).where(Outbox.kind == "catalog.discard_objects"))).all()
    assert [await remove_objects(store, job.payload["prefix"]) for job in jobs] == [1, 0]


async def test_import_has_its_effect_once_when_the_job_runs_again(
    database: Database, store: ObjectStore, desk: Desk, import_data: Importer
) -> None:
    upload = await import_data(desk, GOOD)
    async with database.sessions() as session:
        await run_import(session, store, desk.request_id, upload.id, 10**10)
        await session.commit()
    assert await counts(database, desk.request_id) == (2, 1)


async def test_data_are_refused_when_the_request_was_cancelled_meanwhile(
    database: Database, store: ObjectStore, desk: Desk
) -> None:
    async with database.sessions() as session:
        upload = await receive(session, store, desk, GOOD)
        await service.cancel(session, desk.party.actor, desk.request_id)
        await session.commit()
    async with database.sessions() as session:
        await run_import(session, store, desk.request_id, upload.id, 10**10)
        await session.commit()
        refused = (await session.exec(select(Upload))).one()
    assert refused.state is UploadState.REFUSED
    assert str(RequestState.CANCELLED) in refused.report[0]["reason"]
    assert await items_of(database, desk.request_id) == []


async def test_upload_is_given_up_when_nobody_goes_on_with_it(
    database: Database, store: ObjectStore, desk: Desk
) -> None:
    async with database.sessions() as session:
        draft = UploadDraft(filename="a", size_bytes=10, format=UploadFormat.JSONL)
        upload = await uploads.create_upload(session, desk.party.actor, desk.request_id, draft, 100)
        parts = await uploads.store_parts(store, upload, 0, _pieces(b"abc"))
        await uploads.advance(session, desk.party.actor, desk.request_id, upload.id, 0, parts)
        assert await uploads.give_up_unfinished(session) == 0
        with time_machine.travel(now() + timedelta(days=uploads.UNFINISHED_DAYS, seconds=1), tick=False):
            assert await uploads.give_up_unfinished(session) == 1
        assert (await session.exec(select(UploadPart))).all() == []
        [job] = (await session.exec(select(Outbox).where(Outbox.kind == "catalog.discard_objects"))).all()
    assert upload.state is UploadState.REFUSED
    assert await remove_objects(store, job.payload["prefix"]) == 1


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _many_rows(count: int) -> AsyncIterator[bytes]:
    text = "这是一条用来量内存的评论，" * 4
    for first in range(0, count, 1_000):
        rows = (f'{{"id": "r{n}", "text": "{text}{n}", "stars": {n % 5}}}\n' for n in range(first, first + 1_000))
        yield "".join(rows).encode()


@pytest.mark.parametrize("count", [1_000_000 if os.environ.get("KAPOK_LARGE") else 200_000])
async def test_memory_stays_flat_when_many_rows_are_imported(
    database: Database, store: ObjectStore, desk: Desk, count: int
) -> None:
    size = 0
    async for chunk in _many_rows(count):
        size += len(chunk)
    async with database.sessions() as session:
        draft = UploadDraft(filename="many.jsonl", size_bytes=size, format=UploadFormat.JSONL)
        upload = await uploads.create_upload(session, desk.party.actor, desk.request_id, draft, 10**10)
        parts = await uploads.store_parts(store, upload, 0, _many_rows(count))
        await uploads.advance(session, desk.party.actor, desk.request_id, upload.id, 0, parts)
        await session.commit()
    gc.collect()
    process = psutil.Process()
    before, started = process.memory_info().rss, time.perf_counter()
    async with database.sessions() as session:
        await run_import(session, store, desk.request_id, upload.id, 10**10)
        await session.commit()
    grown = process.memory_info().rss - before
    seconds = time.perf_counter() - started
    log.info("measured", rows=count, mib=size >> 20, seconds=round(seconds, 1), grown_mib=grown >> 20)
    assert grown < 96 * 2**20
    async with database.sessions() as session:
        statement = select(func.count(), func.max(Item.position)).where(Item.request_id == desk.request_id)
        assert (await session.execute(statement)).one() == (count, count - 1)
