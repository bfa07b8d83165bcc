"""Reading JSONL, CSV and ZIP: what is a row, what is a bad row with its line, and what refuses the file."""

import io
import json
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore

from marketplace.catalog.errors import UploadUnusable
from marketplace.catalog.imports.archives import MAX_DIRECTORY_BYTES, MediaFolder, open_archive, read_archive
from marketplace.catalog.imports.lines import read_csv, read_jsonl
from marketplace.catalog.imports.rows import MAX_ROW_BYTES, BadRow, Row

MANY = 10**9


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((width + 1) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def lines(content: bytes) -> list[Row | BadRow]:
    return list(read_jsonl(io.BytesIO(content)))


def table(content: bytes) -> list[Row | BadRow]:
    return list(read_csv(io.BufferedReader(io.BytesIO(content))))  # type: ignore[arg-type]


def bad(rows: list[Row | BadRow]) -> list[tuple[int | None, str]]:
    return [(row.line, row.field) for row in rows if isinstance(row, BadRow)]


def test_jsonl_row_has_its_parts_when_it_is_nested_or_flat() -> None:
    nested, flat, number = lines(
        b'\xef\xbb\xbf{"id": "a", "data": {"text": "x"}, "gold": {"choice": "y"}, "gold_note": "why"}\n'
        b'\n{"text": "x", "n": 1.5}\r\n{"id": 7, "text": "x"}'
    )
    assert nested == Row(1, "a", {"text": "x"}, {"choice": "y"}, None, "why")
    assert flat == Row(3, None, {"text": "x", "n": 1.5})
    assert number == Row(4, "7", {"text": "x"})


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        (b"{broken", "", "JSON"),
        (b'{"a": 1} {"b": 2}', "", "JSON"),
        (b'{"a": NaN}', "", "JSON"),
        (b'{"a": 1e999}', "", "JSON"),
        (b'{"a": "\xff"}', "", "UTF-8"),
        (b'{"a": "\\ud800"}', "", "JSON"),
        (b'{"a": "x\\u0000"}', "", "U+0000"),
        (b"[1]", "", "a list"),
        (b"null", "", "null"),
        (b"true", "", "true or false"),
        (b'"text"', "", "a text"),
        (b"{}", "data", "nothing to label"),
        (b'{"id": "a"}', "data", "nothing to label"),
        (b'{"id": "a", "data": {}}', "data", "nothing to label"),
        (b'{"id": "", "a": 1}', "id", "1 to 200"),
        (b'{"id": "a\\nb", "a": 1}', "id", "line breaks"),
        (b'{"id": true, "a": 1}', "id", "whole number"),
        (b'{"id": ["a"], "a": 1}', "id", "whole number"),
        (json.dumps({"id": "x" * 201, "a": 1}).encode(), "id", "1 to 200"),
        (b'{"id": "a", "data": {"b": 1}, "c": 2}', "c", "beside `data`"),
        (b'{"a": 1, "gold_note": 5}', "gold_note", "text"),
        (b"[" * 5000 + b"]" * 5000, "", "deep"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "", "deep"),
        (b'{"a": "' + b"x" * MAX_ROW_BYTES + b'"}', "", "longer"),
    ],
)
def test_jsonl_row_is_reported_when_it_is_bad(line: bytes, field: str, reason: str) -> None:
    rows = lines(b'{"a": 1}\n' + line + b'\n{"a": 2}\n')
    assert [type(row) for row in rows] == [Row, BadRow, Row]
    assert (rows[1].line, rows[1].field) == (2, field)  # type: ignore[union-attr]
    assert reason in rows[1].reason  # type: ignore[union-attr]
    assert rows[2].line == 3


def test_jsonl_is_refused_when_it_is_utf_16() -> None:
    with pytest.raises(UploadUnusable, match="UTF-16"):
        lines('{"a": 1}\n'.encode("utf-16"))


