"""The import job: one upload, one transaction. Its rows appear all at once, or not at all.

Rows go by COPY into a temporary table, are deduplicated there by SQL, and from there become items; so the process
holds one batch of rows, however many there are. Reading and checking run in a thread beside the event loop.
"""

import asyncio
import io
import shutil
import tempfile
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import structlog
from obstore.store import ObjectStore
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.errors import RequestFrozen, RequestNotFound, UploadUnusable
from marketplace.catalog.imports.archives import MediaFolder, open_archive, read_archive
from marketplace.catalog.imports.checking import Checker, Staged
from marketplace.catalog.imports.lines import read_csv, read_jsonl
from marketplace.catalog.imports.rows import BadRow, Row
from marketplace.catalog.imports.staging import Staging
from marketplace.catalog.models import DatasetRequest, Upload, UploadPart
from marketplace.catalog.queries import locked, validator_of
from marketplace.catalog.states import UPLOAD_STEPS, UploadFormat, UploadState
from marketplace.catalog.uploads import check_takes_items, drop_parts
from marketplace.core.outbox import emit
from marketplace.core.states import check_step
from marketplace.core.storage import ObjectsReader

REPORT_ROWS: Final = 1_000
BATCH_ROWS: Final = 5_000
BATCH_CHARS: Final = 8 * 1024 * 1024
READ_BYTES: Final = 1024 * 1024
LOG_EVERY_BATCHES: Final = 20
Rows = Generator[Row | BadRow, None, None]

log = structlog.get_logger()


@dataclass(slots=True)
class Report:
    """What is said of an import: the first bad rows, and how many rows are bad and good in all."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    bad: int = 0
    good: int = 0

    def add(self, bad: BadRow) -> None:
        """Count a bad row, and list it while there is room."""
        self.bad += 1
        if len(self.rows) < REPORT_ROWS:
            self.rows.append({"line": bad.line, "field": bad.field, "reason": bad.reason})

    def refuse(self, reason: str, line: int | None = None) -> None:
        """Say why the upload is refused as a whole."""
        self.rows.insert(0, {"line": line, "field": "", "reason": reason})


@dataclass(frozen=True, slots=True)
class Source:
    """Where an import reads from, and where files that are in it go."""

    store: ObjectStore
    keys: list[str]
    format: UploadFormat
    folder: MediaFolder
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The good ones of so many rows read; none read is the end."""

    staged: list[Staged]
    read: int


async def run_import(
    session: AsyncSession, store: ObjectStore, request_id: UUID, upload_id: UUID, max_bytes: int
) -> None:
    """Import a received upload into its request; does nothing for one that has been imported or refused before."""
    statement = select(Upload).where(Upload.request_id == request_id, Upload.id == upload_id).with_for_update()
    upload = (await session.exec(statement)).one()
    if upload.state is not UploadState.RECEIVED:
        return
    check_step(UPLOAD_STEPS, upload.state, UploadState.IMPORTING)
    upload.state = UploadState.IMPORTING
    keys = await session.exec(
        select(UploadPart.object_key)
        .where(UploadPart.request_id == request_id, UploadPart.upload_id == upload_id)
        .order_by(col(UploadPart.offset_bytes))
    )
    folder = MediaFolder(store, media_folder(request_id, upload_id))
    source = Source(store, list(keys.all()), upload.format, folder, max_bytes)
    report = Report()
    try:
        kept = await _import(session, upload, source, report)
    except UploadUnusable as error:
        report.refuse(error.fields[0].reason, error.fields[0].line)
        kept = False
    except RequestFrozen as error:
        report.refuse(error.detail)
        kept = False
    await _finish(session, upload, report, kept=kept)


def media_folder(request_id: UUID, upload_id: UUID) -> str:
    """Return the prefix of the files that came in an upload."""
    return f"media/{request_id}/{upload_id}"


