"""Signed addresses of the local object store: they expire, cannot be forged, and let nothing of a stranger's run."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import obstore
import pytest
import time_machine
from obstore.store import LocalStore, ObjectStore

from marketplace.core.clock import now
from marketplace.core.settings import Settings
from marketplace.core.storage import (
    ObjectKeyInvalid,
    ObjectNotFound,
    ObjectsReader,
    check_key,
    object_size,
    open_object,
    put_stream,
    remove_objects,
    signed_url,
)


async def signed(settings: Settings, store: ObjectStore, key: str, method: str = "GET") -> str:
    url = urlsplit(await signed_url(settings, store, method, key))  # type: ignore[arg-type]
    return f"{url.path}?{url.query}"


@pytest.fixture
async def picture(store: ObjectStore) -> str:
    await obstore.put_async(store, "media/r/u/1.png", b"0123456789")
    return "media/r/u/1.png"


async def test_object_is_served_when_the_address_is_signed(
    client: httpx.AsyncClient, settings: Settings, store: ObjectStore, picture: str
) -> None:
    answer = await client.get(await signed(settings, store, picture))
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith("inline")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("wanted", "status", "content"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=5-500", 206, b"56789"),
        ("bytes=0-1,3-4", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
        ("bytes=-", 200, b"0123456789"),
    ],
)
async def test_range_is_served_when_asked(
    client: httpx.AsyncClient, settings: Settings, store: ObjectStore, picture: str, wanted: str, status: int,
    content: bytes,
) -> None:  # fmt: skip
    answer = await client.get(await signed(settings, store, picture), headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (status, content)


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=5-2", "bytes=-0"])
async def test_range_is_refused_when_the_object_has_none_such(
    client: httpx.AsyncClient, settings: Settings, store: ObjectStore, picture: str, wanted: str
) -> None:
    answer = await client.get(await signed(settings, store, picture), headers={"Range": wanted})
    assert (answer.status_code, answer.json()["code"]) == (400, "range_invalid")


@pytest.mark.parametrize("name", ["page.html", "picture.svg", "script.js", "book.pdf", "x", "export.csv"])
async def test_object_is_not_shown_in_place_when_it_could_run(
    client: httpx.AsyncClient, settings: Settings, store: ObjectStore, name: str
) -> None:
    await obstore.put_async(store, f"a/{name}", b"<script>")
    answer = await client.get(await signed(settings, store, f"a/{name}"))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_address_is_refused_when_changed_or_expired(
    client: httpx.AsyncClient, settings: Settings, store: ObjectStore, picture: str
) -> None:
    good = await signed(settings, store, picture)
    signature = parse_qs(urlsplit(good).query)["signature"][0]
    later = good.replace("expires=", "expires=9")
    for forged in (
        good.replace("1.png", "2.png"),
        later,
        good.replace(signature, "0" * 64),
        good.replace("media/r", "media/%2e%2e/media/r"),
    ):
        answer = await client.get(forged)
        assert answer.status_code in {400, 403, 422}
    assert (await client.put(good, content=b"x")).status_code == 403
    assert (await client.get(f"/v1/objects/{picture}")).status_code == 422
    with time_machine.travel(now() + timedelta(seconds=settings.signed_url_seconds + 1), tick=False):
        assert (await client.get(good)).json()["code"] == "signature_refused"


async def test_object_is_stored_when_the_address_is_signed_for_it(
    client: httpx.AsyncClient, settings: Settings, store: ObjectStore
) -> None:
    address = await signed(settings, store, "papers/a.pdf", "PUT")
    answer = await client.put(address, content=b"x" * (settings.max_body_bytes + 1))
    assert answer.status_code == 201
    assert answer.json()["size_bytes"] == await object_size(store, "papers/a.pdf") == settings.max_body_bytes + 1


async def test_missing_object_is_not_found_when_signed(
    client: httpx.AsyncClient, settings: Settings, store: ObjectStore, picture: str
) -> None:
    for key in ("media/none", picture.replace("1", "2"), "media"):
        assert (await client.get(await signed(settings, store, key))).status_code == 404


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a\\..\\b", "a\x00b", "x" * 1001]
)
def test_key_is_refused_when_it_could_leave_the_store(key: str) -> None:
    with pytest.raises(ObjectKeyInvalid):
        check_key(key)


@pytest.mark.parametrize("key", ["../x", "%2e%2e/x", "a/../../x", "//etc/passwd"])
async def test_traversal_is_refused_when_asked_over_http(client: httpx.AsyncClient, key: str) -> None:
    answer = await client.get(f"/v1/objects/{quote(key, safe='/%')}?expires=99999999999&signature={'0' * 64}")
    assert answer.status_code in {400, 403, 404}


async def _failing() -> AsyncIterator[bytes]:
    yield b"x" * 6_000_000
    raise ConnectionError


async def test_nothing_is_stored_when_the_stream_breaks(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with pytest.raises(ConnectionError):
        await put_stream(store, "a/b", _failing())
    with pytest.raises(ObjectNotFound):
        await open_object(store, "a/b")
    assert [entry["path"] for page in obstore.list(store) for entry in page] == []


async def test_objects_are_read_as_one_and_removed_when_they_are_parts(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for name, content in (("a/1", b"abc"), ("a/2", b""), ("a/3", b"def"), ("ab/4", b"other")):
        await obstore.put_async(store, name, content)
    reader = ObjectsReader(store, ["a/1", "a/2", "a/3"])
    assert reader.read(4) == b"abc"
    assert reader.readall() == b"def"
    assert await remove_objects(store, "a") == 3
    assert await object_size(store, "ab/4") == 5
