"""Tax: months that are filed, tax of payouts that came back later, and payees' tax forms."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, status
from pydantic import BaseModel, ConfigDict, Field

from api.idempotency import OnceOnly
from api.routes.money import Paging
from api.routes.operator_ledger import Finance, WithReason
from api.routes.operator_ledger import Reader as FinanceReader
from api.session import Session
from marketplace.core.paging import Page
from marketplace.payments import filing
from marketplace.payments.states import TaxTaskState

router = APIRouter(prefix="/v1", tags=["Tax"])
Year = Annotated[int, Query(ge=2000, le=9999)]


class FileMonth(WithReason):
    """Say that the tax withheld in a month was reported to its authority."""

    authority: Annotated[str, Field(pattern=r"^[a-z0-9_]{2,32}$", description="As the table of rates names it")]
    month: Annotated[str, Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$", examples=["2026-10"])]


class DecideTaxTask(WithReason):
    """Keep the tax of a returned payout for the authority, or give it back to the payee."""

    verdict: Literal[TaxTaskState.KEPT, TaxTaskState.GIVEN_BACK]


class TaxFilingView(BaseModel):
    """A month that was reported."""

    model_config = ConfigDict(from_attributes=True)

    authority: str
    month: str
    filed_at: datetime
    filed_by: UUID


class TaxTaskView(BaseModel):
    """Tax of a payout that came back after its month was filed, and what was decided."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    payout_id: UUID
    authority: str
    month: str
    currency: str
    tax_minor: int
    state: TaxTaskState
    created_at: datetime
    decided_at: datetime | None
    reason: str | None


@router.get("/operator/tax/months")
async def list_tax_months(_actor: FinanceReader, session: Session, year: Year) -> list[filing.TaxMonthView]:
    """List what was withheld in each month of a year, by authority and currency, and which months are filed."""
    return await filing.months(session, year)


@router.post("/operator/tax/filings", status_code=status.HTTP_201_CREATED)
async def file_tax_month(actor: Finance, session: Session, once: OnceOnly, body: FileMonth) -> TaxFilingView:
    """Mark a month as filed: tax of its payouts that come back later is not given back by itself."""

    async def command() -> TaxFilingView:
        filed = await filing.mark_filed(session, actor, body.authority, body.month, body.reason)
        return TaxFilingView.model_validate(filed)

    return await once.run(TaxFilingView, command)


@router.get("/operator/tax/tasks")
async def list_tax_tasks(
    _actor: FinanceReader, session: Session, query: Paging, state: TaxTaskState = TaxTaskState.OPEN
) -> Page[TaxTaskView]:
    """List the tax of payouts that came back after their month was filed, newest first."""
    rows, cursor = await filing.tasks(session, query, state)
    return Page(items=[TaxTaskView.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("/operator/tax/tasks/{task_id}/decision")
async def decide_tax_task(
    actor: Finance, session: Session, once: OnceOnly, task_id: UUID, body: DecideTaxTask
) -> TaxTaskView:
    """Keep such tax for the authority, or give it back to the payee."""

    async def command() -> TaxTaskView:
        return TaxTaskView.model_validate(await filing.decide(session, actor, task_id, body.verdict, body.reason))

    return await once.run(TaxTaskView, command)
