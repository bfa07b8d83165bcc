"""Keyset pages: every list is read by a cursor that names the last row seen, and never by an offset."""

import base64
import binascii
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field
from sqlmodel import SQLModel, col
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from marketplace.core.errors import FieldProblem, Invalid

MAX_PAGE = 200
Row = TypeVar("Row", bound=SQLModel)
Item = TypeVar("Item")


class CursorInvalid(Invalid):
    """This cursor is not one that a list of this API gave out."""

    code = "cursor_invalid"


class PageQuery(BaseModel):
    """The query parameters of every list."""

    cursor: Annotated[str | None, Field(max_length=100, description="`next_cursor` of the page before")] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE, description="Rows a page, at most")] = 50


class Page(BaseModel, Generic[Item]):
    """One page of a list; `next_cursor` is null on the last."""

    items: list[Item]
    next_cursor: str | None


def encode_cursor(last: UUID) -> str:
    """Return the opaque cursor that stands behind this row."""
    return base64.urlsafe_b64encode(last.bytes).decode().rstrip("=")


def decode_cursor(cursor: str) -> UUID:
    """Return the id a cursor stands behind, or raise `CursorInvalid`."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return UUID(bytes=raw)
    except (binascii.Error, ValueError) as error:
        reason = "take `next_cursor` of the page before, unchanged"
        raise CursorInvalid(fields=[FieldProblem("cursor", reason)]) from error


async def read_page(
    session: AsyncSession, statement: SelectOfScalar[Row], id_column: Any, query: PageQuery
) -> tuple[list[Row], str | None]:
    """Return one page of a statement, newest first by `id_column` (a UUIDv7), and the cursor of the next page."""
    if query.cursor is not None:
        statement = statement.where(col(id_column) < decode_cursor(query.cursor))
    found = await session.exec(statement.order_by(col(id_column).desc()).limit(query.limit + 1))
    rows = list(found.all())
    if len(rows) <= query.limit:
        return rows, None
    return rows[: query.limit], encode_cursor(getattr(rows[query.limit - 1], id_column.key))
