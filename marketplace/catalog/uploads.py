"""Resumable uploads: announced with a size, sent in pieces from the offset reached, and then imported by a job.

A piece is stored before its rows are written, and outside of any transaction; the offset moves only by a compare and
swap under a row lock, so that two senders of one stretch cannot both win.
"""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import obstore
from obstore.store import ObjectStore
from sqlmodel import col, delete, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.errors import RequestFrozen, UploadNotFound, UploadOffsetWrong, UploadTooLarge
from marketplace.catalog.models import DatasetRequest, Upload, UploadPart
from marketplace.catalog.policy import TAKES_ITEMS
from marketplace.catalog.queries import request_of
from marketplace.catalog.states import UPLOAD_STEPS, UploadState
from marketplace.catalog.upload_schemas import UploadDraft, UploadView
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.errors import FieldProblem, TransitionRefused
from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from marketplace.core.paging import Page, PageQuery, read_page
from marketplace.core.states import check_step

PART_BYTES: Final = 8 * 1024 * 1024
MAX_PARTS: Final = 10_000
UNFINISHED_DAYS: Final = 7
_GIVEN_UP_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A stretch that lies in the object store, and not yet in the database."""

    object_key: str
    size_bytes: int


def upload_folder(request_id: UUID, upload_id: UUID) -> str:
    """Return the prefix of an upload's objects."""
    return f"uploads/{request_id}/{upload_id}"


async def create_upload(
    session: AsyncSession, actor: Actor, request_id: UUID, draft: UploadDraft, max_bytes: int
) -> Upload:
    """Announce an upload.

    Raises:
        RequestFrozen: the request takes no more items; it has been published.
        UploadTooLarge: it is larger than `max_bytes`, the setting of this Kapok.
    """
    request = await request_of(session, actor, request_id)
    check_takes_items(request)
    if draft.size_bytes > max_bytes:
        reason = f"is {draft.size_bytes:,}; this Kapok takes {max_bytes:,} bytes at most. Split the data."
        raise UploadTooLarge(f"size_bytes {reason}", fields=[FieldProblem("size_bytes", reason)])
    upload = Upload(
        request_id=request_id, id=new_id(), organisation_id=request.organisation_id, **draft.model_dump(mode="python")
    )
    session.add(upload)
    await session.flush()
    record(session, actor, "upload.created", f"request:{request_id}", upload=str(upload.id), size=draft.size_bytes)
    return upload


def check_takes_items(request: DatasetRequest) -> None:
    """Refuse data for a request that vendors may already have bid on."""
    if request.state not in TAKES_ITEMS:
        reason = f"It is {request.state!s}; data can be added in draft and while funded."
        raise RequestFrozen(reason, state=str(request.state))


async def upload_of(
    session: AsyncSession, actor: Actor, request_id: UUID, upload_id: UUID, *, lock: bool = False
) -> Upload:
    """Return an upload of the actor's own organisation (any, for the operator), locked if asked.

    Raises:
        UploadNotFound: there is none, or it is another organisation's.
    """
    statement = select(Upload).where(Upload.request_id == request_id, Upload.id == upload_id)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    upload = (await session.exec(statement)).first()
    if upload is None or not (actor.is_operator or upload.organisation_id == actor.organisation_id):
        raise UploadNotFound
    return upload


async def uploads_of(session: AsyncSession, actor: Actor, request_id: UUID, query: PageQuery) -> Page[UploadView]:
    """Return a page of a request's uploads, newest first."""
    await request_of(session, actor, request_id)
    statement = select(Upload).where(Upload.request_id == request_id)
    rows, cursor = await read_page(session, statement, Upload.id, query)
    return Page(items=[upload_view(row) for row in rows], next_cursor=cursor)


def upload_view(upload: Upload) -> UploadView:
    """Return an upload for showing."""
    return UploadView.model_validate(upload.model_dump())


def check_offset(upload: Upload, offset: int, length: int | None) -> None:
    """Refuse a piece that does not begin where the upload stands, or would reach beyond its end.

    Raises:
        TransitionRefused: the upload has been received already.
        UploadOffsetWrong: with the offset to go on from.
        UploadTooLarge: the announced length of the piece is too great.
    """
    if upload.state is not UploadState.RECEIVING:
        raise TransitionRefused(f"The upload is {upload.state!s}; it takes no more data.", state=str(upload.state))
    if offset != upload.offset_bytes:
        reason = f"is {offset}, but the upload stands at {upload.offset_bytes}; go on from there"
        problem = FieldProblem("Upload-Offset", reason)
        raise UploadOffsetWrong(fields=[problem], upload_offset=upload.offset_bytes)
    _check_reach(upload, offset + (length or 0))


