"""Reading ZIP archives of files, and refusing those made to harm.

Refused as a whole: encrypted entries, links, names that leave the folder, archives in the archive, and bombs (more than
`MAX_RATIO` times the packed size in one entry or in all, which overlapping entries reach too; or more than is allowed).
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import IO, Final

import obstore
from obstore.store import ObjectStore

from marketplace.catalog.imports.lines import read_csv, read_jsonl, unusable
from marketplace.catalog.imports.media import HEAD_BYTES, MediaType, image_size, is_archive, sniff
from marketplace.catalog.imports.rows import MAX_ID_CHARS, MAX_ROW_BYTES, BadRow, Row
from marketplace.catalog.json_values import text_problem
from marketplace.core.storage import CHUNK_BYTES, write_options

MAX_ENTRIES: Final = 200_000
MAX_DIRECTORY_BYTES: Final = 64 * 1024 * 1024
MAX_RATIO: Final = 100
# a small file of one repeated byte packs far better than 1:100 and harms nobody
RATIO_FREE_BYTES: Final = 1024 * 1024
MANIFESTS: Final = ("manifest.jsonl", "manifest.csv")
TEXT_ENDINGS: Final = (".txt", ".md")
_END_RECORD: Final = struct.Struct("<4s4H2LH")
_END64_RECORD: Final = struct.Struct("<4sQ2H2L4Q")
_END64_LOCATOR_BYTES: Final = 20
_COMMENT_BYTES: Final = 65_535


@dataclass(frozen=True, slots=True)
class MediaFolder:
    """Where an archive's files go: keys are `prefix/<number of the entry>.<ending>`, the same at a second try."""

    store: ObjectStore
    prefix: str


@dataclass(slots=True)
class Archive:
    """An opened archive that passed the checks; `manifest` has the rows that name its files."""

    opened: zipfile.ZipFile
    entries: list[zipfile.ZipInfo]
    manifest: dict[str, Row] = field(default_factory=dict)
    bad: list[BadRow] = field(default_factory=list)


def open_archive(file: IO[bytes], max_bytes: int) -> Archive:
    """Open an archive and check all that its directory tells, before anything is unpacked.

    Raises:
        UploadUnusable: it is no ZIP, or one of those that are refused as a whole.
    """
    _check_directory(file)
    try:
        opened = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError) as error:
        raise unusable(f"The file is not a ZIP archive that can be read: {error}.") from error
    entries = [entry for entry in opened.infolist() if not entry.is_dir() and not _is_clutter(entry.filename)]
    if len(entries) > MAX_ENTRIES:
        raise unusable(f"The archive has {len(entries):,} files; {MAX_ENTRIES:,} is the most. Split it.")
    for entry in opened.infolist():
        _check_entry(entry)
    _check_sizes(file, entries, max_bytes)
    archive = Archive(opened, [entry for entry in entries if entry.filename not in MANIFESTS])
    _read_manifest(archive)
    return archive


def _check_directory(file: IO[bytes]) -> None:
    """Refuse a directory that would not fit into memory, which zipfile would read at once (APPNOTE 4.3.14–4.3.16)."""
    size = file.seek(0, io.SEEK_END)
    tail_at = max(0, size - _COMMENT_BYTES - _END_RECORD.size - _END64_LOCATOR_BYTES - _END64_RECORD.size)
    file.seek(tail_at)
    tail = file.read()
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or found + _END_RECORD.size > len(tail):
        raise unusable("The file is not a ZIP archive, or its end is missing.")
    directory_bytes = _END_RECORD.unpack_from(tail, found)[5]
    end64 = found - _END64_LOCATOR_BYTES - _END64_RECORD.size
    if end64 >= 0 and tail.startswith(b"PK\x06\x06", end64):
        directory_bytes = _END64_RECORD.unpack_from(tail, end64)[8]
    if directory_bytes > MAX_DIRECTORY_BYTES:
        raise unusable("The archive's directory is too large. Split it.")
    file.seek(0)


