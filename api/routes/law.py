"""What law asks of the operator: which figures and choices are missing, and who earned less than a minimum."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from api.routes.money import Paging
from api.routes.operator_ledger import Reader as FinanceReader
from api.session import Session, Shared
from marketplace.core.clock import now
from marketplace.core.paging import Page
from marketplace.settlement import minimum_pay
from marketplace.settlement.law import LawFact, law_facts
from marketplace.settlement.states import MinimumPayAction, PaidFrom

router = APIRouter(prefix="/v1/operator", tags=["Law"])
OfRequest = Annotated[UUID | None, Query(description="Of this request only")]


class MinimumPayView(BaseModel):
    """A worker who earned less than the minimum of the time a request took, and what was paid on top."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    request_id: UUID
    worker_id: UUID
    region: str
    source: str
    action: MinimumPayAction
    currency: str
    seconds: float
    earned_minor: int
    minimum_minor: int
    topped_up_minor: int
    paid_from: PaidFrom | None
    created_at: datetime


@router.get("/law")
async def list_law_facts(_actor: FinanceReader, shared: Shared) -> list[LawFact]:
    """List what law asks you to set: what is set, what is missing, and what cannot be used."""
    return law_facts(shared.settings, now().date())


@router.get("/minimum-pay")
async def list_missed_minimum_pay(
    _actor: FinanceReader, session: Session, query: Paging, request_id: OfRequest = None
) -> Page[MinimumPayView]:
    """List who earned less than the minimum on closed requests, newest first."""
    rows, cursor = await minimum_pay.missed(session, query, request_id)
    return Page(items=[MinimumPayView.model_validate(row) for row in rows], next_cursor=cursor)
