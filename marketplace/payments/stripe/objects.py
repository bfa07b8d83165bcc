"""Stripe's objects (as plain dicts) in the words of `payments.gateway`. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from marketplace.payments.errors import Misconfigured
from marketplace.payments.gateway import DisputeFacts, RemoteBalance, RemoteEntry, RemoteObject, RemoteState, reinstated
from marketplace.payments.states import Leg
from marketplace.payments.stripe.amounts import from_stripe

REF: Final = "kapok_ref"
ACCOUNT_PREFIX: Final = "acct_"
_LOOK_BACK: Final = timedelta(days=1)  # clocks differ, ours and theirs

_CHARGE_STATES: Final = {"succeeded": RemoteState.SUCCEEDED, "canceled": RemoteState.FAILED}
_PAYOUT_STATES: Final = {
    "paid": RemoteState.SUCCEEDED, "failed": RemoteState.FAILED, "canceled": RemoteState.FAILED,
}  # fmt: skip
_REFUND_STATES: Final = {
    "succeeded": RemoteState.SUCCEEDED, "failed": RemoteState.FAILED, "canceled": RemoteState.FAILED,
}  # fmt: skip
_ENTRY_KINDS: Final = {
    "charge": Leg.CHARGE, "payment": Leg.CHARGE, "refund": Leg.REFUND, "payment_refund": Leg.REFUND,
    "transfer": Leg.TRANSFER, "transfer_refund": Leg.REVERSAL,
}  # fmt: skip


def ref_of(thing: Mapping[str, Any]) -> str:
    """Return our reference in an object's metadata; empty when the object is none of ours."""
    return str((thing.get("metadata") or {}).get(REF, ""))


