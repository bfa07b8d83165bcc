"""Jobs of payments, and those by which the sandbox provider lives: its bank's answers and its webhooks."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx

from marketplace.payments import inbox, payouts, reconcile_runs, saga
from marketplace.payments.gateway import Gateway
from marketplace.payments.providers import open_gateway
from marketplace.payments.sandbox import delivery
from marketplace.payments.sandbox.gateway import SandboxGateway
from marketplace.payments.states import Subject
from workers.handlers import JobContext, handles


def _gateway(context: JobContext) -> Gateway:
    return open_gateway(context.settings, context.database)


@handles("payments.advance")
async def advance(context: JobContext, payload: dict[str, Any]) -> None:
    """Plan the next call of a charge, payee, payout or refund."""
    await saga.advance(context.session, Subject(payload["subject"]), UUID(payload["id"]))


@handles("payments.send")
async def send(context: JobContext, payload: dict[str, Any]) -> None:
    """Make a planned call; its row was committed by the job before."""
    await saga.send(context.session, _gateway(context), UUID(payload["call_id"]))


@handles("payments.resolve")
async def resolve(context: JobContext, payload: dict[str, Any]) -> None:
    """Look up a call of unknown outcome."""
    await saga.resolve(context.session, _gateway(context), UUID(payload["call_id"]))


@handles("payments.webhook")
async def webhook(context: JobContext, payload: dict[str, Any]) -> None:
    """Apply an event of the inbox."""
    await inbox.apply(context.session, _gateway(context), UUID(payload["id"]))


@handles("payments.fill_gaps", every=timedelta(minutes=15))
async def fill_gaps(context: JobContext, _payload: dict[str, Any]) -> None:
    """Fetch events whose webhook was lost."""
    await inbox.fill_gaps(context.session, _gateway(context))


@handles("payments.plan_payouts", every=timedelta(seconds=5))
async def plan_payouts(context: JobContext, _payload: dict[str, Any]) -> None:
    """Ask for the payouts of payees who want theirs automatically."""
    await payouts.plan_payouts(context.session)


@handles("payments.pay_out")
async def pay_out(context: JobContext, payload: dict[str, Any]) -> None:
    """Begin the automatic payouts of one payee."""
    await payouts.pay_out(context.session, _gateway(context), UUID(payload["payee_id"]))


@handles("payments.reconcile", every=timedelta(days=1))
async def reconcile(context: JobContext, _payload: dict[str, Any]) -> None:
    """Compare our books with the provider's, and keep what was found."""
    await reconcile_runs.run(context.session, _gateway(context))


@handles("sandbox.advance", every=timedelta(seconds=30))
async def advance_sandbox(context: JobContext, _payload: dict[str, Any]) -> None:
    """Let the sandbox's bank answer what is due."""
    await SandboxGateway(context.settings, context.database.sessions).advance()


@handles("sandbox.deliver")
async def deliver_webhook(context: JobContext, payload: dict[str, Any]) -> None:
    """Send one webhook of the sandbox to our own endpoint."""
    async with httpx.AsyncClient() as client:
        event_id, waited = UUID(payload["event_id"]), bool(payload.get("waited"))
        await delivery.deliver(context.settings, context.database, client, event_id, waited=waited)
