"""The object store: a local folder by default, S3 or a compatible store by setting; one API for both (obstore).

Signed addresses: S3 signs its own; for the local folder the app signs with HMAC-SHA256 over method, key and expiry, and
serves them itself (api/routes/objects.py), so that both expire and neither can be forged.

Objects are streams: of one that is read a process holds `CHUNK_BYTES`, of one that is written `PARTS_AT_ONCE` parts of
`PART_BYTES`, whatever its size.

Settings of S3:
    OBJECT_STORE_URL: `s3://bucket/prefix`. The bucket must be there; the prefix may be left out.
    S3_ENDPOINT: the address of a compatible store (`https://…`, or `http://…` in a closed network), to which browsers
        must get too: the addresses that are given out are the store's own. Empty means Amazon's own for the region.
    S3_REGION: what requests are signed for; empty means `us-east-1`.
    SIGNED_URL_SECONDS: how long an address that is given out holds; S3 takes a week at most.
Credentials stand in the environment under Amazon's names: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for those that
end, AWS_SESSION_TOKEN; without them the role of the machine or container is asked for. A store that wants the bucket in
the name of the host has AWS_VIRTUAL_HOSTED_STYLE_REQUEST=true, and then an S3_ENDPOINT that begins with the bucket.
The credentials need GetObject, PutObject, DeleteObject, AbortMultipartUpload and ListBucket. Parts of a write whose
process was killed stay hidden in the bucket: give it a lifecycle rule that ends incomplete multipart uploads.
"""

import hashlib
import hmac
import io
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, cast
from urllib.parse import quote, urlencode, urlsplit

import obstore
from obstore.store import LocalStore, ObjectStore, S3Store

from marketplace.core.clock import now
from marketplace.core.errors import FieldProblem, Forbidden, Invalid, NotFound
from marketplace.core.settings import Settings

Method = Literal["GET", "PUT"]
CHUNK_BYTES: Final = 1024 * 1024
# a write to S3 has 10,000 parts at most (Amazon S3 multipart upload limits), so a stream may bring 156 GiB
PART_BYTES: Final = 16 * 1024 * 1024
PARTS_AT_ONCE: Final = 3
# the most that one object of S3 can be
MAX_OBJECT_BYTES: Final = 5 * 1024**4
_LOCAL_PATH: Final = "/v1/objects/"
_MAX_KEY_CHARS: Final = 1_000
# the longest `X-Amz-Expires` of Signature Version 4
_MAX_SIGNED: Final = timedelta(days=7)
# as many as one request of S3 lists, and as one removes
_LISTED_AT_ONCE: Final = 1_000


class ObjectNotFound(NotFound):
    """There is no such object."""

    code = "object_not_found"


class ObjectKeyInvalid(Invalid):
    """This is not the key of an object."""

    code = "object_key_invalid"


class SignatureRefused(Forbidden):
    """This address has expired, or was changed."""

    code = "signature_refused"


def open_store(settings: Settings) -> ObjectStore:
    """Open the store that the settings name; makes the local folder when it is missing.

    Raises:
        ValueError: the settings name no store that there can be; the sentence says which setting is wrong.
    """
    url = urlsplit(settings.object_store_url)
    if url.scheme == "s3":
        return _open_s3(settings, url.netloc, url.path.strip("/"))
    if "://" in settings.object_store_url:
        raise ValueError(f"OBJECT_STORE_URL takes a folder or s3://bucket/prefix, not {url.scheme}://")
    folder = settings.object_store_url or str(settings.kapok_home / "objects")
    return LocalStore(folder, automatic_cleanup=True, mkdir=True)


def _open_s3(settings: Settings, bucket: str, prefix: str) -> S3Store:
    if not bucket:
        raise ValueError("OBJECT_STORE_URL names no bucket; write s3://bucket/prefix")
    if timedelta(seconds=settings.signed_url_seconds) > _MAX_SIGNED:
        raise ValueError(f"SIGNED_URL_SECONDS: S3 takes {_MAX_SIGNED.total_seconds():,.0f} at most")
    chosen = {"endpoint": settings.s3_endpoint, "region": settings.s3_region}
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=cast(Any, {name: value for name, value in chosen.items() if value}),
        client_options={"allow_http": settings.s3_endpoint.startswith("http://")},
    )


def _signature(secret: str, method: Method, key: str, expires: int) -> str:
    message = f"{method}\n{key}\n{expires}".encode()
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


