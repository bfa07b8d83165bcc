"""The object store on S3: moto's server for what S3 does, rclone's for signatures and expiry, which moto lets pass."""

import asyncio
import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import sysconfig
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import obstore
import pytest
from obstore.exceptions import PermissionDeniedError
from obstore.store import LocalStore, ObjectStore, S3Store
from pyarrow import parquet
from sqlmodel import select

from cli.embedded.process import Command, start_options
from marketplace.catalog import uploads
from marketplace.catalog.exports import MEDIA_TYPES, Column, ColumnKind, write_export
from marketplace.catalog.models import Item, Upload
from marketplace.catalog.states import ExportFormat, UploadFormat, UploadState
from marketplace.catalog.upload_schemas import UploadDraft
from marketplace.core.db import Database
from marketplace.core.settings import Settings
from marketplace.core.storage import (
    PART_BYTES,
    Method,
    ObjectNotFound,
    ObjectsReader,
    object_size,
    open_object,
    open_store,
    put_stream,
    remove_objects,
    signed_url,
)
from tests.catalog.conftest import Desk, Importer, make_desk
from tests.catalog.test_imports import SHAPES
from tests.catalog.test_readers import packed, png
from tests.jobs import run_outbox
from workers.handlers import WorkerResources
from workers.main import load_handlers

