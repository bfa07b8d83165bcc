"""The bodies and options of calls to Stripe, from which the gateway makes requests. Pure."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from marketplace.core.money import Money
from marketplace.payments.errors import AmountOutOfRange, Rejected
from marketplace.payments.stripe.amounts import check_payout, to_stripe
from marketplace.payments.stripe.objects import REF

CHARGE_PARTS: Final = ["latest_charge.balance_transaction"]
PAYEE_PARTS: Final = ["configuration.recipient", "requirements"]
BY_HAND: Final = {"payments": {"payouts": {"schedule": {"interval": "manual"}}}}


def payee(ref: str, display_name: str, countries: Sequence[str]) -> dict[str, Any]:
    """Return a recipient account that asks for transfers; its country is set when there is but one to choose."""
    transfers = {"stripe_balance": {"stripe_transfers": {"requested": True}}}
    body: dict[str, Any] = {
        "display_name": display_name, "dashboard": "express", "metadata": {REF: ref}, "include": PAYEE_PARTS,
        "configuration": {"recipient": {"capabilities": transfers}},
        "defaults": {"responsibilities": {"fees_collector": "application", "losses_collector": "application"}},
    }  # fmt: skip
    if len(countries) == 1:
        body["identity"] = {"country": countries[0].lower()}
    return body


def onboarding(account: str, return_url: str, refresh_url: str) -> dict[str, Any]:
    """Return the wish for a link to Stripe's pages on which a payee says who they are."""
    pages = {"return_url": return_url, "refresh_url": refresh_url}
    return {"account": account, "use_case": {"type": "account_onboarding", "account_onboarding": pages}}


def charge(ref: str, amount: Money, test_method: str) -> dict[str, Any]:
    """Return a PaymentIntent by whatever methods the account offers, or confirmed at once by a test method."""
    body: dict[str, Any] = {
        **grouped(ref, amount), "expand": CHARGE_PARTS, "automatic_payment_methods": {"enabled": True},
    }  # fmt: skip
    if test_method:
        body["automatic_payment_methods"]["allow_redirects"] = "never"
        body |= {"confirm": True, "payment_method": test_method}
    return body


def grouped(ref: str, amount: Money) -> dict[str, Any]:
    """Return what charges and transfers share: an amount, our reference, and the same as their group."""
    return {**tagged(ref, amount), "currency": amount.currency.lower(), "transfer_group": ref}


def payout(ref: str, amount: Money) -> dict[str, Any]:
    """Return a payout.

    Raises:
        Rejected: Stripe does not pay out this amount; nothing was sent.
    """
    with _refusing():
        check_payout(amount)
    return {**tagged(ref, amount), "currency": amount.currency.lower()}


def tagged(ref: str, amount: Money) -> dict[str, Any]:
    """Return an amount in the currency of the object it belongs to, and our reference.

    Raises:
        Rejected: Stripe cannot express this amount; nothing was sent.
    """
    with _refusing():
        return {"amount": to_stripe(amount), "metadata": {REF: ref}}


def options(key: str, account: str | None = None) -> Any:
    """Return the options of a call that changes something: always with a key, maybe in the name of an account."""
    return {"idempotency_key": key} | ({"stripe_account": account} if account else {})


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn an amount that Stripe does not take into the refusal that Stripe would have answered with."""
    try:
        yield
    except AmountOutOfRange as error:
        raise Rejected(error.code, error.detail) from error
