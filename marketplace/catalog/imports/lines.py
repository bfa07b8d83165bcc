"""Reading JSONL and CSV."""

import csv
import io
from collections.abc import Iterator
from typing import IO, Any, Final, cast

import msgspec

from marketplace.catalog.errors import UploadUnusable
from marketplace.catalog.imports.rows import MAX_ROW_BYTES, BadRow, Row, row_of_cells, row_of_object
from marketplace.catalog.json_values import text_problem
from marketplace.core.errors import FieldProblem

MAX_COLUMNS: Final = 1_000
_BOM: Final = b"\xef\xbb\xbf"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
# the limit is the csv module's own, one for the process
csv.field_size_limit(MAX_ROW_BYTES)


def unusable(reason: str, line: int | None = None) -> UploadUnusable:
    """Return the error of a file that cannot be read on; nothing of the upload is kept."""
    return UploadUnusable(reason, fields=[FieldProblem("", reason, line)])


def read_jsonl(file: IO[bytes]) -> Iterator[Row | BadRow]:
    """Yield the rows of a file with one JSON object a line; empty lines count as lines and are passed over."""
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
    number = 0
    while line := file.readline(MAX_ROW_BYTES + 1):
        number += 1
        if number == 1:
            line = _first_line(line)
        if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
            _skip_line(file)
            yield BadRow(number, "", f"is longer than {MAX_ROW_BYTES:,} bytes")
        elif line.strip():
            yield _decode(decoder, number, line)


def _first_line(line: bytes) -> bytes:
    if line.startswith(_UTF16):
        raise unusable("The file is UTF-16; save it as UTF-8.", 1)
    return line.removeprefix(_BOM)


def _skip_line(file: IO[bytes]) -> None:
    while rest := file.readline(MAX_ROW_BYTES):
        if rest.endswith(b"\n"):
            return


def _decode(decoder: "msgspec.json.Decoder[Any]", number: int, line: bytes) -> Row | BadRow:
    try:
        return row_of_object(number, decoder.decode(line))
    except UnicodeDecodeError as error:
        return BadRow(number, "", f"is not UTF-8 (byte {error.start + 1} of the line)")
    except RecursionError:
        return BadRow(number, "", "is nested too deeply")
    except msgspec.DecodeError as error:
        return BadRow(number, "", f"is not valid JSON: {error}")


def read_csv(file: IO[bytes]) -> Iterator[Row | BadRow]:
    """Yield the rows of a comma-separated file in UTF-8 (with or without BOM) whose first line names the columns.

    Raises:
        UploadUnusable: there is no usable header, or the quoting is broken so that rows can no longer be told apart.
    """
    # Bytes that are no UTF-8 become lone surrogates, so that the row that holds them can be named.
    text = io.TextIOWrapper(cast(Any, file), encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(_bounded(text), strict=True)
    header = _header(reader)
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if "expected after" not in str(error):
                raise unusable(f"The quoting is broken from line {first} on: {error}.", first) from error
            # the quote was closed, so that the reader goes on with the next line
            yield BadRow(first, "", "has text between a closing quote and the next comma")
            continue
        if cells is None:
            return
        if cells:
            yield _row(first, header, cells)


def _bounded(text: io.TextIOWrapper) -> Iterator[str]:
    """Yield lines, and refuse one without an end before it fills the memory."""
    number = 0
    while line := text.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(line) > MAX_ROW_BYTES and not line.endswith(("\n", "\r")):
            raise unusable(f"Line {number} is longer than {MAX_ROW_BYTES:,} characters.", number)
        yield line


def _header(reader: Any) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise unusable(f"The header cannot be read: {error}.", 1) from error
    if not any(header):
        raise unusable("The first line must name the columns; it is empty.", 1)
    if text_problem("".join(header)):
        raise unusable("The header is not UTF-8; save the file as “CSV UTF-8”.", 1)
    if "" in header:
        raise unusable(f"Column {header.index('') + 1} of the header has no name.", 1)
    twice = sorted({name for name in header if header.count(name) > 1}) if len(header) <= MAX_COLUMNS else []
    if twice:
        raise unusable(f"The header names {twice[0]!r} twice.", 1)
    if len(header) > MAX_COLUMNS:
        raise unusable(f"The header has {len(header):,} columns; {MAX_COLUMNS:,} is the most.", 1)
    return header


def _row(line: int, header: list[str], cells: list[str]) -> Row | BadRow:
    if len(cells) != len(header):
        return BadRow(line, "", f"has {len(cells)} cells, but the header names {len(header)} columns")
    return row_of_cells(line, dict(zip(header, cells, strict=True)))
