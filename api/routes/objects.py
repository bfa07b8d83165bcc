"""Signed, expiring addresses of the local object store; with S3 its own addresses are given out instead."""

import mimetypes
import re
from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import Annotated, Final

from fastapi import APIRouter, Header, Path, Query, Request, status
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from api.auth import Public
from api.session import Resources, Shared
from marketplace.core.errors import FieldProblem, Invalid, TooLarge
from marketplace.core.storage import (
    MAX_OBJECT_BYTES,
    Method,
    check_key,
    check_signature,
    object_size,
    open_object,
    put_stream,
)

router = APIRouter(prefix="/v1/objects", tags=["Data"])

_SHOWN: Final = re.compile(r"image/(png|jpeg|gif|webp|bmp)|audio/.*|video/.*|text/plain")
_RANGE: Final = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?")
Key = Annotated[str, Path(max_length=1_000)]
Expires = Annotated[int, Query(ge=0, le=2**40, description="Unix seconds")]
Signature = Annotated[str, Query(min_length=64, max_length=64)]


class RangeInvalid(Invalid):
    """The object has no such range of bytes."""

    code = "range_invalid"


class ObjectTooLarge(TooLarge):
    """The object is larger than this Kapok takes."""

    code = "object_too_large"


class ObjectBroken(Invalid):
    """The connection broke before the object was whole; nothing of it was kept."""

    code = "object_broken"


class ObjectStored(BaseModel):
    """What was stored."""

    size_bytes: int
    sha256: str


def _checked(shared: Resources, method: Method, key: str, expires: int, signature: str) -> str:
    check_signature(shared.settings, method, check_key(key), expires, signature)
    return key


@router.get("/{key:path}", summary="Fetch an object", response_class=StreamingResponse)
async def get_object(
    _: Public,
    shared: Shared,
    key: Key,
    expires: Expires,
    signature: Signature,
    byte_range: Annotated[str | None, Header(alias="Range", max_length=100)] = None,
) -> StreamingResponse:
    """Stream an object to whoever holds an address that was signed for it; a `Range` of bytes is answered with 206."""
    _checked(shared, "GET", key, expires, signature)
    size = await object_size(shared.store, key)
    span = _span(byte_range, size)
    _size, chunks = await open_object(shared.store, key, span)
    headers = _headers(key) | {"Accept-Ranges": "bytes", "Content-Length": str(size)}
    if span is None:
        return StreamingResponse(chunks, headers=headers, media_type=headers["Content-Type"])
    start, end = span
    headers |= {"Content-Length": str(end - start), "Content-Range": f"bytes {start}-{end - 1}/{size}"}
    return StreamingResponse(chunks, status.HTTP_206_PARTIAL_CONTENT, headers, headers["Content-Type"])


@router.put(
    "/{key:path}", status_code=status.HTTP_201_CREATED, summary="Store an object", max_body_size=MAX_OBJECT_BYTES
)
async def put_object(
    _: Public, shared: Shared, request: Request, key: Key, expires: Expires, signature: Signature
) -> ObjectStored:
    """Store the body under an address that was signed for that; it appears whole, or not at all."""
    _checked(shared, "PUT", key, expires, signature)
    stored = await put_stream(shared.store, key, _bounded(request, shared.settings.max_upload_bytes))
    return ObjectStored(size_bytes=stored.size_bytes, sha256=stored.sha256)


async def _bounded(request: Request, most: int) -> AsyncIterator[bytes]:
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise ObjectTooLarge(f"{most:,} bytes is the most.")
            yield chunk
    except ClientDisconnect as error:
        raise ObjectBroken from error


def _span(byte_range: str | None, size: int) -> tuple[int, int] | None:
    """Read a `Range` header of one range (RFC 9110 §14.2) as (start, end); other forms are ignored, as it allows."""
    found = _RANGE.fullmatch(byte_range or "")
    if found is None or found.group(0) == "bytes=-":
        return None
    first, last = found.groups()
    if first is None:
        span = max(0, size - int(last)), size
    else:
        span = int(first), min(size, int(last) + 1 if last else size)
    if span[0] >= span[1]:
        raise RangeInvalid(fields=[FieldProblem("Range", f"the object has {size:,} bytes")])
    return span


def _headers(key: str) -> dict[str, str]:
    """Headers under which nothing of a stranger's file can run: only what is known to be harmless is shown in place."""
    name = PurePosixPath(key).name
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    shown = _SHOWN.fullmatch(media_type) is not None
    safe_name = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return {
        "Content-Type": media_type if shown else "application/octet-stream",
        "Content-Disposition": f'{"inline" if shown else "attachment"}; filename="{safe_name}"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, max-age=300",
    }