def _is_clutter(name: str) -> bool:
    path = PurePosixPath(name)
    return path.parts[:1] == ("__MACOSX",) or path.name in {".DS_Store", "Thumbs.db"}


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or (len(name) > 1 and name[1] == ":"):
        raise unusable(f"The archive names a file outside of its folder: {name[:200]!r}.")
    if entry.flag_bits & 0x1:
        raise unusable(f"{name[:200]!r} is encrypted; pack the files without a password.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise unusable(f"{name[:200]!r} is a link; pack the file that it points to.")


def _check_sizes(file: IO[bytes], entries: list[zipfile.ZipInfo], max_bytes: int) -> None:
    packed = file.seek(0, io.SEEK_END)
    file.seek(0)
    total = sum(entry.file_size for entry in entries)
    if total > max_bytes:
        raise unusable(f"Unpacked the files are {total:,} bytes; {max_bytes:,} is the most.")
    bombs = any(_swells(entry.file_size, entry.compress_size) for entry in entries)
    if bombs or _swells(total, packed):
        raise unusable(f"The files unpack to more than {MAX_RATIO} times their packed size, as a ZIP bomb does.")


def _swells(unpacked: int, packed: int) -> bool:
    return unpacked > RATIO_FREE_BYTES and unpacked > MAX_RATIO * max(packed, 1)


def _read_manifest(archive: Archive) -> None:
    """Read what `manifest.jsonl` or `manifest.csv` says of the files by their `filename`."""
    names = {entry.filename for entry in archive.entries}
    for manifest in MANIFESTS:
        if manifest not in archive.opened.NameToInfo:
            continue
        if archive.opened.getinfo(manifest).file_size > MAX_DIRECTORY_BYTES:
            raise unusable(f"{manifest} is too large.")
        reader = read_jsonl if manifest.endswith(".jsonl") else read_csv
        with archive.opened.open(manifest) as file:
            for row in reader(file):
                _take_manifest_row(archive, manifest, names, row)


def _take_manifest_row(archive: Archive, manifest: str, names: set[str], row: Row | BadRow) -> None:
    if isinstance(row, BadRow):
        archive.bad.append(replace(row, field=f"{manifest} {row.field}".strip()))
        return
    name = row.data.pop("filename", None)
    if name not in names:
        reason = f"names no file of the archive: {name!r}" if name else "is missing: it says which file is meant"
        archive.bad.append(BadRow(row.line, f"{manifest} filename", reason))
    elif name in archive.manifest:
        archive.bad.append(BadRow(row.line, f"{manifest} filename", f"names {name!r} a second time"))
    else:
        archive.manifest[name] = row


def read_archive(archive: Archive, folder: MediaFolder) -> Iterator[Row | BadRow]:
    """Yield a row for each file; pictures, sounds and films go to the object store, texts into the row's data."""
    yield from archive.bad
    for number, entry in enumerate(archive.entries, start=1):
        yield _read_entry(archive, folder, number, entry)


def _read_entry(archive: Archive, folder: MediaFolder, number: int, entry: zipfile.ZipInfo) -> Row | BadRow:
    problem = text_problem(entry.filename)
    if problem or len(entry.filename) > MAX_ID_CHARS or not entry.filename.isprintable():
        return BadRow(number, entry.filename[:MAX_ID_CHARS], problem or "has a name that is too long or not printable")
    try:
        with archive.opened.open(entry) as file:
            head = file.read(HEAD_BYTES)
            if is_archive(head):
                raise unusable(f"{entry.filename!r} is an archive itself; unpack it first.")
            if entry.filename.lower().endswith(TEXT_ENDINGS):
                return _text_row(archive, number, entry, head + file.read(MAX_ROW_BYTES + 1 - len(head)))
            media = sniff(head)
            if media is None:
                return BadRow(number, entry.filename, "is no picture, sound, film, PDF or text that Kapok knows")
            return _media_row(archive, folder, number, entry, media, head, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        return BadRow(number, entry.filename, f"cannot be unpacked: {error}")


def _base_row(archive: Archive, number: int, name: str) -> Row:
    told = archive.manifest.get(name)
    if told is None:
        return Row(number, name, {"filename": name})
    return replace(told, line=number, external_id=told.external_id or name, data={**told.data, "filename": name})


def _text_row(archive: Archive, number: int, entry: zipfile.ZipInfo, content: bytes) -> Row | BadRow:
    if len(content) > MAX_ROW_BYTES:
        return BadRow(number, entry.filename, f"is a text longer than {MAX_ROW_BYTES:,} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return BadRow(number, entry.filename, f"is not UTF-8 (byte {error.start + 1})")
    if "\x00" in text or not text.strip():
        return BadRow(number, entry.filename, "is empty" if not text.strip() else "contains the character U+0000")
    row = _base_row(archive, number, entry.filename)
    return replace(row, data={**row.data, "text": text, "media_type": "text/plain"})


def _media_row(
    archive: Archive,
    folder: MediaFolder,
    number: int,
    entry: zipfile.ZipInfo,
    media: MediaType,
    head: bytes,
    file: IO[bytes],
) -> Row:
    key = f"{folder.prefix}/{number:07d}.{media.ending}"
    obstore.put(folder.store, key, _chunks(head, file), **write_options(folder.store, media.name))
    facts = {"media_type": media.name, "size_bytes": entry.file_size}
    size = image_size(head, media)
    if size:
        facts |= {"width": size[0], "height": size[1]}
    row = _base_row(archive, number, entry.filename)
    return replace(row, data={**row.data, **facts}, media_key=key)


def _chunks(head: bytes, file: IO[bytes]) -> Iterator[bytes]:
    yield head
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
