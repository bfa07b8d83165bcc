"""The operator's list of clearing accounts that should be empty by now."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.routes.money import Paging
from api.routes.operator_ledger import Reader
from api.session import Session
from marketplace.core.paging import Page
from marketplace.settlement.clearing import ClearingAccount, Limits, old_clearing_accounts

router = APIRouter(prefix="/v1/operator", tags=["Money"])

Days = Annotated[float, Query(ge=0, le=365)]


def _limits(
    accrued_days: Days = 2,
    payout_pending_days: Days = 3,
    refund_pending_days: Days = 3,
    in_transit_days: Days = 3,
    suspense_days: Days = 1,
) -> Limits:
    return Limits(
        accrued=timedelta(days=accrued_days),
        payout_pending=timedelta(days=payout_pending_days),
        refund_pending=timedelta(days=refund_pending_days),
        in_transit=timedelta(days=in_transit_days),
        suspense=timedelta(days=suspense_days),
    )


@router.get("/clearing-accounts")
async def list_old_clearing_accounts(
    _actor: Reader, session: Session, limits: Annotated[Limits, Depends(_limits)], query: Paging
) -> Page[ClearingAccount]:
    """List clearing accounts with money older than its limit; accrued money may stay for its dispute window besides."""
    return await old_clearing_accounts(session, limits, query)