async def signed_url(settings: Settings, store: ObjectStore, method: Method, key: str) -> str:
    """Return an address under which one object can be read or written until `signed_url_seconds` from now."""
    check_key(key)
    if isinstance(store, S3Store):
        return await obstore.sign_async(store, method, key, timedelta(seconds=settings.signed_url_seconds))
    expires = int(now().timestamp()) + settings.signed_url_seconds
    query = {"expires": expires, "signature": _signature(settings.secret_key.get_secret_value(), method, key, expires)}
    return f"{settings.base_url}{_LOCAL_PATH}{quote(key)}?{urlencode(query)}"


def check_signature(settings: Settings, method: Method, key: str, expires: int, signature: str) -> None:
    """Refuse a local address that has expired or whose signature does not fit, with `SignatureRefused`."""
    wanted = _signature(settings.secret_key.get_secret_value(), method, key, expires)
    if not hmac.compare_digest(wanted.encode(), signature.encode()) or expires < now().timestamp():
        raise SignatureRefused


@dataclass(frozen=True, slots=True)
class Stored:
    """What was written: its size, and its hash for those who fetch it to compare."""

    size_bytes: int
    sha256: str


def check_key(key: str) -> str:
    """Return the key when it is plain; refuse with `ObjectKeyInvalid` what could name anything outside the store."""
    parts = key.split("/")
    plain = key.isprintable() and "\\" not in key and len(key) <= _MAX_KEY_CHARS
    if not plain or any(part in {"", ".", ".."} for part in parts):
        raise ObjectKeyInvalid(fields=[FieldProblem("key", "must be names joined by `/`, without `.` and `..`")])
    return key


def write_options(store: ObjectStore, media_type: str | None) -> dict[str, Any]:
    """Return the options of a put that bound its parts, and keep the media type where the store has a place for it."""
    options: dict[str, Any] = {"chunk_size": PART_BYTES, "max_concurrency": PARTS_AT_ONCE}
    if media_type and isinstance(store, S3Store):
        options["attributes"] = {"Content-Type": media_type}
    return options


async def put_stream(
    store: ObjectStore, key: str, chunks: AsyncIterable[bytes], *, media_type: str | None = None
) -> Stored:
    """Write an object from a stream; it appears whole or, when the stream fails, not at all."""
    digest, size = hashlib.sha256(), 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal size
        async for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            yield chunk

    await obstore.put_async(store, check_key(key), counted(), **write_options(store, media_type))
    return Stored(size, digest.hexdigest())


async def open_object(
    store: ObjectStore, key: str, span: tuple[int, int] | None = None
) -> tuple[int, AsyncIterator[bytes]]:
    """Return an object's whole size and its bytes as a stream, of a span (start, end) only if one is given.

    Raises:
        ObjectNotFound: there is none under this key.
    """
    try:
        found = await obstore.get_async(store, check_key(key), options={"range": span} if span else None)
    except FileNotFoundError as error:
        raise ObjectNotFound from error

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
            yield bytes(chunk)

    return int(found.meta["size"]), chunks()


async def object_size(store: ObjectStore, key: str) -> int:
    """Return an object's size in bytes; raise `ObjectNotFound` without it."""
    try:
        return int((await obstore.head_async(store, check_key(key)))["size"])
    except FileNotFoundError as error:
        raise ObjectNotFound from error


async def remove_objects(store: ObjectStore, prefix: str) -> int:
    """Remove every object whose key begins with a whole path of names; return how many there were."""
    count = 0
    async for page in obstore.list(store, check_key(prefix), chunk_size=_LISTED_AT_ONCE):
        await _remove(store, [entry["path"] for entry in page])
        count += len(page)
    return count


async def _remove(store: ObjectStore, keys: list[str]) -> None:
    """Remove objects, in one request where S3 allows it; one that is gone already stops the others nowhere."""
    if isinstance(store, S3Store):
        await obstore.delete_async(store, keys)
        return
    for key in keys:
        with suppress(FileNotFoundError):
            await obstore.delete_async(store, key)


class ObjectsReader(io.RawIOBase):
    """Several objects read one after the other as one blocking file, for parsers that run in a thread."""

    def __init__(self, store: ObjectStore, keys: Sequence[str]) -> None:
        super().__init__()
        self._chunks = self._read(store, keys)
        self._rest = memoryview(b"")

    @staticmethod
    def _read(store: ObjectStore, keys: Sequence[str]) -> Iterator[bytes]:
        for key in keys:
            for chunk in obstore.get(store, key).stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what comes next; 0 is the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
