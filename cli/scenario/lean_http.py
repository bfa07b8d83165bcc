"""A load generator's HTTP client: HTTP/1.1 on one kept connection, without anything that costs time.

A general client takes longer for a call than the server under test; this one writes prepared bytes and parses answers
with httptools (the parser of Node.js).
"""

import asyncio
from typing import Final, Self
from urllib.parse import urlsplit

import httptools

READ_BYTES: Final = 256 * 1024


class _Answer:
    """Collects one answer; httptools calls these names."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.complete = False

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        self.body += part

    def on_message_complete(self) -> None:
        """Note that the answer is whole."""
        self.complete = True


class Connection:
    """One kept connection, one call at a time, always with the same token."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head

    @classmethod
    async def open(cls, base_url: str, token: str) -> Self:
        """Connect to the host of `base_url`; raises OSError when it does not answer."""
        parts = urlsplit(base_url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, limit=READ_BYTES)
        head = f"Host: {parts.netloc}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        return cls(reader, writer, head.encode())

    async def call(self, method: bytes, path: bytes, body: bytes) -> tuple[int, bytes]:
        """Send a call and return status and body of its answer; raises OSError when the connection breaks."""
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        self._writer.write(b"".join((method, b" ", path, b" HTTP/1.1\r\n", self._head, length, body)))
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.complete:
            data = await self._reader.read(READ_BYTES)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            parser.feed_data(data)
        return parser.get_status_code(), bytes(answer.body)

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        await self._writer.wait_closed()
