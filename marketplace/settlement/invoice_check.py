"""The check of invoices in `kapok ledger verify`: no gap in the numbers, and lines that add up to their invoice."""

from typing import Final

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.ledger.verify import MAX_BREAKS_NAMED, Check

_NUMBERS: Final = text(
    """
    SELECT coalesce(i.entity_tax_id, c.entity_tax_id) AS entity, coalesce(i.year, c.year) AS year,
           coalesce(i.issued, 0) AS issued, coalesce(i.highest, 0) AS highest, coalesce(c.last_number, 0) AS counted
    FROM (SELECT entity_tax_id, year, count(*) AS issued, max(sequence) AS highest FROM invoice GROUP BY 1, 2) i
    FULL JOIN invoice_counter c ON c.entity_tax_id = i.entity_tax_id AND c.year = i.year ORDER BY 1, 2
    """
)
_UNEQUAL: Final = text(
    """
    SELECT i.number FROM invoice i
    LEFT JOIN (
        SELECT invoice_id, sum(work_minor) AS work, sum(fee_minor) AS fee FROM invoice_line GROUP BY invoice_id
    ) l ON l.invoice_id = i.id
    WHERE (i.work_minor, i.fee_minor) IS DISTINCT FROM (l.work, l.fee) ORDER BY i.id LIMIT :limit
    """
)


async def check_invoices(session: AsyncSession) -> Check:
    """Per legal entity and year the numbers are 1 to the counter's; an invoice's amounts are those of its lines."""
    breaks: list[str] = []
    issued = 0
    for row in await session.execute(_NUMBERS):
        issued += row.issued
        if not row.issued == row.highest == row.counted:
            figures = f"{row.issued} invoices, highest number {row.highest}, counter at {row.counted}"
            breaks.append(f"legal entity {row.entity} in {row.year}: {figures}")
    unequal = await session.execute(_UNEQUAL, {"limit": MAX_BREAKS_NAMED})
    breaks += [f"invoice {number}: its lines add up to something else" for (number,) in unequal]
    rule = "numbers without gaps; lines add up to their invoice"
    return Check("invoices", rule, {"invoices": issued}, breaks[:MAX_BREAKS_NAMED])
