"""Stripe's own test mode in the shape of the fake: what it cannot do skips the test that asks for it.

STRIPE_TEST_KEY     a key sk_test_… of an account with Connect, whose balance holds STRIPE_TEST_CURRENCY
STRIPE_TEST_CURRENCY   by default USD; other currencies are converted by Stripe, which the gateway refuses
STRIPE_TEST_PAYEE   an account acct_… that has been onboarded and may receive transfers; without it no money leaves
STRIPE_TEST_BASE    another address than Stripe's; only to try this lane itself on the fake
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pytest
import stripe

from marketplace.payments.providers import close_gateways

WAIT_SECONDS = float(os.environ.get("STRIPE_TEST_WAIT", "5"))


class LaneRefused(Exception):
    """The lane does not run with what it was given."""


def key() -> str:
    """Return the key of the test mode; empty when there is none.

    Raises:
        LaneRefused: it is the key of a live account.
    """
    given = os.environ.get("STRIPE_TEST_KEY", "")
    if given and not given.startswith("sk_test_"):
        raise LaneRefused("STRIPE_TEST_KEY is not a key of Stripe's test mode (sk_test_…); nothing was sent")
    return given


class _NoFaults:
    """Stripe plans no faults."""

    def plan(self, *_: str | None) -> NoReturn:
        pytest.skip("Stripe's test mode cannot be told to lose or break a call")


@dataclass
class LiveStripe:
    """The account of a test key; names as those of the fake."""

    api_key: str
    url: str = ""
    webhook_secret: str = "whsec_only_signed_here"
    test_method: str = "pm_card_bypassPending"  # its money is available at once, as of card 4000 0000 0000 0077
    currency: str = "USD"
    faults: _NoFaults = field(default_factory=_NoFaults)

    async def advance(self, _: float) -> None:
        """Wait a moment: time cannot be moved there."""
        await asyncio.sleep(WAIT_SECONDS)

    def return_payouts(self) -> NoReturn:
        """Skip: only a payee with one of Stripe's failing test bank accounts has payouts returned."""
        pytest.skip("no payee with a failing test bank account is set up")

    async def name_payee(self, ref: str) -> None:
        """Let the onboarded account carry this reference, for it cannot be onboarded by a program."""
        account = os.environ.get("STRIPE_TEST_PAYEE", "")
        if not account:
            pytest.skip("STRIPE_TEST_PAYEE names no onboarded account")
        http = stripe.HTTPXClient(timeout=20)
        base: Any = {"api": self.url} if self.url else None
        client = stripe.StripeClient(self.api_key, base_addresses=base, http_client=http)
        await client.v2.core.accounts.update_async(account, {"metadata": {"kapok_ref": ref}})
        await http.close_async()


@asynccontextmanager
async def live_stripe() -> AsyncIterator[LiveStripe]:
    """Give the account of STRIPE_TEST_KEY, or skip."""
    if not key():
        pytest.skip("no STRIPE_TEST_KEY")
    currency = os.environ.get("STRIPE_TEST_CURRENCY", "USD")
    try:
        yield LiveStripe(key(), url=os.environ.get("STRIPE_TEST_BASE", ""), currency=currency)
    finally:
        await close_gateways()
