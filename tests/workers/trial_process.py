"""A worker process with a kind of job more, which ends at its second try: `python -m tests.workers.trial_process`."""

import asyncio
import os
import sys

from sqlalchemy import text
from sqlmodel import col, select

from marketplace.core.outbox import emit
from marketplace.core.schedule import Schedule
from tests.workers.conftest import EFFECT, KIND
from workers import main
from workers.handlers import handles
from workers.session import run_command

BEGUN = "begun by "


@handles(KIND)
async def endless_at_first(context, _payload):
    """Leave a mark, committed beside the job's transaction, and wait for ever; the next try finds the mark and ends."""
    begun = await context.session.exec(select(Schedule).where(col(Schedule.kind).startswith(BEGUN)))
    emit(context.session, EFFECT, {})
    if begun.first() is None:
        await run_command(context.database, _leave_mark)
        await asyncio.sleep(3600)


async def _leave_mark(session):
    await session.execute(
        text("INSERT INTO schedule (kind, next_at) VALUES (:kind, now() + interval '1 day')"),
        {"kind": f"{BEGUN}{os.getpid()}"},
    )


if __name__ == "__main__":
    sys.argv[1:] = ["--queues", "bundles"]
    main.main()
