"""Reserving an enterprise's prepaid money for a request."""

from typing import Final
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import request_of
from marketplace.catalog.service import move
from marketplace.catalog.states import RequestState
from marketplace.core import dead_letters
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
    RequestState.IN_ACCEPTANCE, RequestState.DELIVERED,  # accepted work may still lack what a chargeback took
})  # fmt: skip
_WAIT_FOR_MONEY: Final = ("settlement.accrue", "settlement.accrue_again")


async def fund(session: AsyncSession, actor: Actor, request_id: UUID, amount_minor: int) -> DatasetRequest:
    """Move prepaid money into a request's reserve; the first time it makes a draft `funded`.

    Accruals that lacked money in the reserve are tried again.

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
    short = await dead_letters.waiting_for(session, _WAIT_FOR_MONEY, request_id=str(request_id))
    await dead_letters.replay(session, short)
    record(
        session, actor, "request.funded", f"request:{request_id}",
        organisation_id=request.organisation_id, amount_minor=amount_minor, currency=request.currency,
        tried_again=len(short),
    )  # fmt: skip
    return request
