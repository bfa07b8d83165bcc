"""The periodic jobs of vetting and identity, run as the workers run them."""

from datetime import timedelta

from sqlmodel import select

from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.outbox import emit
from marketplace.identity.models import RefreshToken
from marketplace.vetting.models import VettingFile
from marketplace.vetting.states import VettingState
from tests.factories.identity import make_approved_worker
from tests.jobs import run_outbox
from workers.handlers import SCHEDULE, WorkerResources


async def test_approvals_expire_and_old_tokens_go_when_the_jobs_run(
    database: Database, worker_resources: WorkerResources
) -> None:
    kinds = {"vetting.expire", "identity.forget_ended_tokens"}
    assert kinds <= {periodic.kind for periodic in SCHEDULE}
    async with database.sessions.begin() as session:
        worker = await make_approved_worker(session)
        file = (await session.exec(select(VettingFile))).one()
        file.expires_at = now() - timedelta(seconds=1)
        ended = now() - timedelta(days=100)
        session.add(RefreshToken(person_id=worker.person.id, family_id=file.id, digest=b"", expires_at=ended))
        for kind in kinds:
            emit(session, kind, {})
    # an approval that ends has the worker's contracts looked at again
    assert set(await run_outbox(worker_resources)) == {*kinds, "tasks.recheck_worker"}
    async with database.sessions() as session:
        assert (await session.exec(select(VettingFile.state))).one() is VettingState.EXPIRED
        assert (await session.exec(select(RefreshToken))).all() == []
