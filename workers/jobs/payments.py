"""Jobs of payments, and those by which the sandbox provider lives: its bank's answers and its webhooks."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import structlog

from marketplace.core.outbox import emit
from marketplace.payments import inbox, kyc, old_cash, pauses, planning, queries, reconcile_runs, saga
from marketplace.payments.control_states import PauseScope
from marketplace.payments.errors import ProviderUnknown
from marketplace.payments.gateway import Gateway
from marketplace.payments.periods import longest_stay
from marketplace.payments.providers import open_gateway
from marketplace.payments.rules import payout_rules
from marketplace.payments.sandbox import delivery
from marketplace.payments.sandbox.gateway import SandboxGateway
from marketplace.payments.states import Subject
from workers.handlers import JobContext, handles

log = structlog.get_logger()


def _gateway(context: JobContext, provider: str) -> Gateway:
    return open_gateway(context.settings, context.database, provider)


async def _gateway_of_call(context: JobContext, call_id: UUID) -> Gateway:
    return _gateway(context, await queries.provider_of_call(context.session, call_id))


async def _gateway_of_payee(context: JobContext, payee_id: UUID) -> Gateway:
    return _gateway(context, await queries.provider_of_payee(context.session, payee_id))


def _stay(context: JobContext, provider: str) -> timedelta:
    """Return how long money may stay with a provider."""
    limit = _gateway(context, provider).capabilities().hold_limit
    return longest_stay(limit, context.settings.provider_hold_limit_days)


async def _providers(context: JobContext) -> list[str]:
    """Return the providers that hold something of ours and can be asked.

    One of old rows that is not set up any more cannot: the log says so each time, and all others have their jobs.
    """
    in_use = await queries.providers_in_use(context.session, context.settings.providers_in_use)
    usable: list[str] = []
    for provider in in_use:
        try:
            _gateway(context, provider)
        except ProviderUnknown:
            log.error("payments.provider_not_set_up", provider=provider)  # noqa: TRY400  # no trace of interest
        else:
            usable.append(provider)
    return usable


async def _stays(context: JobContext) -> dict[str, timedelta]:
    return {provider: _stay(context, provider) for provider in await _providers(context)}


async def _each_provider(context: JobContext, kind: str) -> None:
    """Ask for a job a provider, as each ends its transaction while the provider answers."""
    for provider in await _providers(context):
        emit(context.session, kind, {"provider": provider})


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
    event_id = UUID(payload["id"])
    provider = await queries.provider_of_event(context.session, event_id)
    await inbox.apply(context.session, _gateway(context, provider), event_id)


@handles("payments.fill_gaps", every=timedelta(minutes=15))
async def fill_gaps(context: JobContext, payload: dict[str, Any]) -> None:
    """Fetch events whose webhook was lost, of each provider in a job of its own."""
    if "provider" in payload:
        await inbox.fill_gaps(context.session, _gateway(context, payload["provider"]))
    else:
        await _each_provider(context, "payments.fill_gaps")


@handles("payments.wake")
async def wake(context: JobContext, payload: dict[str, Any]) -> None:
    """Let go on what a pause held that was lifted."""
    await pauses.wake(context.session, PauseScope(payload["scope"]), payload["target"])


@handles("payments.plan_payouts", every=timedelta(seconds=5))
async def plan_payouts(context: JobContext, _payload: dict[str, Any]) -> None:
    """Ask for the payouts of payees who want theirs at once."""
    await planning.plan_at_once(context.session, context.settings.pays_out_by)


@handles("payments.plan_periods", every=timedelta(minutes=5))
async def plan_periods(context: JobContext, _payload: dict[str, Any]) -> None:
    """Ask for the payouts of payees whose week or month has begun."""
    await planning.plan_periods(context.session, context.settings.pays_out_by)


@handles("payments.plan_hold_limit", every=timedelta(hours=6))
async def plan_hold_limit(context: JobContext, _payload: dict[str, Any]) -> None:
    """Ask for what must leave before the provider's hold limit: payouts of old money, refunds of old prepaid money."""
    stay = _stay(context, context.settings.payment_provider)  # the money waits where it came in
    await planning.plan_hold_limit(context.session, context.settings.pays_out_by, stay)
    await old_cash.plan(context.session, await _stays(context))


@handles("payments.check_payees", every=timedelta(hours=1))
async def check_payees(context: JobContext, _payload: dict[str, Any]) -> None:
    """Ask for a look-up of payees who lapsed."""
    await kyc.plan_checks(context.session, await _providers(context))


@handles("payments.check_payee")
async def check_payee(context: JobContext, payload: dict[str, Any]) -> None:
    """Look up how a payee stands at the provider."""
    payee_id = UUID(payload["payee_id"])
    await kyc.check(context.session, await _gateway_of_payee(context, payee_id), payee_id)


@handles("payments.refund_old_cash")
async def refund_old_cash(context: JobContext, payload: dict[str, Any]) -> None:
    """Give back what an organisation did not use of its old charges."""
    organisation_id = UUID(payload["organisation_id"])
    await old_cash.refund(context.session, organisation_id, payload["currency"], await _stays(context))


@handles("payments.pay_out")
async def pay_out(context: JobContext, payload: dict[str, Any]) -> None:
    """Begin the automatic payouts of one payee."""
    payee_id = UUID(payload["payee_id"])
    gateway, rules = await _gateway_of_payee(context, payee_id), payout_rules(context.settings)
    await planning.pay_out(context.session, gateway, rules, payee_id, payload.get("period"))


@handles("payments.reconcile", every=timedelta(days=1))
async def reconcile(context: JobContext, payload: dict[str, Any]) -> None:
    """Compare our books with each provider's, in a job of its own, and keep what was found."""
    if "provider" in payload:
        await reconcile_runs.run(context.session, _gateway(context, payload["provider"]))
    else:
        await _each_provider(context, "payments.reconcile")


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
