"""Papers: streamed into the object store while they are hashed, counted and typed by their content."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import obstore
from obstore.store import ObjectStore
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit import service as audit
from marketplace.core.actor import Actor
from marketplace.core.db import Database
from marketplace.core.errors import DomainError
from marketplace.core.ids import new_id
from marketplace.core.settings import Settings
from marketplace.core.storage import signed_url
from marketplace.vetting import policy, queries
from marketplace.vetting.errors import FileUnknown, PaperTooLarge, PaperUnknown
from marketplace.vetting.models import Paper, VettingFile
from marketplace.vetting.states import PaperKind


@dataclass(frozen=True, slots=True)
class Received:
    """A paper that lies in the object store and in no table yet."""

    id: UUID
    subject_id: UUID
    object_key: str
    filename: str
    media_type: str
    size_bytes: int
    sha256: str


async def _file_for_papers(session: AsyncSession, actor: Actor, file_id: UUID, *, lock: bool) -> VettingFile:
    file = await queries.visible_file(session, actor, file_id, lock=lock)
    if file.subject_id != policy.subject_of(actor)[1]:
        raise FileUnknown
    policy.check_papers_open(file.state, await queries.count_papers(session, file))
    return file


async def _head(chunks: AsyncIterator[bytes]) -> bytes:
    """Read until there is enough to know the type by."""
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= policy.HEAD_BYTES:
            break
    return head


async def receive(
    database: Database, store: ObjectStore, actor: Actor, file_id: UUID, filename: str, chunks: AsyncIterator[bytes]
) -> Received:
    """Stream a paper into the object store; no transaction is open while that lasts.

    Raises:
        FileUnknown, PapersClosed, TooManyPapers: checked before a byte is read.
        PaperNameInvalid, PaperTypeRefused, PaperTooLarge: nothing is left in the store.
    """
    async with database.sessions() as session:
        file = await _file_for_papers(session, actor, file_id, lock=False)
    return await stream_paper(store, "vetting", file.subject_id, filename, chunks)


async def stream_paper(
    store: ObjectStore, folder: str, subject_id: UUID, filename: str, chunks: AsyncIterator[bytes]
) -> Received:
    """Stream a paper about a subject into a folder of the object store, hashed, counted and typed by its content.

    Raises:
        PaperNameInvalid, PaperTypeRefused, PaperTooLarge: nothing is left in the store.
    """
    shown = policy.plain_filename(filename)
    head = await _head(chunks)
    media_type = policy.media_type_of(head)
    sha256, size = hashlib.sha256(), 0

    async def measured() -> AsyncIterator[bytes]:
        nonlocal size
        chunk: bytes | None = head
        while chunk is not None:
            size += len(chunk)
            if size > policy.MAX_PAPER_BYTES:
                raise PaperTooLarge(f"A paper may have {policy.MAX_PAPER_BYTES:,} bytes.")
            sha256.update(chunk)
            yield chunk
            chunk = await anext(chunks, None)

    paper_id = new_id()
    key = f"{folder}/{subject_id}/{paper_id}"
    await obstore.put_async(store, key, measured())
    return Received(paper_id, subject_id, key, shown, media_type, size, sha256.hexdigest())


async def discard(store: ObjectStore, received: Received) -> None:
    """Take a paper out of the store that did not make it into a file."""
    await obstore.delete_async(store, received.object_key)


async def add_paper(
    session: AsyncSession, store: ObjectStore, actor: Actor, file_id: UUID, kind: PaperKind, received: Received
) -> Paper:
    """Put a received paper into its file; the object is discarded when the file has closed meanwhile.

    Raises:
        FileUnknown, PapersClosed, TooManyPapers.
    """
    try:
        file = await _file_for_papers(session, actor, file_id, lock=True)
    except DomainError:
        await discard(store, received)
        raise
    paper = Paper(
        subject_id=file.subject_id,
        id=received.id,
        file_id=file.id,
        kind=kind,
        filename=received.filename,
        media_type=received.media_type,
        size_bytes=received.size_bytes,
        sha256=received.sha256,
        object_key=received.object_key,
        uploaded_by=actor.id,
    )
    session.add(paper)
    await session.flush()
    audit.record(session, actor, "vetting.paper_added", f"vetting_file:{file.id}", sha256=paper.sha256)
    return paper


async def paper_address(
    session: AsyncSession, settings: Settings, store: ObjectStore, actor: Actor, file_id: UUID, paper_id: UUID
) -> str:
    """Return an address under which a paper can be read for a short while; each view is written down.

    Raises:
        FileUnknown, PaperUnknown.
    """
    file = await queries.visible_file(session, actor, file_id)
    paper = await queries.get_paper(session, file, paper_id)
    if not paper.object_key:
        raise PaperUnknown("It was erased, as the operator's table of retention says.")
    audit.record(session, actor, "vetting.paper_viewed", f"vetting_file:{file.id}", paper=str(paper.id))
    return await signed_url(settings, store, "GET", paper.object_key)
