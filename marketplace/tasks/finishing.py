"""The end of production: when the deadline has passed, or the enterprise has enough.

Open seats close; work that is held or submitted is still decided on and paid; then the delivery follows by itself.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.queries import request_of
from marketplace.catalog.states import RequestState
from marketplace.core.actor import SYSTEM, Actor
from marketplace.tasks.bundles import active_contracts, finish_contract
from marketplace.tasks.errors import NotInProduction

_OVERDUE: Final = text(
    """
    SELECT c.request_id, c.id FROM contract c JOIN dataset_request r ON r.id = c.request_id
    WHERE c.state = 'active' AND r.state = 'in_production' AND r.deadline < now()
    ORDER BY c.request_id, c.id LIMIT 100
    """
)


async def finish_overdue(session: AsyncSession) -> int:
    """Finish contracts whose request's deadline has passed, some a call; return how many."""
    overdue = (await session.execute(_OVERDUE)).all()
    for row in overdue:
        await finish_contract(session, row.request_id, row.id)
        record(session, SYSTEM, "contract.overdue", f"contract:{row.id}")
    return len(overdue)


async def finish_request(session: AsyncSession, actor: Actor, request_id: UUID) -> int:
    """End a request's production early: what was labeled so far becomes its delivery. Returns how many contracts end.

    Raises:
        NotInProduction: nobody works on it (any more).
    """
    request = await request_of(session, actor, request_id, lock=True)
    if request.state is not RequestState.IN_PRODUCTION:
        raise NotInProduction(f"It is {request.state!s}.", state=str(request.state))
    contracts = await active_contracts(session, request_id)
    for contract in contracts:
        await finish_contract(session, request_id, contract.id)
    record(session, actor, "request.finished_early", f"request:{request_id}", contracts=len(contracts))
    return len(contracts)
