"""Reserving an enterprise's prepaid money for a request."""

from typing import Final
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import request_of
from marketplace.catalog.service import move
from marketplace.catalog.states import RequestState
from marketplace.core.actor import Actor
from marketplace.core.errors import FieldProblem
from marketplace.core.ids import new_id
from marketplace.core.money import Money
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.settlement.errors import FundingTooSmall, NotFundable

FUNDABLE: Final = frozenset({
    RequestState.DRAFT, RequestState.FUNDED, RequestState.OPEN, RequestState.AWARDED, RequestState.IN_PRODUCTION,
    RequestState.IN_ACCEPTANCE,
})  # fmt: skip


async def fund(session: AsyncSession, actor: Actor, request_id: UUID, amount_minor: int) -> DatasetRequest:
    """Move prepaid money into a request's reserve; the first time it makes a draft `funded`.

    Raises:
        RequestNotFound: it is not the actor's.
        NotFundable: it has ended, or is suspended.
        FundingTooSmall: a draft is funded with less than its budget.
        InsufficientFunds: the prepaid balance does not hold that.
    """
    request = await request_of(session, actor, request_id, lock=True)
    if request.state not in FUNDABLE:
        raise NotFundable(f"It is {request.state!s}.", state=str(request.state))
    if request.state is RequestState.DRAFT and amount_minor < request.budget_minor:
        reason = f"must be at least the budget of {Money(request.budget_minor, request.currency)}"
        raise FundingTooSmall(f"amount_minor {reason}", fields=[FieldProblem("amount_minor", reason)])
    if request.state is RequestState.DRAFT:
        request = await move(session, request, RequestState.FUNDED)
    legs = [
        debit(accounts.org_cash(request.organisation_id), amount_minor),
        credit(accounts.reserved(request.id), amount_minor),
    ]
    facts = {"request_id": str(request.id)}
    await ledger.post(session, f"fund:{request_id}:{new_id()}", "fund", legs, request.currency, facts=facts)
    record(
        session, actor, "request.funded", f"request:{request_id}",
        organisation_id=request.organisation_id, amount_minor=amount_minor, currency=request.currency,
    )  # fmt: skip
    return request