def _too_large(upload: Upload) -> UploadTooLarge:
    reason = f"The upload was announced with {upload.size_bytes:,} bytes, and this piece reaches beyond them."
    return UploadTooLarge(reason, upload_offset=upload.offset_bytes)


async def store_parts(
    store: ObjectStore, upload: Upload, offset: int, chunks: AsyncIterable[bytes]
) -> list[StoredPart]:
    """Write a piece as objects of `PART_BYTES`; at most one of them is in memory.

    Raises:
        UploadTooLarge: the piece reaches beyond the announced size; nothing of it is kept.
    """
    parts: list[StoredPart] = []
    reached = offset
    try:
        async for block in _blocks(chunks):
            reached += len(block)
            _check_reach(upload, reached)
            key = f"{upload_folder(upload.request_id, upload.id)}/{new_id()}"
            await obstore.put_async(store, key, block)
            parts.append(StoredPart(key, len(block)))
    except BaseException:
        await discard_parts(store, parts)
        raise
    return parts


def _check_reach(upload: Upload, reached: int) -> None:
    if reached > upload.size_bytes:
        raise _too_large(upload)


async def _blocks(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        while len(waiting) >= PART_BYTES:
            yield bytes(waiting[:PART_BYTES])
            del waiting[:PART_BYTES]
    if waiting:
        yield bytes(waiting)


async def discard_parts(store: ObjectStore, parts: Sequence[StoredPart]) -> None:
    """Remove stored parts that no row points to."""
    for part in parts:
        with suppress(FileNotFoundError):
            await obstore.delete_async(store, part.object_key)


async def advance(
    session: AsyncSession, actor: Actor, request_id: UUID, upload_id: UUID, offset: int, parts: Sequence[StoredPart]
) -> Upload:
    """Count stored parts as received; with the last of them the import begins.

    Raises:
        UploadOffsetWrong: another sender was faster.
        UploadTooLarge: the upload came in too many small pieces.
    """
    request = await request_of(session, actor, request_id, lock=True)
    check_takes_items(request)
    upload = await upload_of(session, actor, request_id, upload_id, lock=True)
    check_offset(upload, offset, None)
    for part in parts:
        row = UploadPart(
            request_id=request_id,
            upload_id=upload_id,
            offset_bytes=upload.offset_bytes,
            size_bytes=part.size_bytes,
            object_key=part.object_key,
        )
        session.add(row)
        upload.offset_bytes += part.size_bytes
    if upload.offset_bytes == upload.size_bytes:
        check_step(UPLOAD_STEPS, upload.state, UploadState.RECEIVED)
        upload.state = UploadState.RECEIVED
        emit(session, "catalog.import", {"request_id": str(request_id), "upload_id": str(upload_id)})
    session.add(upload)
    await session.flush()
    await _check_part_count(session, upload)
    return upload


async def _check_part_count(session: AsyncSession, upload: Upload) -> None:
    counted = select(func.count()).select_from(UploadPart).where(
        UploadPart.request_id == upload.request_id, col(UploadPart.upload_id) == upload.id
    )  # fmt: skip
    if (await session.exec(counted)).one() > MAX_PARTS:
        raise UploadTooLarge(f"The upload came in more than {MAX_PARTS:,} pieces; begin anew with larger ones.")


async def give_up_unfinished(session: AsyncSession) -> int:
    """Refuse uploads that were not finished within `UNFINISHED_DAYS`, and have what arrived of them removed."""
    unfinished = (
        select(Upload)
        .where(Upload.state == UploadState.RECEIVING, Upload.created_at < now() - timedelta(days=UNFINISHED_DAYS))
        .limit(_GIVEN_UP_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    found = (await session.exec(unfinished)).all()
    for upload in found:
        check_step(UPLOAD_STEPS, upload.state, UploadState.REFUSED)
        upload.state = UploadState.REFUSED
        reason = f"The upload was not finished within {UNFINISHED_DAYS} days."
        upload.report = [{"line": None, "field": "", "reason": reason}]
        session.add(upload)
        await drop_parts(session, upload)
    return len(found)


async def drop_parts(session: AsyncSession, upload: Upload) -> None:
    """Forget the parts of an upload that has ended, and have their objects removed."""
    await session.exec(
        delete(UploadPart).where(
            col(UploadPart.request_id) == upload.request_id, col(UploadPart.upload_id) == upload.id
        )
    )
    emit(session, "catalog.discard_objects", {"prefix": upload_folder(upload.request_id, upload.id)})
