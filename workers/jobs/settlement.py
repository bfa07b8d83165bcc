"""Jobs of settlement."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from marketplace.core.errors import DomainError
from marketplace.quality.queries import Revision
from marketplace.settlement import accrual, closing, disputes, invoices, release
from marketplace.settlement.pay_rules import minimum_table
from workers.handlers import JobContext, handles, handles_together


def _identified_only(context: JobContext) -> bool:
    return context.settings.kyc_required_before == "release"


@handles_together("settlement.accrue", limit=200)
async def accrue(context: JobContext, payloads: list[dict[str, Any]]) -> dict[int, DomainError]:
    """Book what accepted claims earn; one that the reserve does not hold keeps none of the others waiting."""
    revisions = [
        Revision(UUID(payload["request_id"]), UUID(payload["claim_id"]), int(payload["revision"]))
        for payload in payloads
    ]
    outcomes = await accrual.accrue_many(context.session, list(dict.fromkeys(revisions)))
    refused = enumerate(outcomes[revision] for revision in revisions)
    return {place: outcome for place, outcome in refused if isinstance(outcome, DomainError)}


@handles("settlement.accrue_again")
async def accrue_again(context: JobContext, payload: dict[str, Any]) -> None:
    """Book again what a dispute took back, after an appeal."""
    await disputes.accrue_again(
        context.session, UUID(payload["request_id"]), UUID(payload["claim_id"]), int(payload["revision"])
    )


@handles("settlement.release_due", every=timedelta(seconds=1))
async def release_due(context: JobContext, _payload: dict[str, Any]) -> None:
    """Release what has passed its dispute window."""
    await release.release_due(context.session, identified_only=_identified_only(context))


@handles("settlement.close")
async def close(context: JobContext, payload: dict[str, Any]) -> None:
    """Settle and close a delivered request."""
    request_id = UUID(payload["request_id"])
    await closing.settle_request(
        context.session, request_id, minimum_table(context.settings), identified_only=_identified_only(context)
    )


@handles("settlement.refund_cancelled")
async def refund_cancelled(context: JobContext, payload: dict[str, Any]) -> None:
    """Give back what was reserved for a cancelled request."""
    await closing.refund_cancelled(context.session, UUID(payload["request_id"]))


@handles("settlement.give_back_rest")
async def give_back_rest(context: JobContext, payload: dict[str, Any]) -> None:
    """Give back what was kept for appeals, once none is possible any more."""
    await closing.give_back_rest(context.session, UUID(payload["request_id"]))


@handles("settlement.ask_invoices", every=timedelta(hours=6))
async def ask_invoices(context: JobContext, _payload: dict[str, Any]) -> None:
    """Ask for the invoices of past months that are not issued."""
    await invoices.ask_due_invoices(context.session, context.settings)


@handles("settlement.issue_invoice")
async def issue_invoice(context: JobContext, payload: dict[str, Any]) -> None:
    """Issue an enterprise's invoice of a month, and the credit notes of that month."""
    await invoices.issue_invoices(
        context.session,
        context.settings,
        UUID(payload["organisation_id"]),
        payload["currency"],
        date.fromisoformat(payload["month"]),
    )
