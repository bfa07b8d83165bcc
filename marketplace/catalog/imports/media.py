"""Which file is what, by its first bytes and never by its name; and the size of an image."""

import struct
from dataclasses import dataclass
from typing import Final

HEAD_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class MediaType:
    """A type of file that workers' browsers can show or play: its media type, and the ending of its key."""

    name: str
    ending: str


PNG = MediaType("image/png", "png")
JPEG = MediaType("image/jpeg", "jpg")
GIF = MediaType("image/gif", "gif")
WEBP = MediaType("image/webp", "webp")
WAV = MediaType("audio/wav", "wav")
_PREFIXES: Final = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"BM", MediaType("image/bmp", "bmp")),
    (b"ID3", MediaType("audio/mpeg", "mp3")),
    (b"fLaC", MediaType("audio/flac", "flac")),
    (b"OggS", MediaType("audio/ogg", "ogg")),
    (b"\x1aE\xdf\xa3", MediaType("video/webm", "webm")),
    (b"%PDF-", MediaType("application/pdf", "pdf")),
)
_MPEG_AUDIO_SYNC: Final = (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")
_ARCHIVES: Final = (b"PK\x03\x04", b"PK\x05\x06", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
# start-of-frame markers of JPEG (ITU-T T.81 table B.1): all of C0–CF but the tables DHT, JPG and DAC
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def is_archive(head: bytes) -> bool:
    """Return whether the file is packed itself."""
    return head.startswith(_ARCHIVES)


def sniff(head: bytes) -> MediaType | None:
    """Return the type of a file by its first bytes, or None for one that Kapok does not know."""
    for prefix, found in _PREFIXES:
        if head.startswith(prefix):
            return found
    if head.startswith(_MPEG_AUDIO_SYNC):
        return MediaType("audio/mpeg", "mp3")
    if head[:4] == b"RIFF":
        return {b"WAVE": WAV, b"WEBP": WEBP}.get(head[8:12])
    if head[4:8] == b"ftyp":
        is_audio = head[8:11] == b"M4A"
        return MediaType("audio/mp4", "m4a") if is_audio else MediaType("video/mp4", "mp4")
    return None


def image_size(head: bytes, media: MediaType) -> tuple[int, int] | None:
    """Return width and height in pixels, or None when the head does not tell."""
    try:
        if media is PNG:
            return struct.unpack(">II", head[16:24])
        if media is GIF:
            return struct.unpack("<HH", head[6:10])
        if media is JPEG:
            return _jpeg_size(head)
        if media is WEBP:
            return _webp_size(head)
    except (struct.error, IndexError):
        return None
    return None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 2 + struct.unpack(">H", head[at + 2 : at + 4])[0]
    return None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """Read the three forms of WebP (RFC 9649 §2.5–2.7)."""
    form = head[12:16]
    if form == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if form == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if form == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None
