"""Where the money of each of an enterprise's requests is, a page of them in one query."""

from typing import Final
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.states import RequestState
from marketplace.core.paging import Page, PageQuery, decode_cursor, encode_cursor

_LAST: Final = UUID(int=2**128 - 1)
# What was given back is read by the keys of its postings (`settlement.closing`), of which a request has two at most.
_PAGE: Final = text(
    """
    WITH page AS (
        SELECT id, title, state, currency FROM dataset_request
        WHERE organisation_id = :organisation AND id < :before ORDER BY id DESC LIMIT :limit
    )
    SELECT page.*, coalesce(hold.balance_minor, 0) AS reserved, coalesce(work.accrued, 0) AS accrued,
           coalesce(work.released, 0) AS released, coalesce(work.fee, 0) AS fee, coalesce(back.minor, 0) AS given_back
    FROM page
    LEFT JOIN account hold ON hold.path = 'reserved:' || page.id AND hold.currency = page.currency
    LEFT JOIN LATERAL (
        SELECT sum(amount_minor) FILTER (WHERE state = 'accrued') AS accrued,
               sum(amount_minor) FILTER (WHERE state = 'released') AS released,
               sum(fee_minor) FILTER (WHERE state = 'released') AS fee
        FROM accrual WHERE request_id = page.id
    ) work ON true
    LEFT JOIN LATERAL (
        SELECT sum(p.amount_minor) AS minor FROM txn t JOIN posting p ON p.txn_id = t.id
        WHERE t.key IN ('close:' || page.id, 'close:' || page.id || '\\:rest') AND p.account_id = hold.id
    ) back ON true
    ORDER BY page.id DESC
    """
)


class RequestBalance(BaseModel):
    """One request's money in minor units.

    Held in reserve; accepted inside the dispute window; released to its makers, of which `fee_minor` is the platform's;
    given back to the prepaid balance when the request ended (from there to its source, if the request says so).
    """

    request_id: UUID
    title: str
    state: RequestState
    currency: str
    reserved_minor: int
    accrued_minor: int
    released_minor: int
    fee_minor: int
    given_back_minor: int


async def request_balances(session: AsyncSession, organisation_id: UUID, query: PageQuery) -> Page[RequestBalance]:
    """Return a page of an enterprise's requests with their money, newest first."""
    before = _LAST if query.cursor is None else decode_cursor(query.cursor)
    names = {"organisation": organisation_id, "before": before, "limit": query.limit + 1}
    rows = (await session.execute(_PAGE, names)).all()
    items = [
        RequestBalance(
            request_id=row.id, title=row.title, state=row.state, currency=row.currency,
            reserved_minor=int(row.reserved), accrued_minor=int(row.accrued), released_minor=int(row.released),
            fee_minor=int(row.fee), given_back_minor=int(row.given_back),
        )
        for row in rows[: query.limit]
    ]  # fmt: skip
    return Page(items=items, next_cursor=encode_cursor(items[-1].request_id) if len(rows) > query.limit else None)
