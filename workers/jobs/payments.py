"""Jobs of payments, and those by which the sandbox provider lives: its bank's answers and its webhooks."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx

from marketplace.core.outbox import emit
from marketplace.payments import inbox, payouts, queries, reconcile_runs, saga
from marketplace.payments.gateway import Gateway
from marketplace.payments.providers import open_gateway
from marketplace.payments.sandbox import delivery
from marketplace.payments.sandbox.gateway import SandboxGateway
from marketplace.payments.states import Subject
from workers.handlers import JobContext, handles


def _gateway(context: JobContext, provider: str) -> Gateway:
    return open_gateway(context.settings, context.database, provider)


async def _gateway_of_call(context: JobContext, call_id: UUID) -> Gateway:
    return _gateway(context, await queries.provider_of_call(context.session, call_id))


def _named(context: JobContext, payload: dict[str, Any]) -> str:
    return str(payload.get("provider") or context.settings.payment_provider)


def _ask_for_others(context: JobContext, kind: str, payload: dict[str, Any]) -> None:
    """Let a scheduled job, which names no provider, run for the others in use too; after it, for it may roll back."""
    if "provider" not in payload:
        for name in context.settings.providers_in_use[1:]:
            emit(context.session, kind, {"provider": name})


@handles("payments.advance")
async def advance(context: JobContext, payload: dict[str, Any]) -> None:
    """Plan the next call of a charge, payee, payout or refund."""
    await saga.advance(context.session, Subject(payload["subject"]), UUID(payload["id"]))


@handles("payments.send")
async def send(context: JobContext, payload: dict[str, Any]) -> None:
    """Make a planned call; its row was committed by the job before."""
    call_id = UUID(payload["call_id"])
    await saga.send(context.session, await _gateway_of_call(context, call_id), call_id)


@handles("payments.resolve")
async def resolve(context: JobContext, payload: dict[str, Any]) -> None:
    """Look up a call of unknown outcome."""
    call_id = UUID(payload["call_id"])
    await saga.resolve(context.session, await _gateway_of_call(context, call_id), call_id)


@handles("payments.webhook")
async def webhook(context: JobContext, payload: dict[str, Any]) -> None:
    """Apply an event of the inbox."""
    row_id = UUID(payload["id"])
    gateway = _gateway(context, await queries.provider_of_event(context.session, row_id))
    await inbox.apply(context.session, gateway, row_id)


@handles("payments.fill_gaps", every=timedelta(minutes=15))
async def fill_gaps(context: JobContext, payload: dict[str, Any]) -> None:
    """Fetch events whose webhook was lost; each provider in a job of its own."""
    await inbox.fill_gaps(context.session, _gateway(context, _named(context, payload)))
    _ask_for_others(context, "payments.fill_gaps", payload)


@handles("payments.plan_payouts", every=timedelta(seconds=5))
async def plan_payouts(context: JobContext, _payload: dict[str, Any]) -> None:
    """Ask for the payouts of payees who want theirs automatically."""
    await payouts.plan_payouts(context.session, context.settings.pays_out_by)


@handles("payments.pay_out")
async def pay_out(context: JobContext, payload: dict[str, Any]) -> None:
    """Begin the automatic payouts of one payee."""
    gateway = _gateway(context, context.settings.pays_out_by)
    await payouts.pay_out(context.session, gateway, UUID(payload["payee_id"]))


@handles("payments.reconcile", every=timedelta(days=1))
async def reconcile(context: JobContext, payload: dict[str, Any]) -> None:
    """Compare our books with the provider's, and keep what was found; each provider in a job of its own."""
    await reconcile_runs.run(context.session, _gateway(context, _named(context, payload)))
    _ask_for_others(context, "payments.reconcile", payload)


@handles("sandbox.advance", every=timedelta(seconds=30))
async def advance_sandbox(context: JobContext, _payload: dict[str, Any]) -> None:
    """Let the sandbox's bank answer what is due."""
    await SandboxGateway(context.settings, context.database.sessions).advance()


@handles("sandbox.deliver")
async def deliver_webhook(context: JobContext, payload: dict[str, Any]) -> None:
    """Send one webhook of the sandbox to our own endpoint."""
    async with httpx.AsyncClient() as client:
        await delivery.deliver(context.settings, context.database, client, UUID(payload["event_id"]))