async def _import(session: AsyncSession, upload: Upload, source: Source, report: Report) -> bool:
    """Read, stage and keep the rows; return whether they were kept.

    Raises:
        UploadUnusable: the file cannot be read as what it was announced as.
        RequestFrozen: the request was cancelled meanwhile.
    """
    staging = Staging(session, upload.request_id)
    await staging.open()
    checker = await _checker(session, upload.request_id)
    await _stage(staging, source, checker, report, keep_good=upload.keep_good_rows)
    request = await locked(session, upload.request_id)
    check_takes_items(request)
    listed = await staging.drop_repeated(REPORT_ROWS)
    for line, external_id in listed:
        report.add(BadRow(line, "id", f"{external_id!r} is there already"))
    report.bad += staging.repeated - len(listed)
    report.good -= staging.repeated
    if report.good == 0 or (report.bad and not upload.keep_good_rows):
        return False
    items, golds = await staging.keep(first_position=request.item_count)
    request.item_count += items
    request.gold_count += golds
    session.add(request)
    return True


async def _checker(session: AsyncSession, request_id: UUID) -> Checker:
    """Return the checker of the newest label schema; none is set while an upload waits for import or is imported."""
    request = await session.get(DatasetRequest, request_id, populate_existing=True)
    if request is None:
        raise RequestNotFound
    version = request.label_schema_version
    return Checker(await validator_of(session, request_id, version) if version else None)


async def _stage(staging: Staging, source: Source, checker: Checker, report: Report, *, keep_good: bool) -> None:
    """Copy the good rows batch by batch; after a bad row of an upload that must be whole, only check the rest."""
    rows = _rows(source)
    batches = 0
    try:
        while (batch := await asyncio.to_thread(_take_batch, rows, checker, report)).read:
            report.good += len(batch.staged)
            if batch.staged and (keep_good or not report.bad):
                await staging.copy(batch.staged)
            batches += 1
            if batches % LOG_EVERY_BATCHES == 0:
                log.info("catalog.importing", good=report.good, bad=report.bad)
    finally:
        await asyncio.to_thread(rows.close)


def _take_batch(rows: Rows, checker: Checker, report: Report) -> Batch:
    staged: list[Staged] = []
    read = chars = 0
    for row in rows:
        read += 1
        checked = row if isinstance(row, BadRow) else checker.check(row)
        if isinstance(checked, BadRow):
            report.add(checked)
        else:
            staged.append(checked)
            chars += len(checked.data)
        if read >= BATCH_ROWS or chars >= BATCH_CHARS:
            break
    return Batch(staged, read)


def _rows(source: Source) -> Rows:
    """Yield the rows of the parts, one after the other; a ZIP is laid out on disk first: it is read from its end."""
    with io.BufferedReader(ObjectsReader(source.store, source.keys), READ_BYTES) as file:
        if source.format is UploadFormat.JSONL:
            yield from read_jsonl(file)
        elif source.format is UploadFormat.CSV:
            yield from read_csv(file)
        else:
            with tempfile.TemporaryFile() as laid_out:
                shutil.copyfileobj(file, laid_out, READ_BYTES)
                yield from read_archive(open_archive(laid_out, source.max_bytes), source.folder)


async def _finish(session: AsyncSession, upload: Upload, report: Report, *, kept: bool) -> None:
    target = UploadState.IMPORTED if kept else UploadState.REFUSED
    check_step(UPLOAD_STEPS, upload.state, target)
    if not report.good and not report.rows:
        report.refuse("The file has no rows.")
    upload.state = target
    upload.rows_good, upload.rows_bad = report.good, report.bad
    upload.report = sorted(report.rows, key=lambda row: row["line"] or 0)
    session.add(upload)
    await drop_parts(session, upload)
    if not kept:
        emit(session, "catalog.discard_objects", {"prefix": media_folder(upload.request_id, upload.id)})
    await session.flush()
    log.info("catalog.imported", upload=str(upload.id), state=str(target), good=report.good, bad=report.bad)
