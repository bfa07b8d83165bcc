"""Months whose tax was filed, and tax of payouts that came back afterwards (money.md §4, last line).

Tax of a month that is not filed goes back to the payee with the rest. Once the month is filed the authority counts on
that money: it stays where it is, and a task asks the operator's finance whether it is kept or given back.
"""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import case, text
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.paging import PageQuery, read_page
from marketplace.core.states import check_step
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.payments import policy
from marketplace.payments.errors import MonthFiled, MonthNotOver, TaxTaskUnknown
from marketplace.payments.models import Payee, Payout
from marketplace.payments.states import TAX_TASK_STEPS, PayoutState, TaxTaskState
from marketplace.payments.tax_models import TaxedPayout, TaxFiling, TaxTask

# The clock of the westernmost place is 12 hours behind UTC: then a month is over in every table's time zone.
_OVER_EVERYWHERE: Final = timedelta(hours=12)
_LOCK_SHARED: Final = text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:name, 0))")
_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
# What came back in time counts for nothing; what came back after the filing is in what was filed.
_MONTHS: Final = text(
    """
    SELECT t.authority, t.month, p.currency, count(*) AS payouts, sum(p.amount_minor + p.tax_minor)::bigint
        AS income_minor, sum(p.tax_minor)::bigint AS tax_minor, max(f.filed_at) AS filed_at
    FROM taxed_payout t JOIN payout p ON p.id = t.payout_id
    LEFT JOIN tax_filing f ON f.authority = t.authority AND f.month = t.month
    WHERE t.month BETWEEN :from AND :to
      AND (p.state <> 'cancelled' OR EXISTS (SELECT 1 FROM tax_task k WHERE k.payout_id = p.id))
    GROUP BY t.authority, t.month, p.currency ORDER BY t.month, t.authority, p.currency
    """
)


class TaxMonthView(BaseModel):
    """What was withheld for an authority in a month, in minor units; payouts that came back in time do not count."""

    authority: str
    month: str
    currency: str
    payouts: int
    income_minor: int
    tax_minor: int
    filed_at: datetime | None


def taken_minor() -> Any:
    """Return the SQL expression of what a payout takes from its payee for good: all of it, or its kept tax."""
    kept = (
        select(func.coalesce(func.sum(TaxTask.tax_minor), 0))
        .where(TaxTask.payout_id == Payout.id, TaxTask.state != TaxTaskState.GIVEN_BACK)
        .correlate(Payout)
        .scalar_subquery()
    )
    whole = col(Payout.amount_minor) + col(Payout.tax_minor)
    return case((col(Payout.state) != PayoutState.CANCELLED, whole), else_=kept)


async def months(session: AsyncSession, year: int) -> list[TaxMonthView]:
    """Return the months of a year in which tax was withheld, by authority and currency, oldest first."""
    found = await session.execute(_MONTHS, {"from": f"{year:04d}-01", "to": f"{year:04d}-12"})
    return [TaxMonthView.model_validate(row) for row in found.mappings()]


async def mark_filed(session: AsyncSession, actor: Actor, authority: str, month: str, reason: str) -> TaxFiling:
    """Say that the tax withheld in a month was reported; from then on it is not given back by itself.

    Raises:
        MonthNotOver: the month is still going on somewhere.
        MonthFiled: it was said before.
    """
    if month >= f"{now() - _OVER_EVERYWHERE:%Y-%m}":
        raise MonthNotOver(f"{month} is not over")
    await session.execute(_LOCK, {"name": f"tax:{authority}:{month}"})
    if await session.get(TaxFiling, (authority, month)) is not None:
        raise MonthFiled(f"{month} was filed with {authority}")
    filing = TaxFiling(authority=authority, month=month, filed_at=now(), filed_by=actor.id)
    session.add(filing)
    record(session, actor, "tax.month_filed", f"tax:{authority}:{month}", reason=reason)
    await session.flush()
    return filing


async def keep_filed(session: AsyncSession, payout: Payout) -> int:
    """Return how much tax of a payout that will not happen stays withheld; makes the task when its month is filed."""
    counted = await session.get(TaxedPayout, payout.id)
    if counted is None or payout.tax_minor == 0:
        return 0
    # Shared with other payouts, not with the filing of the month: tax is either given back before it, or kept.
    await session.execute(_LOCK_SHARED, {"name": f"tax:{counted.authority}:{counted.month}"})
    if await session.get(TaxFiling, (counted.authority, counted.month), populate_existing=True) is None:
        return 0
    session.add(
        TaxTask(
            payout_id=payout.id, authority=counted.authority, month=counted.month, currency=payout.currency,
            tax_minor=payout.tax_minor,
        )
    )  # fmt: skip
    return payout.tax_minor


async def tasks(
    session: AsyncSession, query: PageQuery, state: TaxTaskState = TaxTaskState.OPEN
) -> tuple[list[TaxTask], str | None]:
    """Return one page of the tax tasks in a state, newest first."""
    return await read_page(session, select(TaxTask).where(TaxTask.state == state), TaxTask.id, query)


async def decide(session: AsyncSession, actor: Actor, task_id: UUID, verdict: TaxTaskState, reason: str) -> TaxTask:
    """Keep the tax of a returned payout for the authority, or give it back to the payee.

    Raises:
        TaxTaskUnknown: there is no such task.
        TransitionRefused: it is decided.
        InsufficientFunds: the tax was remitted, and what the authority has paid back since does not cover it.
    """
    found = await session.exec(select(TaxTask).where(TaxTask.id == task_id).with_for_update())
    task = found.first()
    if task is None:
        raise TaxTaskUnknown
    check_step(TAX_TASK_STEPS, task.state, verdict)
    if verdict is TaxTaskState.GIVEN_BACK:
        payout = await session.get_one(Payout, task.payout_id)
        payee = await session.get_one(Payee, payout.payee_id)
        legs = [
            debit(accounts.tax(task.authority), task.tax_minor),
            credit(policy.payable_path(payee.kind, payee.owner_id), task.tax_minor),
        ]
        key, facts = (
            policy.payout_key(payout.id, "tax_back"),
            {"payout_id": str(payout.id), "tax_task_id": str(task.id)},
        )
        await ledger.post(session, key, "payout.tax_back", legs, task.currency, facts=facts)
    task.state, task.decided_at, task.decided_by, task.reason = verdict, now(), actor.id, reason
    record(session, actor, f"tax_task.{verdict}", f"tax_task:{task.id}", tax_minor=task.tax_minor, reason=reason)
    return task