def test_csv_rows_are_read_when_quoted_over_lines() -> None:
    rows = table('\ufeffid,text,gold\na,"一行\n二行",positive\n\nb,"x, ""y""",\n'.encode())
    assert rows == [
        Row(2, "a", {"text": "一行\n二行"}, gold_text="positive"),
        Row(5, "b", {"text": 'x, "y"'}),
    ]


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        (b"a,b,c,d", "", "4 cells"),
        (b"a", "", "1 cells"),
        (b"a,\xff\xfe,", "text", "UTF-8"),
        (b"a,x\x00y,", "text", "U+0000"),
        (b",,", "", "empty"),
        (b'a,"x"y,', "", "closing quote"),
        (b"x" * 201 + b",t,", "id", "1 to 200"),
    ],
)
def test_csv_row_is_reported_when_it_is_bad(line: bytes, field: str, reason: str) -> None:
    rows = table(b"id,text,gold\n1,x,\n" + line + b"\n2,y,\n")
    assert [type(row) for row in rows] == [Row, BadRow, Row]
    assert (rows[1].line, rows[1].field) == (3, field)  # type: ignore[union-attr]
    assert reason in rows[1].reason  # type: ignore[union-attr]
    assert rows[2].line == 4


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "name the columns"),
        (b",,\n1,2,3\n", "name the columns"),
        (b"a,,b\n", "Column 2"),
        (b"a,a\n1,2\n", "twice"),
        (b"\xff\xfea\x00,\x00", "UTF-8"),
        ("标题,文本\n".encode("gb18030"), "UTF-8"),
        (b",".join(b"c%d" % n for n in range(1001)) + b"\n", "columns"),
        (b'id,text\n1,"never closed\n2,x\n', "quoting is broken"),
        (b'id,text\n1,"' + b"line\n" * 300_000, "quoting is broken"),
        (b"id,text\n" + b"x" * (MAX_ROW_BYTES + 10), "longer"),
    ],
)
def test_csv_is_refused_when_its_rows_cannot_be_told_apart(content: bytes, reason: str) -> None:
    with pytest.raises(UploadUnusable, match=reason):
        table(content)


@pytest.fixture
def folder(tmp_path: Path) -> MediaFolder:
    return MediaFolder(LocalStore(tmp_path), "media/r/u")


