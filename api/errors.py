"""The one table from kinds of error to HTTP, and the RFC 9457 bodies (`application/problem+json`) made from them."""

from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from marketplace.core.db import causes, is_passing
from marketplace.core.errors import DomainError, Kind

STATUS_OF_KIND: Final[Mapping[Kind, int]] = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.GONE: 410,
    Kind.TOO_LARGE: 413,
    Kind.RATE_LIMITED: 429,
    Kind.UNAVAILABLE: 503,
}
_HTTP_CODES: Final[Mapping[int, str]] = {
    400: "malformed",
    404: "no_such_path",
    405: "method_not_allowed",
    413: "body_too_large",
}
# U+0000 in a text, and in JSON; a schema that forbids it says so field by field, this stands behind all of them
_UNKEPT_SQLSTATES: Final = frozenset({"22021", "22P05"})

log = structlog.get_logger()


class ProblemField(BaseModel):
    """One wrong field of the input."""

    field: str
    reason: str
    line: int | None = None


class Problem(BaseModel):
    """RFC 9457 problem details; `code` is stable and made for programs, `detail` is made for people."""

    type: str = Field(examples=["urn:kapok:problem:seat_taken"])
    title: str
    status: int
    detail: str
    code: str
    fields: list[ProblemField]
    request_id: str


def problem(
    status: int, code: str, title: str, detail: str, *, fields: list[dict[str, Any]] | None = None, **extra: Any
) -> JSONResponse:
    """Make the answer that tells of a problem."""
    request_id = str(structlog.contextvars.get_contextvars().get("request_id", ""))
    body = {
        "type": f"urn:kapok:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "fields": fields or [],
        "request_id": request_id,
        **extra,
    }
    headers = {"Retry-After": str(extra.get("retry_after_seconds", 1))} if status in {429, 503} else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def _domain_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DomainError)  # noqa: S101  # registered for this class only
    fields = [{"field": f.field, "reason": f.reason, "line": f.line} for f in error.fields]
    return problem(STATUS_OF_KIND[error.kind], error.code, error.title, error.detail, fields=fields, **error.extra)


async def _malformed(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this class only
    fields = [
        {"field": ".".join(str(part) for part in problem["loc"][1:]), "reason": problem["msg"], "line": None}
        for problem in error.errors()
    ]
    return problem(
        422, "malformed", "The request does not have the form this call takes.", "See fields.", fields=fields
    )


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class only
    code = _HTTP_CODES.get(error.status_code, f"http_{error.status_code}")
    answer = problem(error.status_code, code, str(error.detail), str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _database_error(_request: Request, error: Exception) -> JSONResponse:
    """A lost or busy database is a 503 that a client may repeat; any other database error is a fault of ours."""
    cause = getattr(error, "orig", error)
    if is_passing(error) or isinstance(cause, OSError):
        log.warning("database.unavailable", error=repr(cause))
        return problem(503, "database_unavailable", "The database is not available now; try again.", "Try again.")
    if any(_is_unkept(each) for each in causes(error)):
        return await _unkept_text(_request, error)
    return await _fault(_request, error)


def _is_unkept(error: BaseException) -> bool:
    return isinstance(error, UnicodeEncodeError) or getattr(error, "sqlstate", None) in _UNKEPT_SQLSTATES


async def _unkept_text(_request: Request, _error: Exception) -> JSONResponse:
    detail = "A text contains the character U+0000 or half of a surrogate pair; remove it."
    return problem(422, "malformed", "The request does not have the form this call takes.", detail)


async def _fault(_request: Request, error: Exception) -> JSONResponse:
    log.error("request.fault", exc_info=error)
    return problem(500, "fault", "This is a fault of ours.", "It was written down under this request id.")


def install(app: FastAPI) -> None:
    """Register the table on the app."""
    app.add_exception_handler(DomainError, _domain_error)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(DBAPIError, _database_error)
    app.add_exception_handler(PoolTimeout, _database_error)
    for raised_on_the_hot_path in (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        app.add_exception_handler(raised_on_the_hot_path, _database_error)
    app.add_exception_handler(UnicodeEncodeError, _unkept_text)
    app.add_exception_handler(Exception, _fault)
