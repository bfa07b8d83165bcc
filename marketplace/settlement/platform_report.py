"""`report.cn.platform`: who was paid how much in a quarter, beside what is known of their identity.

State Council Order 810 asks platforms for such a report in the month after each quarter (money.md §7, read in secondary
sources: a hint for counsel, not advice). Income counts in the quarter in which its payout was asked, as for tax; what
came back does not count, but for tax that stays with the authority.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.spreadsheet import harmless
from marketplace.payments.states import PayeeKind

_LINES: Final = text(
    """
    WITH income AS (
        SELECT y.kind, y.owner_id, p.currency, count(*) AS payouts,
               sum(CASE WHEN p.state = 'cancelled' THEN 0 ELSE p.amount_minor END)::bigint AS net_minor,
               sum(p.tax_minor)::bigint AS tax_minor
        FROM payout p JOIN payee y ON y.id = p.payee_id LEFT JOIN tax_task k ON k.payout_id = p.id
        WHERE p.created_at >= :begins AND p.created_at < :ends
          AND (p.state <> 'cancelled' OR k.state IN ('open', 'kept'))
        GROUP BY y.kind, y.owner_id, p.currency
    ), papers AS (
        SELECT DISTINCT ON (v.subject_id) v.subject_id, v.sha256
        FROM vetting_paper v JOIN vetting_file f ON f.subject_id = v.subject_id AND f.id = v.file_id
        WHERE f.state = 'approved' AND v.kind IN ('identity_document', 'business_licence')
        ORDER BY v.subject_id, v.id DESC
    )
    SELECT i.kind, i.owner_id, coalesce(o.name, n.display_name) AS name, coalesce(o.country, w.country) AS country,
           coalesce(o.region, w.region) AS region, v.sha256 AS paper_sha256, i.currency, i.payouts,
           i.net_minor + i.tax_minor AS gross_minor, i.tax_minor, i.net_minor
    FROM income i
    LEFT JOIN organisation o ON i.kind = 'vendor' AND o.id = i.owner_id
    LEFT JOIN person n ON i.kind = 'worker' AND n.id = i.owner_id
    LEFT JOIN worker_profile w ON i.kind = 'worker' AND w.person_id = i.owner_id
    LEFT JOIN papers v ON v.subject_id = i.owner_id
    ORDER BY i.kind, i.owner_id, i.currency
    """
)
COLUMNS: Final = (
    "kind", "owner_id", "name", "country", "region", "paper_sha256", "currency", "payouts", "gross_minor", "tax_minor",
    "net_minor",
)  # fmt: skip
_NEEDED: Final = {"name": "name", "country": "country", "paper_sha256": "vetted identity paper or business licence"}


@dataclass(frozen=True, slots=True)
class ReportLine:
    """A payee's income of a quarter in one currency, in minor units; `paper_sha256` names the paper that was vetted."""

    kind: PayeeKind
    owner_id: UUID
    name: str | None
    country: str | None
    region: str | None
    paper_sha256: str | None
    currency: str
    payouts: int
    gross_minor: int
    tax_minor: int
    net_minor: int

    def missing(self) -> list[str]:
        """Return what the report asks for and is not known of the payee."""
        return [words for column, words in _NEEDED.items() if not getattr(self, column)]


def quarter(year: int, number: int, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the beginning of a quarter (1 to 4) and of the next one, by the clock of a place."""
    begins = datetime(year, 3 * number - 2, 1, tzinfo=zone)
    ends = datetime(year + number // 4, 3 * (number % 4) + 1, 1, tzinfo=zone)
    return begins, ends


async def lines_of(session: AsyncSession, begins: datetime, ends: datetime) -> list[ReportLine]:
    """Return every payee who was paid in a stretch of time, by kind and id."""
    found = await session.execute(_LINES, {"begins": begins, "ends": ends})
    return [ReportLine(**{**row, "kind": PayeeKind(row["kind"])}) for row in found.mappings()]


def as_csv(lines: Sequence[ReportLine]) -> str:
    """Return the report as CSV with a head line; what a spreadsheet would take for a formula is made text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*COLUMNS, "missing"])
    for line in lines:
        cells = [_cell(getattr(line, column)) for column in COLUMNS]
        writer.writerow([*cells, "; ".join(line.missing())])
    return out.getvalue()


def _cell(value: object) -> str:
    return "" if value is None else harmless(str(value))
