"""Clearing accounts that have not returned to zero in time: money that somebody must look for.

Its age is that of the oldest posting that is not cleared: what cleared an account is taken to have cleared the oldest
first, so that an account that all pass through (a provider's transit) is not old only because it is never empty.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.paging import Page, PageQuery, decode_cursor, encode_cursor

_OLD: Final = text(
    """
    WITH limits AS (
        SELECT * FROM unnest(CAST(:types AS text[]), CAST(:seconds AS float8[])) AS l (type, seconds)
    ), standing AS (
        SELECT a.id, a.path, a.currency, limits.type, limits.seconds, split_part(a.path, ':', 2) AS owner,
               CASE a.normal WHEN 'debit' THEN 1 ELSE -1 END AS sign,
               coalesce(a.balance_minor, (
                   SELECT sum(p.amount_minor) * CASE a.normal WHEN 'debit' THEN 1 ELSE -1 END
                   FROM posting p WHERE p.account_id = a.id), 0) AS minor
        FROM account a JOIN limits ON limits.type = split_part(a.path, ':', 1)
        WHERE a.id > :after AND (a.balance_minor IS NULL OR a.balance_minor <> 0)
    ), aged AS (
        SELECT s.*, oldest.at, s.seconds + CASE WHEN s.type = 'accrued' THEN (
                   SELECT r.release_window_seconds FROM dataset_request r WHERE r.id = CAST(s.owner AS uuid)
               ) ELSE 0 END AS limit_seconds
        FROM standing s CROSS JOIN LATERAL (
            SELECT min(effective_at) AS at FROM (
                SELECT t.effective_at, abs(p.amount_minor) AS part,
                       sum(abs(p.amount_minor)) OVER (ORDER BY p.id DESC) AS upto
                FROM posting p JOIN txn t ON t.id = p.txn_id
                WHERE p.account_id = s.id AND sign(p.amount_minor) = sign(s.minor * s.sign)
            ) newest WHERE upto - part < abs(s.minor)
        ) oldest
        WHERE s.minor <> 0
    )
    SELECT id, path, type, currency, minor, at, limit_seconds FROM aged
    WHERE at < CAST(:now AS timestamptz) - make_interval(secs => limit_seconds) ORDER BY id LIMIT :limit
    """
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long money may stay on each kind of clearing account; for accrued money, after its dispute window."""

    accrued: timedelta = timedelta(days=2)
    payout_pending: timedelta = timedelta(days=3)
    refund_pending: timedelta = timedelta(days=3)
    in_transit: timedelta = timedelta(days=3)
    suspense: timedelta = timedelta(days=1)

    def seconds(self) -> dict[str, float]:
        """Return the limits in seconds by type of account."""
        return {
            "accrued": self.accrued.total_seconds(),
            "payout_pending": self.payout_pending.total_seconds(),
            "refund_pending": self.refund_pending.total_seconds(),
            "in_transit": self.in_transit.total_seconds(),
            "suspense": self.suspense.total_seconds(),
        }


class ClearingAccount(BaseModel):
    """A clearing account over its limit: what stands on it in minor units, since when, and how long it may."""

    id: UUID
    path: str
    type: str
    currency: str
    balance_minor: int
    since: datetime
    age_seconds: int
    limit_seconds: int


async def old_clearing_accounts(session: AsyncSession, limits: Limits, query: PageQuery) -> Page[ClearingAccount]:
    """Return a page of the clearing accounts over their limit, the account that was opened first first."""
    at, allowed = now(), limits.seconds()
    names = {
        "types": list(allowed),
        "seconds": list(allowed.values()),
        "after": UUID(int=0) if query.cursor is None else decode_cursor(query.cursor),
        "now": at,
        "limit": query.limit + 1,
    }
    rows = (await session.execute(_OLD, names)).all()
    items = [_account(row, at) for row in rows[: query.limit]]
    return Page(items=items, next_cursor=encode_cursor(items[-1].id) if len(rows) > query.limit else None)


def _account(row: Any, at: datetime) -> ClearingAccount:
    return ClearingAccount(
        id=row.id, path=row.path, type=row.type, currency=row.currency, balance_minor=int(row.minor), since=row.at,
        age_seconds=int((at - row.at).total_seconds()), limit_seconds=int(row.limit_seconds),
    )  # fmt: skip
