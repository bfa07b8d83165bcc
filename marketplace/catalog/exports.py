"""Writing results as files: streamed to the object store, JSONL, CSV or Parquet.

CSV is UTF-8 with a BOM (spreadsheets need it to read Chinese) and RFC 4180 quoting, and holds every value exactly as it
is. That is on purpose: a text that begins with ``=``, ``+``, ``-`` or ``@`` is a formula to a spreadsheet, but putting
an apostrophe before it would change the data of everybody who does not open it in one. Whoever opens an export of
strangers' texts in a spreadsheet should import its columns as text; the API's description says so too.
"""

import asyncio
import csv
import io
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import IO, Any, Final, NamedTuple

import msgspec
import pyarrow as pa
from obstore.store import ObjectStore
from pyarrow import parquet

from marketplace.catalog.states import ExportFormat
from marketplace.core.storage import CHUNK_BYTES, put_stream

ROW_GROUP_ROWS: Final = 20_000
BOM: Final = b"\xef\xbb\xbf"
MEDIA_TYPES: Final = {
    ExportFormat.JSONL: "application/x-ndjson",
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
    ExportFormat.EVIDENCE: "application/x-ndjson",
}


class ColumnKind(StrEnum):
    """What a column holds; `json` is any JSON value, which CSV and Parquet hold as JSON text."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    JSON = "json"


class Column(NamedTuple):
    """A column of an export; a row that lacks it has no value there."""

    name: str
    kind: ColumnKind = ColumnKind.TEXT


class Written(NamedTuple):
    """What was written."""

    rows: int
    size_bytes: int
    sha256: str


_ARROW: Final = {
    ColumnKind.TEXT: pa.string(),
    ColumnKind.INTEGER: pa.int64(),
    ColumnKind.NUMBER: pa.float64(),
    ColumnKind.BOOLEAN: pa.bool_(),
    ColumnKind.TIME: pa.timestamp("us", tz="UTC"),
    ColumnKind.JSON: pa.string(),
}


async def write_export(
    store: ObjectStore,
    key: str,
    fmt: ExportFormat,
    rows: AsyncIterator[dict[str, Any]],
    columns: Sequence[Column],
) -> Written:
    """Write the rows under the key; the object appears whole, and memory holds some rows of it (a group, for Parquet).

    Rows may hold ids (UUID) and times; both become texts where the format has no type for them.
    """
    counted = _Counted(rows)
    if fmt is ExportFormat.PARQUET:
        with tempfile.TemporaryFile() as file:
            await _write_parquet(file, counted, columns)
            stored = await put_stream(store, key, _file_chunks(file), media_type=MEDIA_TYPES[fmt])
    else:
        chunks = _jsonl(counted, columns) if fmt is ExportFormat.JSONL else _csv(counted, columns)
        stored = await put_stream(store, key, chunks, media_type=MEDIA_TYPES[fmt])
    return Written(counted.count, stored.size_bytes, stored.sha256)


async def write_lines(store: ObjectStore, key: str, lines: Iterable[dict[str, Any]]) -> Written:
    """Write the objects under the key as JSON Lines; each has members of its own."""
    count = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal count
        waiting = bytearray()
        for line in lines:
            count += 1
            waiting += msgspec.json.encode(line) + b"\n"
            if len(waiting) >= CHUNK_BYTES:
                yield bytes(waiting)
                waiting.clear()
        yield bytes(waiting)

    stored = await put_stream(store, key, chunks(), media_type=MEDIA_TYPES[ExportFormat.EVIDENCE])
    return Written(count, stored.size_bytes, stored.sha256)


class _Counted:
    """Counts the rows that pass."""

    def __init__(self, rows: AsyncIterator[dict[str, Any]]) -> None:
        self.rows = rows
        self.count = 0

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        async for row in self.rows:
            self.count += 1
            yield row


async def _jsonl(rows: _Counted, columns: Sequence[Column]) -> AsyncIterator[bytes]:
    waiting = bytearray()
    async for row in rows:
        waiting += msgspec.json.encode({column.name: row.get(column.name) for column in columns}) + b"\n"
        if len(waiting) >= CHUNK_BYTES:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


async def _csv(rows: _Counted, columns: Sequence[Column]) -> AsyncIterator[bytes]:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    yield BOM
    writer.writerow(column.name for column in columns)
    async for row in rows:
        writer.writerow(_cell(row.get(column.name), column.kind) for column in columns)
        if buffer.tell() >= CHUNK_BYTES:
            yield _drain(buffer)
    yield _drain(buffer)


def _drain(buffer: io.StringIO) -> bytes:
    content = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return content


def _cell(value: Any, kind: ColumnKind) -> str:
    if value is None:
        return ""
    if kind is ColumnKind.JSON:
        return msgspec.json.encode(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)


async def _write_parquet(file: IO[bytes], rows: _Counted, columns: Sequence[Column]) -> None:
    schema = pa.schema([(column.name, _ARROW[column.kind]) for column in columns])
    writer = parquet.ParquetWriter(file, schema, compression="zstd")
    group: list[dict[str, Any]] = []

    def write() -> None:
        writer.write_table(pa.Table.from_pylist(group, schema=schema))
        group.clear()

    try:
        async for row in rows:
            group.append({column.name: _arrow_value(row.get(column.name), column.kind) for column in columns})
            if len(group) == ROW_GROUP_ROWS:
                await asyncio.to_thread(write)
        if group:
            await asyncio.to_thread(write)
    finally:
        await asyncio.to_thread(writer.close)
    file.flush()
    file.seek(0)


_CONVERTED: Final[dict[ColumnKind, Callable[[Any], Any]]] = {
    ColumnKind.JSON: lambda value: msgspec.json.encode(value).decode(),
    ColumnKind.TEXT: str,
    ColumnKind.NUMBER: float,
}


def _arrow_value(value: Any, kind: ColumnKind) -> Any:
    return value if value is None or kind not in _CONVERTED else _CONVERTED[kind](value)


async def _file_chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
        yield chunk
