"""What a payee earned, line by line: each accepted bundle with its verdict, and everything else that was booked.

A bundle's line says when it was accrued, when it is or was released, and which payout took it. Payouts and claw-backs
take credits in the order they were booked, as a payout's proof says (`settlement.proof`); to number them, one page
reads the amounts of all the payee's movements in that currency.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.errors import FieldProblem
from marketplace.core.paging import CursorInvalid, PageQuery
from marketplace.payments.policy import payable_path
from marketplace.payments.states import PayeeKind
from marketplace.settlement.earning_schemas import EarningLine, EarningsPage
from marketplace.settlement.queries import earnings

_FIRST: Final = (UUID(int=2**128 - 1), 2**15 - 1)
_PAGE: Final = """
    WITH own AS (SELECT id, currency FROM account WHERE path = :path),
    work AS (
        SELECT claim_id AS id, revision, 'work' AS kind, currency, {part} AS minor, request_id, created_at AS booked_at
        FROM accrual WHERE {owner} = :owner AND (claim_id, revision) < (:last_id, :last_revision)
        ORDER BY claim_id DESC, revision DESC LIMIT :limit
    ), booked AS (
        SELECT t.id, 0 AS revision, t.kind, own.currency, -p.amount_minor AS minor,
               CAST(t.facts->>'request_id' AS uuid) AS request_id, t.effective_at AS booked_at
        FROM own JOIN posting p ON p.account_id = own.id JOIN txn t ON t.id = p.txn_id
        WHERE t.kind <> 'release' AND t.kind NOT LIKE 'payout.%' AND (t.id, 0) < (:last_id, :last_revision)
        ORDER BY t.id DESC LIMIT :limit
    ), page AS (
        SELECT * FROM work UNION ALL SELECT * FROM booked ORDER BY id DESC, revision DESC LIMIT :limit
    ), moved AS MATERIALIZED (
        SELECT p.id, own.currency, t.key, t.kind, t.facts, p.amount_minor AS minor
        FROM own JOIN posting p ON p.account_id = own.id JOIN txn t ON t.id = p.txn_id
    ), credits AS MATERIALIZED (
        SELECT key, currency, sum(-minor) OVER (PARTITION BY currency ORDER BY id) AS upto
        FROM moved WHERE minor < 0 AND kind NOT IN ('payout.restore', 'payout.tax_back')
    ), debits AS MATERIALIZED (
        SELECT o.id AS payout_id, o.state, o.paid_at, m.currency,
               sum(CASE WHEN o.state = 'cancelled' THEN kept.minor ELSE m.minor END)
                   OVER (PARTITION BY m.currency ORDER BY m.id) AS upto
        FROM moved m LEFT JOIN payout o ON m.kind = 'payout.reserve' AND o.id = CAST(m.facts->>'payout_id' AS uuid)
        LEFT JOIN LATERAL (
            SELECT sum(tax_minor) AS minor FROM tax_task WHERE payout_id = o.id AND state <> 'given_back'
        ) kept ON true
        WHERE m.minor > 0 AND (o.id IS NULL OR o.state <> 'cancelled' OR kept.minor > 0)
    )
    SELECT page.*, r.title, a.units, a.amount_minor, a.fee_minor, a.state, a.worker_id, a.release_at, a.released_at,
           c.bundle_id, c.active_seconds, v.outcome, v.reason_code, back.effective_at AS taken_back_at,
           taken.payout_id, taken.state AS payout_state, taken.paid_at,
           a.state = 'accrued' AND (r.state = 'suspended' OR EXISTS (
               SELECT 1 FROM delivery d
               WHERE d.request_id = r.id AND d.disputed_at IS NOT NULL AND d.accepted_at IS NULL)) AS held
    FROM page
    LEFT JOIN dataset_request r ON r.id = page.request_id
    LEFT JOIN accrual a ON page.kind = 'work'
        AND a.request_id = page.request_id AND a.claim_id = page.id AND a.revision = page.revision
    LEFT JOIN claim c ON c.request_id = a.request_id AND c.id = a.claim_id
    LEFT JOIN verdict v ON v.request_id = a.request_id AND v.claim_id = a.claim_id AND v.revision = a.revision
    LEFT JOIN txn back ON a.state = 'taken_back' AND back.key = 'unaccrue:' || a.claim_id || ':' || a.revision
    LEFT JOIN credits ON a.state = 'released' AND credits.key = 'release:' || a.claim_id || ':' || a.revision
    LEFT JOIN LATERAL (
        SELECT * FROM debits WHERE debits.currency = credits.currency AND debits.upto >= credits.upto
        ORDER BY debits.upto LIMIT 1
    ) taken ON true
    ORDER BY page.id DESC, page.revision DESC
"""
_STATEMENTS: Final[Mapping[PayeeKind, TextClause]] = {
    PayeeKind.WORKER: text(_PAGE.format(part="worker_minor", owner="worker_id")),
    PayeeKind.VENDOR: text(_PAGE.format(part="vendor_minor", owner="vendor_organisation_id")),
}


async def earnings_page(session: AsyncSession, kind: PayeeKind, owner_id: UUID, query: PageQuery) -> EarningsPage:
    """Return a page of what a payee earned, newest work first, with the totals of all of it at its head."""
    last_id, last_revision = _FIRST if query.cursor is None else _position(query.cursor)
    names = {
        "path": payable_path(kind, owner_id),
        "owner": owner_id,
        "last_id": last_id,
        "last_revision": last_revision,
        "limit": query.limit + 1,
    }
    rows = (await session.execute(_STATEMENTS[kind], names)).all()
    items = [_line(row) for row in rows[: query.limit]]
    cursor = _cursor(rows[query.limit - 1]) if len(rows) > query.limit else None
    return EarningsPage(totals=await earnings(session, kind, owner_id), items=items, next_cursor=cursor)


def _line(row: Any) -> EarningLine:
    is_work = row.kind == "work"
    return EarningLine(
        id=row.id, kind=row.kind, currency=row.currency, amount_minor=int(row.minor), booked_at=row.booked_at,
        request_id=row.request_id, request_title=row.title, claim_id=row.id if is_work else None,
        bundle_id=row.bundle_id, revision=row.revision if is_work else None, worker_id=row.worker_id, units=row.units,
        work_minor=row.amount_minor, fee_minor=row.fee_minor, state=row.state, outcome=row.outcome,
        reason_code=row.reason_code, release_at=row.release_at, released_at=row.released_at,
        taken_back_at=row.taken_back_at, held=bool(row.held), payout_id=row.payout_id, payout_state=row.payout_state,
        paid_at=row.paid_at, active_seconds=row.active_seconds,
        per_hour_minor=_per_hour(int(row.minor), row.active_seconds),
    )  # fmt: skip


def _per_hour(minor: int, seconds: float | None) -> int | None:
    return round(minor * 3600 / seconds) if seconds else None


def _cursor(row: Any) -> str:
    return base64.urlsafe_b64encode(row.id.bytes + row.revision.to_bytes(2, "big")).decode()


def _position(cursor: str) -> tuple[UUID, int]:
    try:
        raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
        return UUID(bytes=raw[:16]), int.from_bytes(raw[16:18], "big")
    except (binascii.Error, ValueError) as error:
        reason = "take `next_cursor` of the page before, unchanged"
        raise CursorInvalid(fields=[FieldProblem("cursor", reason)]) from error
