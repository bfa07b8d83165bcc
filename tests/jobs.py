"""Running the outbox in a test as the workers do, one job one transaction, without arq between."""

from sqlmodel import col, select

from marketplace.core.clock import now
from marketplace.core.outbox import Outbox
from workers.handlers import WorkerResources
from workers.session import run_once


async def run_outbox(shared: WorkerResources, *, rounds: int = 50, only: str = "") -> list[str]:
    """Run all jobs that are due (kinds that begin with `only`), and those that they ask for; return the kinds run."""
    ran: list[str] = []
    for _ in range(rounds):
        async with shared.database.sessions() as session:
            found = await session.exec(
                select(Outbox)
                .where(col(Outbox.due_at) <= now(), col(Outbox.kind).startswith(only))
                .order_by(col(Outbox.due_at), col(Outbox.id))
            )
            jobs = found.all()
        if not jobs:
            return ran
        for job in jobs:
            await run_once(shared, job.id, job.kind, job.payload)
            ran.append(job.kind)
    raise AssertionError(f"the outbox did not run empty in {rounds} rounds; last: {ran[-10:]}")