def packed(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file


def unpack(file: io.BytesIO, folder: MediaFolder, max_bytes: int = MANY) -> list[Row | BadRow]:
    return list(read_archive(open_archive(file, max_bytes), folder))


def test_zip_files_become_rows_when_their_bytes_tell_what_they_are(folder: MediaFolder, tmp_path: Path) -> None:
    manifest = b'{"filename": "b/car.jpg", "id": "c", "weather": "rain", "gold": {"shapes": []}}\n'
    picture, sound, text, clutter = unpack(
        packed({
            "manifest.jsonl": manifest,
            "b/car.jpg": png(3, 2),
            "a.bin": b"RIFF\x00\x00\x00\x00WAVEfmt ",
            "t.txt": "你好".encode(),
            "x.exe": b"MZ\x90",
            "__MACOSX/b": b"junk",
        }),
        folder,
    )  # fmt: skip
    assert isinstance(picture, Row)
    assert picture.external_id == "c"
    assert picture.gold == {"shapes": []}
    assert picture.data == {
        "weather": "rain", "filename": "b/car.jpg", "media_type": "image/png", "size_bytes": len(png(3, 2)),
        "width": 3, "height": 2,
    }  # fmt: skip
    assert (tmp_path / str(picture.media_key)).read_bytes() == png(3, 2)
    assert isinstance(sound, Row)
    assert sound.data["media_type"] == "audio/wav"
    assert text == Row(3, "t.txt", {"filename": "t.txt", "text": "你好", "media_type": "text/plain"})
    assert isinstance(clutter, BadRow)
    assert clutter.field == "x.exe"


def test_zip_manifest_rows_are_reported_when_they_name_no_file(folder: MediaFolder) -> None:
    manifest = b"filename,label\nnope.png,x\n,x\na.png,x\na.png,y\n"
    rows = unpack(packed({"manifest.csv": manifest, "a.png": png(1, 1)}), folder)
    assert bad(rows) == [(2, "manifest.csv filename"), (3, "manifest.csv filename"), (5, "manifest.csv filename")]
    assert isinstance(rows[-1], Row)
    assert rows[-1].data["label"] == "x"


def _named(name: str) -> io.BytesIO:
    return packed({name: png(1, 1)})


def _link() -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        entry = zipfile.ZipInfo("link.png")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    return file


def _encrypted() -> io.BytesIO:
    content = bytearray(packed({"a.png": png(1, 1)}).getvalue())
    central = content.rfind(b"PK\x01\x02")
    content[central + 8] |= 1
    return io.BytesIO(bytes(content))


def _overlapping() -> io.BytesIO:
    """Many directory entries that share one stretch of packed bytes, none of them swelling much by itself."""
    one = packed({"a.bin": bytes(range(256)) * 4096 * 2}, zipfile.ZIP_DEFLATED).getvalue()
    central = one.rfind(b"PK\x01\x02")
    end = one.rfind(b"PK\x05\x06")
    entry = one[central:end]
    entries = b"".join(entry.replace(b"a.bin", b"%05d" % n) for n in range(200))
    tail = bytearray(one[end:])
    struct.pack_into("<HHLL", tail, 8, 200, 200, len(entries), central)
    return io.BytesIO(one[:central] + entries + bytes(tail))


def _wide_directory() -> io.BytesIO:
    content = bytearray(packed({"a.png": png(1, 1)}).getvalue())
    end = content.rfind(b"PK\x05\x06")
    struct.pack_into("<L", content, end + 12, MAX_DIRECTORY_BYTES + 1)
    return io.BytesIO(bytes(content))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: io.BytesIO(b"no archive"), "not a ZIP"),
        (lambda: io.BytesIO(b""), "not a ZIP"),
        (lambda: io.BytesIO(packed({"a.png": png(1, 1)}).getvalue()[:-30]), "ZIP"),
        (lambda: _named("../../etc/cron.d/x.png"), "outside"),
        (lambda: _named("/etc/x.png"), "outside"),
        (lambda: _named("a/../../x.png"), "outside"),
        (lambda: _named("..\\x.png"), "outside"),
        (lambda: _named("C:x.png"), "outside"),
        (_link, "link"),
        (_encrypted, "encrypted"),
        (lambda: packed({"bomb.txt": bytes(50 * 1024 * 1024)}), "bomb"),
        (_overlapping, "bomb"),
        (_wide_directory, "directory"),
        (lambda: packed({"a.zip": packed({"b.png": png(1, 1)}).getvalue()}), "archive itself"),
        (lambda: packed({"a.png": png(1, 1) + bytes(range(256)) * 8}, zipfile.ZIP_STORED), "at most|the most"),
    ],
)
def test_zip_is_refused_when_it_is_made_to_harm(
    make: Callable[[], io.BytesIO], reason: str, folder: MediaFolder
) -> None:
    with pytest.raises(UploadUnusable, match=reason):
        unpack(make(), folder, max_bytes=1_000 if reason == "at most|the most" else MANY)


def test_zip_file_is_reported_when_its_bytes_are_damaged(folder: MediaFolder) -> None:
    content = bytearray(packed({"a.png": png(9, 9), "b.png": png(1, 1)}, zipfile.ZIP_STORED).getvalue())
    at = content.find(b"IDAT")
    content[at + 6] ^= 0xFF
    rows: list[Any] = unpack(io.BytesIO(bytes(content)), folder)
    assert [type(row) for row in rows] == [BadRow, Row]
    assert "unpacked" in rows[0].reason


def test_zip_text_is_reported_when_it_is_not_utf_8(folder: MediaFolder) -> None:
    texts = {"a.txt": "标题".encode("gb18030"), "b.txt": b" ", "c.txt": b"x" * (MAX_ROW_BYTES + 1)}
    rows = unpack(packed(texts, zipfile.ZIP_STORED), folder)
    assert bad(rows) == [(1, "a.txt"), (2, "b.txt"), (3, "c.txt")]
