"""A bonus: an enterprise thanks a worker whose work it accepted, with money of its own; the worker sees the reason."""

from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import request_of
from marketplace.catalog.states import RequestState
from marketplace.core.actor import Actor
from marketplace.core.ids import new_id
from marketplace.core.money import PRICE_SCALE, Money
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.quality.aliases import worker_alias
from marketplace.settlement.closing import contestable_minor
from marketplace.settlement.errors import BonusWorkerUnknown, ReserveNotForBonus
from marketplace.settlement.funding import FUNDABLE
from marketplace.settlement.schemas import BonusView, GiveBonus
from marketplace.settlement.states import BonusSource
from marketplace.tasks.models import Claim
from marketplace.tasks.states import ClaimState

BONUS: Final = "bonus"
_RUNNING: Final = FUNDABLE - {RequestState.DRAFT}
# What the seats that are planned will still earn, when all of their work is accepted.
_PLANNED: Final = text(
    """
    SELECT coalesce(sum(greatest(ceil(p.planned_units * k.unit_price / CAST(:scale AS numeric))
                                 - coalesce(t.accrued_minor, 0), 0)), 0)
    FROM contract_plan p JOIN contract k ON k.request_id = p.request_id AND k.id = p.contract_id
    LEFT JOIN contract_accrual t ON t.request_id = p.request_id AND t.contract_id = p.contract_id
    WHERE p.request_id = :request
    """
)


async def give_bonus(session: AsyncSession, actor: Actor, request_id: UUID, command: GiveBonus) -> BonusView:
    """Give a worker of a request a bonus; it is theirs at once, and no fee is taken from it.

    The caps are the field's limit and what the enterprise has there: prepaid cash, or the reserve of a running request
    but for what its planned work and open appeals may earn, so that no bonus takes the pay of others.

    Raises:
        RequestNotFound: it is not the actor's.
        BonusWorkerUnknown: no worker of this name has accepted work in the request.
        ReserveNotForBonus: the reserve is named, and the request does not run, or its work needs that money.
        InsufficientFunds: there is not that much.
    """
    request = await request_of(session, actor, request_id, lock=True)
    worker_id = await _accepted_worker(session, request.id, command.worker)
    bonus_id = new_id()
    legs = [
        debit(await _source(session, request, command, worker_id), command.amount_minor),
        credit(accounts.worker(worker_id), command.amount_minor),
    ]
    facts = {"bonus_id": str(bonus_id), "request_id": str(request.id), "reason": command.reason}
    await ledger.post(session, f"bonus:{bonus_id}", BONUS, legs, request.currency, facts=facts)
    record(
        session, actor, "bonus.given", f"request:{request.id}", organisation_id=request.organisation_id,
        bonus=str(bonus_id), worker=str(worker_id), amount_minor=command.amount_minor, currency=request.currency,
        paid_from=command.paid_from.value, reason=command.reason,
    )  # fmt: skip
    return BonusView(id=bonus_id, request_id=request.id, currency=request.currency, **command.model_dump())


async def _source(session: AsyncSession, request: DatasetRequest, command: GiveBonus, worker_id: UUID) -> str:
    if command.paid_from is BonusSource.CASH:
        return accounts.org_cash(request.organisation_id)
    if request.state not in _RUNNING:
        raise ReserveNotForBonus(f"It is {request.state!s}; pay from cash.", state=str(request.state))
    path = accounts.reserved(request.id)
    # Held before what is promised is read: an accrual moves both, and holds the reserve until both are written.
    touched = {(path, request.currency), (accounts.worker(worker_id), request.currency)}
    left = (await ledger.hold(session, touched))[path, request.currency].balance_minor or 0
    planned = (await session.execute(_PLANNED, {"request": request.id, "scale": PRICE_SCALE})).scalar_one()
    needed = int(planned) + await contestable_minor(session, request)
    if needed > 0 and command.amount_minor > left - needed:
        free = Money(max(left - needed, 0), request.currency)
        raise ReserveNotForBonus(f"{free} are not needed for planned work and appeals; pay from cash.")
    return path


async def _accepted_worker(session: AsyncSession, request_id: UUID, alias: str) -> UUID:
    """Return the worker with accepted work in the request whom its readers know under this name."""
    found = await session.exec(
        select(Claim.worker_id).where(Claim.request_id == request_id, Claim.state == ClaimState.ACCEPTED).distinct()
    )
    for worker_id in found:
        if worker_alias(request_id, worker_id) == alias:
            return worker_id
    raise BonusWorkerUnknown
