"""Reads of settlement: where the money of a request, an enterprise, a vendor or a worker is."""

from uuid import UUID

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import RequestState
from marketplace.core.paging import Page, PageQuery
from marketplace.ledger import accounts
from marketplace.ledger import queries as ledger
from marketplace.payments.policy import payable_path
from marketplace.payments.queries import PaidOut, paid_out
from marketplace.payments.states import PayeeKind
from marketplace.settlement.models import Accrual
from marketplace.settlement.schemas import BalanceView, EarningsView, RequestMoneyView, StatementLineView
from marketplace.settlement.states import AccrualState

_WITHOUT_MONEY = (RequestState.DRAFT, RequestState.CANCELLED)


async def money_of_request(session: AsyncSession, request: DatasetRequest) -> RequestMoneyView:
    """Return where a request's money is."""
    path, currency = accounts.reserved(request.id), request.currency
    by_state = await session.exec(
        select(Accrual.state, func.sum(col(Accrual.amount_minor)))
        .where(Accrual.request_id == request.id)
        .group_by(col(Accrual.state))
    )
    sums = {state: int(total) for state, total in by_state}
    accrued = sums.get(AccrualState.ACCRUED, 0)
    released = sums.get(AccrualState.RELEASED, 0)
    # What was taken back of a bonus is in the reserve again.
    bonuses = -sum([await ledger.moved(session, path, currency, kind) for kind in ("bonus", "reverse")])
    topped_up = -await ledger.moved(session, path, currency, "minimum_pay")
    return RequestMoneyView(
        request_id=request.id,
        currency=currency,
        funded_minor=await ledger.moved(session, path, currency, "fund"),
        reserved_minor=await ledger.balance(session, path, currency),
        accrued_minor=accrued,
        released_minor=released,
        bonuses_minor=bonuses,
        minimum_pay_minor=topped_up,
        spent_minor=accrued + released + bonuses + topped_up,
        charged_back_minor=-await ledger.moved(session, path, currency, "chargeback.open"),
        refunded_minor=-await ledger.moved(session, path, currency, "close"),
    )


async def balance_of_enterprise(session: AsyncSession, organisation_id: UUID) -> list[BalanceView]:
    """Return an enterprise's money per currency; of closed requests too, which keep some while appeals are possible."""
    its = (DatasetRequest.organisation_id == organisation_id, col(DatasetRequest.state).not_in(_WITHOUT_MONEY))
    requests = await session.exec(select(DatasetRequest.id).where(*its))
    reserved = await _sum_by_currency(session, [accounts.reserved(request_id) for request_id in requests])
    available = await _sum_by_currency(session, [accounts.org_cash(organisation_id)])
    found = await session.exec(
        select(Accrual.currency, func.sum(col(Accrual.amount_minor)))
        .join(DatasetRequest, col(DatasetRequest.id) == col(Accrual.request_id))
        .where(*its, Accrual.state == AccrualState.ACCRUED)
        .group_by(col(Accrual.currency))
    )
    accrued = {currency: int(total) for currency, total in found}
    return [
        BalanceView(
            currency=currency,
            available_minor=available.get(currency, 0),
            reserved_minor=reserved.get(currency, 0),
            accrued_minor=accrued.get(currency, 0),
        )
        for currency in sorted({*available, *reserved, *accrued})
    ]


async def balance_of_payee(session: AsyncSession, kind: PayeeKind, owner_id: UUID) -> list[BalanceView]:
    """Return per currency what a vendor or worker can have paid out, and what is still inside its dispute window."""
    return [
        BalanceView(
            currency=line.currency,
            available_minor=line.cleared_minor,
            reserved_minor=0,
            accrued_minor=line.pending_minor,
        )
        for line in await earnings(session, kind, owner_id)
    ]


async def _sum_by_currency(session: AsyncSession, paths: list[str]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for found in await ledger.balances(session, paths):
        sums[found.currency] = sums.get(found.currency, 0) + found.minor
    return sums


async def earnings(session: AsyncSession, kind: PayeeKind, owner_id: UUID) -> list[EarningsView]:
    """Return a vendor's or worker's money per currency."""
    is_vendor = kind is PayeeKind.VENDOR
    part = col(Accrual.vendor_minor) if is_vendor else col(Accrual.worker_minor)
    owner = col(Accrual.vendor_organisation_id) if is_vendor else col(Accrual.worker_id)
    found = await session.exec(
        select(Accrual.currency, func.sum(part))
        .where(owner == owner_id, Accrual.state == AccrualState.ACCRUED)
        .group_by(col(Accrual.currency))
    )
    pending = {currency: int(total) for currency, total in found}
    cleared = await _sum_by_currency(session, [payable_path(kind, owner_id)])
    paid = await paid_out(session, kind, owner_id)
    return [
        EarningsView(
            currency=currency,
            pending_minor=pending.get(currency, 0),
            cleared_minor=cleared.get(currency, 0),
            on_the_way_minor=paid.get(currency, PaidOut(0, 0)).on_the_way_minor,
            paid_minor=paid.get(currency, PaidOut(0, 0)).paid_minor,
        )
        for currency in sorted({*pending, *cleared, *paid})
    ]


async def statement(session: AsyncSession, path: str, currency: str, query: PageQuery) -> Page[StatementLineView]:
    """Return one page of the movements on a balance, newest first."""
    lines, cursor = await ledger.statement(session, [path], currency, query)
    return Page(items=[StatementLineView.model_validate(line) for line in lines], next_cursor=cursor)
