"""Stripe's events, both kinds, as `RemoteEvent`: which object, and when. Pure; signatures are the gateway's part."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from marketplace.payments.errors import WebhookRefused
from marketplace.payments.gateway import RemoteEvent
from marketplace.payments.states import Leg
from marketplace.payments.stripe.objects import ref_of, stamp

HEADER: Final = "stripe-signature"
TOLERANCE: Final = timedelta(minutes=5)
THIN: Final = "v2.core.event"
SNAPSHOT: Final = "event"
_KINDS: Final = {
    "payment_intent": Leg.CHARGE, "refund": Leg.REFUND, "transfer": Leg.TRANSFER, "payout": Leg.PAYOUT,
    "dispute": Leg.DISPUTE,
}  # fmt: skip
_INQUIRY: Final = "warning"
# What is asked for when gaps are filled, by who emits it.
OUR_TYPES: Final = (
    "payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.canceled",
    "refund.created", "refund.updated", "refund.failed", "transfer.created", "transfer.reversed",
    "charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed", "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
)  # fmt: skip
PAYEE_TYPES: Final = ("payout.created", "payout.updated", "payout.paid", "payout.failed", "payout.canceled")

ACCOUNT_TYPES: Final = ("v2.core.account[configuration.recipient].capability_status_updated",)


def check_stamp(header: str, at: datetime) -> None:
    """Refuse a stamp that is off by more than `TOLERANCE` in either direction; the SDK looks back only.

    Raises:
        WebhookRefused: with the reason.
    """
    stamps = [value for name, _, value in (part.strip().partition("=") for part in header.split(",")) if name == "t"]
    if len(stamps) != 1 or not stamps[0].isascii() or not stamps[0].isdigit():
        raise WebhookRefused("Stripe-Signature must hold one time")
    if abs(at.timestamp() - int(stamps[0])) > TOLERANCE.total_seconds():
        raise WebhookRefused("the stamp is too far from now")


def opened(raw: bytes) -> RemoteEvent | None:
    """Return the event of a body whose signature fits; None when it is about nothing of ours.

    Raises:
        WebhookRefused: the body is no event of either kind.
    """
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise WebhookRefused("the body is not an event of Stripe") from error
    form = body.get("object") if isinstance(body, dict) else None
    if form == THIN:
        return thin(body)
    if form == SNAPSHOT:
        return snapshot(body)
    raise WebhookRefused("the body is not an event of Stripe")


def snapshot(event: Mapping[str, Any]) -> RemoteEvent | None:
    """Return a v1 event; None when it is about nothing that our calls made.

    Raises:
        WebhookRefused: the body is not an event.
    """
    try:
        thing = event["data"]["object"]
        kind, ref = _KINDS.get(thing.get("object")), ref_of(thing)
        if kind is Leg.DISPUTE:  # an inquiry, which has taken no money, is none yet
            ref = "" if str(thing.get("status", "")).startswith(_INQUIRY) else str(thing["id"])
        if event["type"] == "transfer.reversed":
            kind = Leg.REVERSAL  # a reversal carries the reference of its transfer
        return RemoteEvent(event["id"], kind, ref, stamp(event["created"])) if kind and ref else None
    except (KeyError, TypeError, AttributeError) as error:
        raise WebhookRefused("the body is not an event of Stripe") from error


def thin(event: Mapping[str, Any]) -> RemoteEvent | None:
    """Return a v2 event of an account; its reference is the account's id, for the body holds no metadata.

    Raises:
        WebhookRefused: the body is not an event.
    """
    try:
        related = event.get("related_object") or {}
        if related.get("type") != "v2.core.account":
            return None
        at = datetime.fromisoformat(event["created"])
        return RemoteEvent(event["id"], Leg.PAYEE, related["id"], at if at.tzinfo else at.replace(tzinfo=UTC))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WebhookRefused("the body is not an event of Stripe") from error
