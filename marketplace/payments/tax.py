"""What is withheld from one payout: the operator's mode and table, and the payee's year so far."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import and_
from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.payments.errors import TaxTableMissing
from marketplace.payments.models import Payee, Payout
from marketplace.payments.rules import PayoutRules
from marketplace.payments.states import PayeeKind, PayoutState, TaxTaskState
from marketplace.payments.tax_models import TaxTask
from marketplace.payments.withholding import TaxMode, YearSoFar, withheld_from


@dataclass(frozen=True, slots=True)
class Withheld:
    """Tax on one payout in minor units, and what it was computed by."""

    tax_minor: int
    mode: TaxMode
    table: str | None = None
    authority: str | None = None
    month: str | None = None


async def withhold(
    session: AsyncSession, rules: PayoutRules, payee: Payee, gross_minor: int, currency: str
) -> Withheld:
    """Return the tax on a payout of `gross_minor`; locks the payee, so that two payouts are not taxed as the same one.

    A vendor is paid as a company, and nothing is withheld from it.

    Raises:
        TaxTableMissing: tax is to be withheld, and the operator's table is missing, not in force or of another money.
    """
    mode, table = rules.tax_mode, rules.tax_table()
    if table is None or payee.kind is PayeeKind.VENDOR:
        return Withheld(0, TaxMode.NONE if table else mode)
    at = now().astimezone(ZoneInfo(table.time_zone))
    if table.currency != currency or not table.holds_on(at.date()):
        raise TaxTableMissing(f"table {table.name} {table.version} is not for {currency} on {at.date()}")
    await session.exec(select(Payee.id).where(Payee.id == payee.id).with_for_update())
    tax = withheld_from(table, gross_minor, await _year_so_far(session, payee, currency, at))
    return Withheld(tax, mode, f"{table.name} {table.version}", table.authority, f"{at:%Y-%m}")


async def _year_so_far(session: AsyncSession, payee: Payee, currency: str, at: datetime) -> YearSoFar:
    """Add up the payee's payouts of the year, over all providers; income counts when it is paid out.

    A cancelled payout counts for nothing, unless its tax stays with the authority: then what was withheld is the part
    of the income that will not be paid out again, and it is tax that was paid already.
    """
    start = at.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
    found = await session.exec(
        select(Payout.created_at, Payout.amount_minor, Payout.tax_minor, Payout.state)
        .join(Payee, col(Payee.id) == col(Payout.payee_id))
        .outerjoin(TaxTask, col(TaxTask.payout_id) == col(Payout.id))
        .where(
            Payee.kind == payee.kind,
            Payee.owner_id == payee.owner_id,
            Payout.currency == currency,
            or_(
                col(Payout.state) != PayoutState.CANCELLED,
                and_(col(TaxTask.id).is_not(None), col(TaxTask.state) != TaxTaskState.GIVEN_BACK),
            ),
            Payout.created_at >= start.astimezone(UTC),
        )
    )
    rows = found.all()
    paid_in = {made.astimezone(at.tzinfo).month for made, *_ in rows}
    months = 1
    while at.month - months in paid_in:
        months += 1
    return YearSoFar(
        income_minor=sum(tax if state is PayoutState.CANCELLED else net + tax for _, net, tax, state in rows),
        withheld_minor=sum(tax for _, _, tax, _ in rows),
        months=months,
    )
