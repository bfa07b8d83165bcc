"""A request whose work is done and that is before its enterprise."""

from typing import Any
from uuid import UUID

from sqlmodel import select

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import RequestState
from marketplace.matching.models import Contract
from marketplace.matching.states import ContractState
from marketplace.quality import completion
from tests.quality.test_completion import make_mixed
from tests.quality.work import Work
from workers.handlers import WorkerResources


async def make_delivered(shared: WorkerResources, organisation: UUID | None = None, **fields: Any) -> Work:
    """Three answers a task with some disagreement, delivered; the request may be of an organisation of yours."""
    work = await make_mixed(shared.database, shared.settings)
    async with work.database.sessions() as session:
        request = await session.get_one(DatasetRequest, work.request.id)
        contract = (await session.exec(select(Contract).where(Contract.request_id == request.id))).one()
        request.state = RequestState.IN_PRODUCTION
        request.organisation_id = organisation or request.organisation_id
        for name, value in fields.items():
            setattr(request, name, value)
        contract.state = ContractState.COMPLETED
        session.add_all([request, contract])
        await session.flush()
        assert await completion.deliver(session, request.id) is not None
        await session.commit()
    return work