KEY_ID, SECRET = "kapok-tests", "a secret of the tests"
START_SECONDS = 60.0
ODD_NAMES = ["图 片+1%20#?&=.png", "a%b", "é", "~a*b'(x)"]


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    """The address that a server says it listens on, at a port that the system chose."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found:
            return found.group()
        time.sleep(0.05)
    raise AssertionError(f"{server.args!r} did not start: {log.read_text()}")


@contextmanager
def _serving(folder: Path, *argv: str) -> Iterator[str]:
    log = folder / "server.log"
    options = start_options(Command(list(argv), folder, {"PATH": os.defpath, "HOME": str(folder)}))
    with log.open("wb") as written, subprocess.Popen(argv, stdout=written, stderr=written, **options) as server:
        try:
            yield _address(server, log)
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of a server, empty and of one test's own."""

    endpoint: str
    name: str

    def settings(self, base: Settings | None = None, **changed: Any) -> Settings:
        fields = {"object_store_url": f"s3://{self.name}/some/prefix/", "s3_endpoint": self.endpoint} | changed
        if base:
            return base.model_copy(update=fields)
        return Settings(_env_file=None, env="test", secret_key="a secret of the tests", **fields)


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with _serving(tmp_path_factory.mktemp("moto"), *argv) as address:
        yield address


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a server, and the folder whose folders are its buckets."""
    home = tmp_path_factory.mktemp("rclone")
    buckets = home / "buckets"
    buckets.mkdir()
    program = Path(sysconfig.get_path("scripts"), "rclone")
    options = ["--addr", "127.0.0.1:0", "--auth-key", f"{KEY_ID},{SECRET}", "--config", "", "--dir-cache-time", "1ms"]
    with _serving(home, str(program), "serve", "s3", *options, str(buckets)) as address:
        yield address, buckets


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture
async def bucket(moto: str, credentials: None, http: httpx.AsyncClient) -> Bucket:
    made = Bucket(moto, f"kapok-{uuid4().hex}")
    assert (await http.put(f"{moto}/{made.name}")).status_code == 200
    return made


@pytest.fixture
def store(bucket: Bucket) -> ObjectStore:
    """What `import_data` writes to; in its own module it is a folder."""
    return open_store(bucket.settings())


@pytest.fixture
def strict(rclone: tuple[str, Path], credentials: None) -> Bucket:
    """A bucket of the server that checks signatures."""
    name = f"kapok-{uuid4().hex}"
    (rclone[1] / name).mkdir()
    return Bucket(rclone[0], name)


async def _chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def content_of(store: ObjectStore, key: str, span: tuple[int, int] | None = None) -> bytes:
    _size, chunks = await open_object(store, key, span)
    return b"".join([chunk async for chunk in chunks])


def keys_of(store: ObjectStore) -> list[str]:
    return sorted(entry["path"] for page in obstore.list(store) for entry in page)


@pytest.mark.parametrize("sizes", [(), (0,), (3, 4), (PART_BYTES, 1), (1_000_000,) * 35])
async def test_object_is_read_as_written_when_streamed_to_s3(
    store: ObjectStore, bucket: Bucket, http: httpx.AsyncClient, sizes: tuple[int, ...]
) -> None:
    content = [bytes([index]) * size for index, size in enumerate(sizes)]
    whole = b"".join(content)
    stored = await put_stream(store, "a/1.txt", _chunks(*content), media_type="text/plain")
    assert (stored.size_bytes, stored.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert await object_size(store, "a/1.txt") == len(whole)
    assert await content_of(store, "a/1.txt") == whole
    answer = await http.head(f"{bucket.endpoint}/{bucket.name}/some/prefix/a/1.txt")
    assert answer.headers["content-type"] == "text/plain"


@pytest.mark.parametrize(("span", "wanted"), [((0, 1), b"0"), ((2, 5), b"234"), ((9, 10), b"9"), ((5, 500), b"56789")])
async def test_span_is_read_when_asked_of_s3(store: ObjectStore, span: tuple[int, int], wanted: bytes) -> None:
    await put_stream(store, "a/digits", _chunks(b"01234", b"56789"))
    assert (await open_object(store, "a/digits", span))[0] == 10
    assert await content_of(store, "a/digits", span) == wanted


async def test_object_is_not_found_when_s3_has_none(store: ObjectStore) -> None:
    await put_stream(store, "a/1", _chunks(b"x"))
    for key in ("a", "a/2", "none"):
        with pytest.raises(ObjectNotFound):
            await open_object(store, key)
        with pytest.raises(ObjectNotFound):
            await object_size(store, key)


async def test_nothing_stays_in_s3_when_the_stream_breaks(
    store: ObjectStore, bucket: Bucket, http: httpx.AsyncClient
) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield bytes(PART_BYTES + 1)
        yield bytes(PART_BYTES + 1)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await put_stream(store, "a/b", breaking())
    assert keys_of(store) == []
    pending = await http.get(f"{bucket.endpoint}/{bucket.name}?uploads")
    assert "ListMultipartUploadsResult" in pending.text
    assert "<UploadId>" not in pending.text


async def test_objects_are_read_as_one_and_removed_when_they_are_parts_in_s3(store: ObjectStore) -> None:
    for key, content in (("a/1", b"abc"), ("a/2", b""), ("a/b/3", b"def"), ("ab/4", b"other")):
        await put_stream(store, key, _chunks(content))
    reader = ObjectsReader(store, ["a/1", "a/2", "a/b/3"])
    assert reader.read(4) == b"abc"
    assert reader.readall() == b"def"
    assert await remove_objects(store, "a") == 3
    assert keys_of(store) == ["ab/4"]
    assert await remove_objects(store, "a") == 0


async def test_upload_becomes_items_when_sent_to_s3_in_pieces(
    database: Database, settings: Settings, store: ObjectStore, desk: Desk
) -> None:
    content = b"".join(b'{"id": "%d", "text": "%s"}\n' % (index, "好".encode()) for index in range(500))
    draft = UploadDraft(filename="rows.jsonl", size_bytes=len(content), format=UploadFormat.JSONL, keep_good_rows=False)
    async with database.sessions() as session:
        upload = await uploads.create_upload(session, desk.party.actor, desk.request_id, draft, 10**10)
        await session.commit()
    for start, end in ((0, 7_777), (7_777, 7_778), (7_778, len(content))):
        parts = await uploads.store_parts(
            store, upload, start, _chunks(content[start : end - 1], content[end - 1 : end])
        )
        async with database.sessions() as session:
            upload = await uploads.advance(session, desk.party.actor, desk.request_id, upload.id, start, parts)
            await session.commit()
    assert (upload.state, len(keys_of(store))) == (UploadState.RECEIVED, 3)
    load_handlers()
    assert "catalog.import" in await run_outbox(WorkerResources(settings, database, store), only="catalog.")
    assert keys_of(store) == []
    async with database.sessions() as session:
        done = (await session.exec(select(Upload).where(Upload.id == upload.id))).one()
        items = (await session.exec(select(Item).where(Item.request_id == desk.request_id))).all()
    assert (done.state, done.rows_good, done.rows_bad) == (UploadState.IMPORTED, 500, 0)
    assert {item.external_id: item.data for item in items} == {str(index): {"text": "好"} for index in range(500)}


async def test_picture_is_served_as_one_when_a_zip_was_imported_to_s3(
    database: Database, bucket: Bucket, store: ObjectStore, import_data: Importer, http: httpx.AsyncClient
) -> None:
    desk = await make_desk(database, definition=SHAPES)
    upload = await import_data(desk, packed({"a.png": png(4, 4)}).getvalue(), format=UploadFormat.ZIP)
    assert (upload.state, upload.rows_good) == (UploadState.IMPORTED, 1)
    async with database.sessions() as session:
        item = (await session.exec(select(Item).where(Item.request_id == desk.request_id))).one()
    answer = await http.get(await signed_url(bucket.settings(), store, "GET", str(item.media_key)))
    assert (answer.content, answer.headers["content-type"]) == (png(4, 4), "image/png")


COLUMNS = [Column("text"), Column("label", ColumnKind.JSON), Column("answers", ColumnKind.INTEGER)]
ROWS = [{"text": f"{index}, 好\n", "label": {"choice": "好"}, "answers": index} for index in range(1_000)]


async def _rows() -> AsyncIterator[dict[str, Any]]:
    for row in ROWS:
        yield row


def _read(fmt: ExportFormat, content: bytes) -> list[dict[str, Any]]:
    if fmt is ExportFormat.JSONL:
        return [json.loads(line) for line in content.splitlines()]
    if fmt is ExportFormat.PARQUET:
        found = parquet.read_table(io.BytesIO(content)).to_pylist()
    else:
        found = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    return [row | {"label": json.loads(row["label"]), "answers": int(row["answers"])} for row in found]


@pytest.mark.parametrize("fmt", list(ExportFormat))
async def test_export_is_read_back_when_written_to_s3(
    bucket: Bucket, store: ObjectStore, http: httpx.AsyncClient, fmt: ExportFormat
) -> None:
    written = await write_export(store, f"exports/r.{fmt}", fmt, _rows(), COLUMNS)
    answer = await http.get(await signed_url(bucket.settings(), store, "GET", f"exports/r.{fmt}"))
    assert answer.headers["content-type"] == MEDIA_TYPES[fmt]
    content = await content_of(store, f"exports/r.{fmt}")
    assert answer.content == content
    assert written == (len(ROWS), len(content), hashlib.sha256(content).hexdigest())
    assert _read(fmt, content) == ROWS


@pytest.mark.parametrize("name", ["1.png", *ODD_NAMES])
async def test_object_is_put_and_fetched_when_s3_signed_the_address(
    strict: Bucket, http: httpx.AsyncClient, name: str
) -> None:
    settings = strict.settings()
    store = open_store(settings)
    put = await http.put(await signed_url(settings, store, "PUT", f"a/{name}"), content=b"0123456789")
    got = await http.get(await signed_url(settings, store, "GET", f"a/{name}"))
    assert (put.status_code, got.status_code, got.content) == (200, 200, b"0123456789")
    assert await content_of(store, f"a/{name}") == b"0123456789"
    assert keys_of(store) == [f"a/{name}"]


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_address_of_s3_is_refused_when_changed(strict: Bucket, http: httpx.AsyncClient, method: Method) -> None:
    settings = strict.settings()
    store = open_store(settings)
    for key in ("a/1", "a/2"):
        await put_stream(store, key, _chunks(b"kept"))
    good = await signed_url(settings, store, method, "a/1")
    changed = [
        good.replace("/a/1?", "/a/2?"),
        good.replace("X-Amz-Expires=900", "X-Amz-Expires=9000"),
        re.sub("X-Amz-Signature=.{8}", f"X-Amz-Signature={'0' * 8}", good),
    ]
    answers = [await http.request(method, address, content=b"forged") for address in changed]
    answers.append(await http.request("PUT" if method == "GET" else "GET", good, content=b"forged"))
    assert [answer.status_code for answer in answers] == [403] * 4
    assert (await http.request(method, good.partition("?")[0], content=b"forged")).status_code in {400, 403}
    assert [await content_of(store, key) for key in ("a/1", "a/2")] == [b"kept", b"kept"]


async def test_address_of_s3_is_refused_when_expired(strict: Bucket, http: httpx.AsyncClient) -> None:
    settings = strict.settings(signed_url_seconds=1)
    store = open_store(settings)
    await put_stream(store, "a/1", _chunks(b"kept"))
    got, put = [await signed_url(settings, store, method, "a/1") for method in ("GET", "PUT")]
    assert "X-Amz-Expires=1&" in got
    await asyncio.sleep(
        2.1
    )  # the clock of the server, which no test can set; the date in an address is cut to whole seconds
    answers = [await http.get(got), await http.put(put, content=b"late")]
    assert all(answer.status_code in {400, 403} and "AccessDenied" in answer.text for answer in answers)
    assert await content_of(store, "a/1") == b"kept"


async def test_address_of_s3_is_refused_when_signed_with_another_secret(
    strict: Bucket, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_stream(open_store(strict.settings()), "a/1", _chunks(b"kept"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    stranger = open_store(strict.settings())
    assert (await http.get(await signed_url(strict.settings(), stranger, "GET", "a/1"))).status_code == 403
    with pytest.raises(PermissionDeniedError):
        await put_stream(stranger, "a/2", _chunks(b"x"))


async def test_all_objects_are_removed_when_s3_lists_them_on_several_pages(
    strict: Bucket, rclone: tuple[str, Path]
) -> None:
    folder = rclone[1] / strict.name / "some/prefix"
    for name in [f"a/{index % 50}/{index}" for index in range(1_050)] + ["ab/1"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    store = open_store(strict.settings())
    assert await remove_objects(store, "a") == 1_050
    assert keys_of(store) == ["ab/1"]


@pytest.mark.parametrize(
    ("changed", "beginning"),
    [
        ({"s3_endpoint": "", "s3_region": "cn-north-1"}, "https://s3.cn-north-1.amazonaws.com/bucket/some/prefix/a?"),
        ({"s3_endpoint": "", "object_store_url": "s3://bucket"}, "https://s3.us-east-1.amazonaws.com/bucket/a?"),
        ({"s3_region": "oss-cn-beijing"}, "https://store.test/bucket/some/prefix/a?"),
    ],
)
async def test_address_names_the_store_when_settings_choose_it(
    credentials: None, changed: dict[str, str], beginning: str
) -> None:
    settings = Bucket("https://store.test", "bucket").settings(**changed)
    url = await signed_url(settings, open_store(settings), "GET", "a")
    assert url.startswith(beginning)
    assert f"%2F{settings.s3_region or 'us-east-1'}%2Fs3%2F" in url


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"object_store_url": "s3://"}, "OBJECT_STORE_URL names no bucket"),
        ({"object_store_url": "https://store.test/bucket"}, "OBJECT_STORE_URL takes a folder or s3://"),
        ({"signed_url_seconds": 7 * 24 * 3600 + 1}, "SIGNED_URL_SECONDS: S3 takes 604,800"),
    ],
)
def test_store_is_not_opened_when_a_setting_is_wrong(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        open_store(Bucket("https://store.test", "bucket").settings(**changed))


def test_week_is_signed_for_when_set_and_a_folder_may_be_signed_for_longer(tmp_path: Path) -> None:
    week = Bucket("https://store.test", "bucket").settings(signed_url_seconds=7 * 24 * 3600)
    assert isinstance(open_store(week), S3Store)
    longer = week.model_copy(update={"object_store_url": str(tmp_path / "o"), "signed_url_seconds": 10**7})
    assert isinstance(open_store(longer), LocalStore)
