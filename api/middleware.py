"""What every request passes: an id for correlation, headers for safety, a count for Prometheus."""

import time
from typing import Final

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem
from marketplace.core.ids import new_id

REQUESTS: Final = Counter("kapok_http_requests_total", "Requests answered", ["method", "route", "status"])
SECONDS: Final = Histogram("kapok_http_request_seconds", "Time to the answer", ["method", "route"])
_SAFETY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_MAX_REQUEST_ID: Final = 64


def _is_plain_413(message: Message) -> bool:
    """Whether this is Starlette's own answer to a body over the limit, which is plain text."""
    return bool(message["status"] == 413 and MutableHeaders(scope=message)["content-type"].startswith("text/plain"))


async def _too_large(scope: Scope, receive: Receive, send: Send) -> None:
    detail = "Data files go through a resumable upload, which takes them in parts."
    await problem(413, "body_too_large", "The body is too large.", detail)(scope, receive, send)


class Correlation:
    """Binds a request id (the caller's `X-Request-ID`, or a new one) to the log, answers it, and counts the call."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = given if given.isascii() and 0 < len(given) <= _MAX_REQUEST_ID else str(new_id())
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 500
        is_replaced = False

        async def answering(message: Message) -> None:
            nonlocal status, is_replaced
            if is_replaced:
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                if _is_plain_413(message):
                    await _too_large(scope, receive, answering)
                    is_replaced = True
                    return
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in _SAFETY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        started = time.perf_counter()
        try:
            await self.app(scope, receive, answering)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            REQUESTS.labels(scope["method"], route, str(status)).inc()
            SECONDS.labels(scope["method"], route).observe(time.perf_counter() - started)
