"""A client of the public API that outlives restarts of what it talks to.

A call is repeated while the API, its database or its Redis is away, with growing pauses up to `PATIENCE_SECONDS`. That
is safe because every POST carries an `Idempotency-Key` (or a key of its own in the body) that stays the same.
"""

import asyncio
import random
import time
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final, Self
from uuid import uuid4

import httpx

from cli.errors import CannotRunError

PATIENCE_SECONDS: Final = 120.0
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 2.0
TIMEOUT_SECONDS: Final = 60.0
PASSING: Final = frozenset({429, 502, 503, 504})


class RefusedError(CannotRunError):
    """The API refused a call: its problem's status, stable code and words."""

    def __init__(self, status: int, code: str, detail: str, body: dict[str, Any]) -> None:
        super().__init__(f"The API answered {status} {code}: {detail} {body.get('fields') or ''}".rstrip())
        self.status = status
        self.code = code
        self.body = body


class Api:
    """One connection pool for any number of simulated people.

    `address` is the network address a person calls from: on loopback Kapok believes it, as it believes its reverse
    proxy, and so counts each person's sign-ins apart.
    """

    def __init__(self, base_url: str, *, connections: int = 64) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        # one client serves many people, whose cookies must not meet
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self._http = httpx.AsyncClient(
            base_url=base_url, timeout=TIMEOUT_SECONDS, limits=limits, trust_env=False, cookies=no_cookies
        )
        self.repeated = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def send(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        """Send a call until it is answered, and return the answer; `options` are httpx's (json, content, params).

        Raises:
            RefusedError: the answer is a problem that repeating does not mend, or patience has ended.
        """
        given = {"Idempotency-Key": str(uuid4()), **(headers or {})}
        pause, deadline = FIRST_PAUSE_SECONDS, time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = await self._http.request(method, path, headers=given, **options)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            else:
                if answer.status_code not in PASSING or time.monotonic() > deadline:
                    return _checked(answer)
            self.repeated += 1
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311  # jitter
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def fetch(self, address: str) -> bytes:
        """Return the content behind a signed address, which needs no token."""
        return (await self.send("GET", address)).content


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    try:
        body = answer.json()
    except ValueError:
        body = {}
    code, detail = str(body.get("code", "unexpected")), str(body.get("detail", answer.text[:300]))
    raise RefusedError(answer.status_code, code, detail, body)
