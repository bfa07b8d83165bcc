"""A worker process that kills itself once at each step of a payout: `python -m tests.workers.dying_process`.

Which deaths were died is kept in the database, by a connection of their own, so that the next process goes on.
"""

import os
import signal
import sys
from uuid import UUID

from sqlalchemy import text

from marketplace.payments.models import Payee, Payout, ProviderCall, WebhookEvent
from marketplace.payments.states import Subject
from workers import main
from workers.handlers import HANDLERS
from workers.session import run_command

DIED = "died at "
_SENDS = ("send payee", "send transfer", "send payout")
_OTHERS = (
    "advance payout reserved", "advance payee new", "advance payout transferred", "webhook payout",
)  # fmt: skip
# begun: nothing is done yet; done: the provider has answered, nothing is committed; committed: the queue does not know
DEATHS = frozenset(
    [f"{step}, {moment}" for step in _SENDS for moment in ("begun", "done", "committed")]
    + [f"{step}, {moment}" for step in _OTHERS for moment in ("done", "committed")]
)
_MARK = text(
    "INSERT INTO schedule (kind, next_at) VALUES (:kind, now() + interval '1 day') ON CONFLICT DO NOTHING"
    " RETURNING kind"
)


async def _step_of(database, kind, payload) -> str:
    """Name the step of a payout that a job is, as in `DEATHS`."""
    async with database.sessions() as session:
        match kind:
            case "payments.send":
                return f"send {(await session.get_one(ProviderCall, UUID(payload['call_id']))).leg}"
            case "payments.webhook":
                return f"webhook {(await session.get_one(WebhookEvent, UUID(payload['id']))).object_kind}"
            case "payments.advance" if payload["subject"] in {Subject.PAYOUT, Subject.PAYEE}:
                model = Payout if payload["subject"] == Subject.PAYOUT else Payee
                return f"advance {payload['subject']} {(await session.get_one(model, UUID(payload['id']))).state}"
    return ""


async def _die(database, step, moment) -> None:
    death = f"{step}, {moment}"
    if death not in DEATHS:
        return

    async def mark(session):
        return (await session.execute(_MARK, {"kind": DIED + death})).first() is not None

    if await run_command(database, mark):
        os.kill(os.getpid(), signal.SIGKILL)


def _mortal(handler, kind):
    async def handle(context, payload):
        step = await _step_of(context.database, kind, payload)
        await _die(context.database, step, "begun")
        await handler(context, payload)
        await _die(context.database, step, "done")

    return handle


async def _run_once(shared, job_id, kind, payload):
    step = await _step_of(shared.database, kind, payload)
    await _once(shared, job_id, kind, payload)
    await _die(shared.database, step, "committed")


if __name__ == "__main__":
    sys.argv[1:] = []
    main.load_handlers()
    for name in ("payments.send", "payments.advance", "payments.webhook"):
        HANDLERS[name] = _mortal(HANDLERS[name], name)
    _once, main.run_once = main.run_once, _run_once
    main.main()
