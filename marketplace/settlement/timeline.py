"""What happened to the money of a request, a payee or a payout, in order, with the verdicts it was paid for."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.paging import Page, PageQuery, decode_cursor, encode_cursor
from marketplace.payments.policy import payout_keys
from marketplace.settlement.schemas import TimelineEntry, TimelineLeg, TimelineVerdict


class TimelineOf(StrEnum):
    """Whose money is followed: a request's, a worker's, a vendor's (by organisation), or one payout's."""

    REQUEST = "request"
    WORKER = "worker"
    VENDOR = "vendor"
    PAYOUT = "payout"


_OF_PATH: Final = "SELECT p.txn_id FROM account a JOIN posting p ON p.account_id = a.id WHERE a.path = {path}"
_OF_REQUEST: Final = """
    SELECT p.txn_id FROM posting p JOIN account a ON a.id = p.account_id
    WHERE a.path = ANY(
        SELECT 'accrued:' || c.request_id || ':' || c.id FROM contract c WHERE c.request_id = :id
        UNION ALL SELECT 'reserved:' || CAST(:id AS uuid)
    )
    UNION SELECT m.txn_id FROM manual_posting m WHERE m.request_id = :id AND m.state = 'approved'
"""
_OF_PAYOUT: Final = "SELECT t.id FROM txn t WHERE t.key = ANY(CAST(:keys AS text[]))"
_TXNS: Final[Mapping[TimelineOf, str]] = {
    TimelineOf.REQUEST: _OF_REQUEST,
    TimelineOf.WORKER: _OF_PATH.format(path="'worker:' || CAST(:id AS uuid)"),
    TimelineOf.VENDOR: _OF_PATH.format(path="'vendor:' || CAST(:id AS uuid)"),
    TimelineOf.PAYOUT: _OF_PAYOUT,
}
_PAGE: Final = """
    WITH page AS (
        SELECT t.* FROM txn t WHERE t.id IN ({txns}) AND t.id > :after ORDER BY t.id LIMIT :limit
    )
    SELECT page.id, page.key, page.kind, page.effective_at, page.facts, legs.rows AS legs,
           v.id AS verdict_id, v.outcome, v.reason_code, v.gate_set_version, v.evidence
    FROM page
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object(
            'account', a.path, 'amount_minor', p.amount_minor, 'currency', p.currency) ORDER BY p.id) AS rows
        FROM posting p JOIN account a ON a.id = p.account_id WHERE p.txn_id = page.id
    ) legs
    LEFT JOIN verdict v ON v.request_id = CAST(page.facts->>'request_id' AS uuid)
        AND v.claim_id = CAST(page.facts->>'claim_id' AS uuid) AND v.revision = CAST(page.facts->>'revision' AS int)
    ORDER BY page.id
"""
_STATEMENTS: Final[Mapping[TimelineOf, TextClause]] = {
    whose: text(_PAGE.format(txns=txns)) for whose, txns in _TXNS.items()
}


async def timeline(session: AsyncSession, whose: TimelineOf, row_id: UUID, query: PageQuery) -> Page[TimelineEntry]:
    """Return a page of the transactions that moved this money, oldest first, in one query."""
    after = UUID(int=0) if query.cursor is None else decode_cursor(query.cursor)
    money = {"keys": payout_keys(row_id)} if whose is TimelineOf.PAYOUT else {"id": row_id}
    names = {**money, "after": after, "limit": query.limit + 1}
    rows = (await session.execute(_STATEMENTS[whose], names)).mappings().all()
    entries = [_entry(row) for row in rows[: query.limit]]
    return Page(items=entries, next_cursor=encode_cursor(entries[-1].id) if len(rows) > query.limit else None)


def _entry(row: Mapping[Any, Any]) -> TimelineEntry:
    return TimelineEntry(
        id=row["id"], key=row["key"], kind=row["kind"], effective_at=row["effective_at"], facts=row["facts"],
        legs=[TimelineLeg.model_validate(leg) for leg in row["legs"]],
        verdict=None if row["verdict_id"] is None else TimelineVerdict(
            id=row["verdict_id"], outcome=row["outcome"], reason_code=row["reason_code"],
            gate_set_version=row["gate_set_version"], evidence=row["evidence"],
        ),
    )  # fmt: skip