def made_since(ref: str) -> dict[str, int]:
    """Return a filter on the time of making: an object is younger than the row whose id (a UUIDv7) is its reference."""
    try:
        row_id = UUID(hex=ref)
    except ValueError:
        return {}
    if row_id.version != 7:
        return {}
    return {"gte": (row_id.int >> 80) // 1000 - int(_LOOK_BACK.total_seconds())}


def charge(intent: Mapping[str, Any], *, final: bool) -> RemoteObject:
    """Return a PaymentIntent. Succeeded only with its fee known, which some methods of payment tell later.

    `final` says that nobody tries another method of payment after a failed one.

    Raises:
        Misconfigured: Stripe converted the money, for our account there has no balance in the charge's currency.
    """
    state = _CHARGE_STATES.get(intent["status"], RemoteState.PENDING)
    error = intent.get("last_payment_error")
    if final and error and intent["status"] == "requires_payment_method":
        state = RemoteState.FAILED
    fee = 0
    if state is RemoteState.SUCCEEDED:
        booked = _expanded(_expanded(intent.get("latest_charge")).get("balance_transaction"))
        state = state if booked else RemoteState.PENDING
        if booked and booked["currency"] != intent["currency"]:
            raise Misconfigured(f"Stripe settled {intent['id']} in {booked['currency']}, not in {intent['currency']}")
        fee = from_stripe(booked.get("fee", 0), intent["currency"])
    waiting = state is RemoteState.PENDING and intent["status"] != "succeeded"
    action = _next_action(intent) if waiting else None
    reason = (error or {}).get("code") or intent.get("cancellation_reason")
    return _remote(Leg.CHARGE, intent, state, fee_minor=fee, failure_code=reason, next_action=action)


def _next_action(intent: Mapping[str, Any]) -> dict[str, str] | None:
    """Return what the payer does next: choose a method and confirm, go to a page, or scan a code.

    Each method has a name of its own for the part that says so, and there are more methods than we know: whatever
    page or picture such a part offers is taken.
    """
    if intent["status"] == "processing":
        return None
    asked = intent.get("next_action") or {}
    part = _expanded(asked.get(asked.get("type")))
    found = {
        "url": part.get("url") or part.get("hosted_instructions_url") or part.get("native_url"),
        "qr_code": part.get("data"),
        "qr_code_url": part.get("image_url_svg") or part.get("image_url_png"),
        "client_secret": intent.get("client_secret"),
    }
    given = {name: value for name, value in found.items() if isinstance(value, str) and value}
    kind = "qr_code" if {"qr_code", "qr_code_url"} & given.keys() else "redirect" if "url" in given else "confirm"
    return {"kind": kind, **given} if given else None


def refund(thing: Mapping[str, Any]) -> RemoteObject:
    """Return a Refund."""
    state = _REFUND_STATES.get(thing["status"], RemoteState.PENDING)
    return _remote(Leg.REFUND, thing, state, failure_code=thing.get("failure_reason"))


def transfer(thing: Mapping[str, Any]) -> RemoteObject:
    """Return a Transfer: what exists has happened."""
    return _remote(Leg.TRANSFER, thing, RemoteState.SUCCEEDED)


def reversal(thing: Mapping[str, Any]) -> RemoteObject:
    """Return a reversal of a transfer: what exists has happened."""
    return _remote(Leg.REVERSAL, thing, RemoteState.SUCCEEDED)


def payout(thing: Mapping[str, Any]) -> RemoteObject:
    """Return a Payout; one that was paid may still turn to failed."""
    state = _PAYOUT_STATES.get(thing["status"], RemoteState.PENDING)
    return _remote(Leg.PAYOUT, thing, state, failure_code=thing.get("failure_code"))


def dispute(thing: Mapping[str, Any]) -> RemoteObject | None:
    """Return a Dispute, with its PaymentIntent expanded; None while Stripe has taken no money for it.

    It is won when the money is back with us, and not when the bank has said so.
    """
    booked = list(thing.get("balance_transactions") or [])
    taken = [one for one in booked if one["net"] < 0]
    back = [one for one in booked if one["net"] > 0]
    if not taken:
        return None
    state = RemoteState.SUCCEEDED if back else RemoteState.PENDING
    state = RemoteState.FAILED if thing["status"] == "lost" else state
    currency = thing["currency"]
    due = (thing.get("evidence_details") or {}).get("due_by")
    facts = DisputeFacts(
        ref_of(_expanded(thing.get("payment_intent"))), str(thing.get("reason") or ""), stamp(due) if due else None,
        fee_back_minor=from_stripe(sum(-one["fee"] for one in back), currency),
    )  # fmt: skip
    return RemoteObject(
        Leg.DISPUTE, thing["id"], thing["id"], state, from_stripe(thing["amount"], currency), currency.upper(),
        fee_minor=from_stripe(sum(one["fee"] for one in taken), currency), dispute=facts,
    )  # fmt: skip


def payee(account: Mapping[str, Any]) -> RemoteObject:
    """Return a recipient account: ready when it may receive transfers."""
    capability: Any = account
    for part in ("configuration", "recipient", "capabilities", "stripe_balance", "stripe_transfers"):
        capability = capability.get(part) or {}
    state = RemoteState.SUCCEEDED if capability.get("status") == "active" else RemoteState.PENDING
    entries = _expanded(account.get("requirements")).get("entries") or []
    due = tuple(one["description"] for one in entries if one.get("awaiting_action_from") == "user")
    return RemoteObject(Leg.PAYEE, account["id"], ref_of(account), state, 0, "", requirements=due)


def entry(booked: Mapping[str, Any]) -> RemoteEntry:
    """Return a balance transaction, with its source expanded.

    What none of our calls made keeps its own name as reference, so that the comparison with our books shows it.
    """
    source = _expanded(booked.get("source"))
    kind = _ENTRY_KINDS.get(booked["type"])
    ref = ref_of(source) if kind else ""
    if booked["type"] == "adjustment" and source.get("object") == "dispute":
        kind, ref = Leg.DISPUTE, reinstated(source["id"]) if booked["net"] > 0 else source["id"]
    if not kind or not ref:
        kind, ref = kind or (Leg.CHARGE if booked["net"] > 0 else Leg.PAYOUT), f"{booked['type']}:{booked['id']}"
    amount = from_stripe(booked["net"], booked["currency"])
    return RemoteEntry(booked["id"], kind, ref, amount, booked["currency"].upper(), stamp(booked["created"]))


def balances(answer: Mapping[str, Any]) -> dict[str, RemoteBalance]:
    """Return our balance per currency."""
    parts: dict[str, list[int]] = {}
    for index, name in enumerate(("available", "pending")):
        for part in answer.get(name) or []:
            sums = parts.setdefault(part["currency"].upper(), [0, 0])
            sums[index] += from_stripe(part["amount"], part["currency"])
    return {currency: RemoteBalance(*sums) for currency, sums in parts.items()}


def stamp(seconds: int) -> datetime:
    """Return Stripe's Unix seconds as a time."""
    return datetime.fromtimestamp(seconds, UTC)


def _expanded(part: Any) -> Mapping[str, Any]:
    """Return a part that was asked for expanded; empty when Stripe has only an id, or nothing, to tell."""
    return part if isinstance(part, Mapping) else {}


def _remote(
    kind: Leg, thing: Mapping[str, Any], state: RemoteState, *, fee_minor: int = 0, failure_code: str | None = None,
    next_action: Mapping[str, str] | None = None,
) -> RemoteObject:  # fmt: skip
    return RemoteObject(
        kind=kind, id=thing["id"], ref=ref_of(thing), state=state, fee_minor=fee_minor,
        amount_minor=from_stripe(thing["amount"], thing["currency"]), currency=thing["currency"].upper(),
        failure_code=failure_code if state is RemoteState.FAILED else None, next_action=next_action,
    )  # fmt: skip
