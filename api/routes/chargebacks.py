"""Chargebacks, as the operator and the enterprise whose top-up is taken back see them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from api.auth import Allow
from api.routes.money import Paging
from api.session import Session
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.paging import Page
from marketplace.identity.queries import visible_organisation
from marketplace.payments import chargebacks
from marketplace.payments.states import ChargebackState

router = APIRouter(prefix="/v1", tags=["Money"])

Reader = Annotated[Actor, Allow(Scope.MONEY_READ)]
Operator = Annotated[Actor, Allow(Scope.MONEY_READ, Role.OPERATOR_FINANCE, Role.ADMIN, kind=OrganisationKind.OPERATOR)]
State = Annotated[ChargebackState | None, Query(description="Only those in this state")]


class ChargebackView(BaseModel):
    """A top-up that the payer's bank takes back. Amounts in minor units.

    Of `amount_minor`, `frozen_minor` was frozen when it was opened, and `uncovered_minor` was not there to freeze: the
    enterprise owes it if the chargeback is lost. `evidence_due_at` is until when the provider takes evidence.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    charge_id: UUID
    organisation_id: UUID
    provider: str
    remote_ref: str
    state: ChargebackState
    amount_minor: int
    fee_minor: int
    frozen_minor: int
    uncovered_minor: int
    currency: str
    reason: str
    evidence_due_at: datetime | None
    created_at: datetime
    changed_at: datetime


@router.get("/operator/chargebacks")
async def list_all_chargebacks(
    _actor: Operator, session: Session, query: Paging, state: State = None
) -> Page[ChargebackView]:
    """List the chargebacks of all enterprises, newest first."""
    rows, cursor = await chargebacks.page_of(session, query, state=state)
    return Page(items=[ChargebackView.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/organisations/{organisation_id}/chargebacks")
async def list_chargebacks(
    actor: Reader, session: Session, organisation_id: UUID, query: Paging, state: State = None
) -> Page[ChargebackView]:
    """List the chargebacks of an organisation's top-ups, newest first."""
    organisation = await visible_organisation(session, actor, organisation_id)
    rows, cursor = await chargebacks.page_of(session, query, organisation_id=organisation.id, state=state)
    return Page(items=[ChargebackView.model_validate(row) for row in rows], next_cursor=cursor)
