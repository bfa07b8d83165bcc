"""The end of production: by deadline, or when the enterprise has enough."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from marketplace.core.actor import Role
from marketplace.core.clock import now
from marketplace.core.errors import NotFound
from marketplace.core.outbox import emit
from marketplace.matching.models import Contract
from marketplace.matching.states import ContractState
from marketplace.tasks import claims, finishing, submissions
from marketplace.tasks.errors import NothingOpen, NotInProduction
from tests.factories.identity import make_enterprise, make_member
from tests.factories.work import answers_for, committed_work, make_work
from tests.jobs import run_outbox


async def _author(session, work):
    organisation_id = work.request.organisation_id
    found = await session.execute(text("SELECT * FROM organisation WHERE id = :id"), {"id": organisation_id})
    return (await make_member(session, found.one(), Role.OWNER)).actor


async def test_production_ends_when_the_deadline_has_passed(session):
    late = await make_work(session, deadline=now() - timedelta(seconds=1))
    in_time = await make_work(session)
    assert await finishing.finish_overdue(session) == 1
    assert await finishing.finish_overdue(session) == 0
    states = [(await session.get_one(Contract, (work.request.id, work.contract.id))).state for work in (late, in_time)]
    assert states == [ContractState.COMPLETED, ContractState.ACTIVE]
    left = await session.execute(text("SELECT count(*) FROM open_seat WHERE request_id = :r"), {"r": late.request.id})
    assert left.scalar_one() == 0


async def test_enterprise_ends_its_own_production_only_while_it_runs(session):
    work = await make_work(session)
    with pytest.raises(NotFound):
        await finishing.finish_request(session, (await make_enterprise(session)).actor, work.request.id)
    author, request_id = await _author(session, work), work.request.id
    assert await finishing.finish_request(session, author, request_id) == 1
    await session.execute(text("UPDATE dataset_request SET state = 'in_acceptance'"))
    session.expire_all()
    with pytest.raises(NotInProduction):
        await finishing.finish_request(session, author, request_id)


async def test_work_in_hand_counts_and_the_delivery_follows_when_production_ends(database, worker_resources):
    work = await committed_work(database, quality_plan={"min_seconds_per_task": 0})
    first, second = work.workers
    async with database.hot.acquire() as connection:
        held = await claims.claim_seat(connection, work.command(first))
        answers = await answers_for(connection, work, first, held)
        async with database.sessions() as session:
            await finishing.finish_request(session, await _author(session, work), work.request.id)
            await session.commit()
        with pytest.raises(NothingOpen):
            await claims.claim_seat(connection, work.command(second))
        taken = await submissions.submit(connection, work.submission(first, held, answers))
        assert taken.state == "submitted"
        await run_outbox(worker_resources, only="quality")
        assert await connection.fetchval("SELECT state FROM claim WHERE id = $1", held.id) == "accepted"
        async with database.sessions() as session:
            emit(session, "quality.sweep", {})
            await session.commit()
        await run_outbox(worker_resources, only="quality")
        assert await connection.fetchval("SELECT state FROM dataset_request") == "in_acceptance"
