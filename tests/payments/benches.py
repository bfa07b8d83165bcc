"""A provider on the test bench: a gateway, faults to plan, time to pass, and notices to sign."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
import pytest
from stripe import WebhookSignature

from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.settings import Settings
from marketplace.payments.bank_file.gateway import BankFileGateway
from marketplace.payments.gateway import Gateway, RemoteEvent, RemoteObject
from marketplace.payments.providers import close_gateways, open_gateway
from marketplace.payments.sandbox import signing
from marketplace.payments.sandbox.faults import Fault, Faults
from marketplace.payments.sandbox.gateway import SandboxGateway
from marketplace.payments.states import Leg
from tests.factories.bank_file import BankFileBooks
from tests.fakestripe import running_fake
from tests.payments.live import live_stripe


class Bench(Protocol):
    """What the tests of conformance need of a provider."""

    gateway: Gateway
    began: datetime
    starts_empty: bool

    def plan(self, *faults: str | None) -> None: ...

    async def pass_time(self) -> None: ...

    def return_payouts(self) -> None: ...

    def needs_its_bank(self) -> None:
        """Skip where nobody can make the bank answer."""
        ...

    async def name_payee(self, ref: str) -> None:
        """Let a payee who is ready have this reference, where none can be made so."""
        ...

    async def dispute(self, charge: RemoteObject) -> str: ...

    async def close_dispute(self, ref: str, *, won: bool) -> None: ...

    def signed(self, kind: Leg, ref: str, age: timedelta) -> tuple[bytes, dict[str, str]]: ...


class _Obedient:
    """A provider whose bank answers when time passes, and whose payees are ready when they are made."""

    starts_empty = True

    def needs_its_bank(self) -> None: ...

    async def name_payee(self, ref: str) -> None: ...


class SandboxBench(_Obedient):
    """The sandbox on the test's database."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.began = now()
        self._settings = settings
        self._faults = Faults()
        self.gateway = SandboxGateway(settings, database.sessions, faults=self._faults)

    def plan(self, *faults: str | None) -> None:
        self._faults.plan(*(None if fault is None else Fault(fault) for fault in faults))

    async def pass_time(self) -> None:
        await self.gateway.advance()

    def return_payouts(self) -> None:
        """The payee's name says it."""

    async def dispute(self, charge: RemoteObject) -> str:
        return await self.gateway.dispute(charge.ref)

    async def close_dispute(self, ref: str, *, won: bool) -> None:
        await self.gateway.close_dispute(ref, won=won)

    def signed(self, kind: Leg, ref: str, age: timedelta) -> tuple[bytes, dict[str, str]]:
        body = msgspec.json.encode(RemoteEvent("evt_1", kind, ref, now()))
        signature = signing.sign(signing.secret_of(self._settings), body, now() - age)
        return body, {signing.HEADER.lower(): signature}


class StripeBench(_Obedient):
    """Stripe's adapter over the fake Stripe."""

    def __init__(self, settings: Settings, database: Database, fake: Any) -> None:
        self.began = now()
        self._fake = fake
        self.settings = stripe_settings(settings, fake)
        self.gateway = open_gateway(self.settings, database)

    def plan(self, *faults: str | None) -> None:
        self._fake.faults.plan(*faults)

    async def pass_time(self) -> None:
        await passed(self._fake, 7 * 24 * 3600)

    def return_payouts(self) -> None:
        return_payouts(self._fake)

    async def dispute(self, charge: RemoteObject) -> str:
        return dispute(self._fake, charge)

    async def close_dispute(self, ref: str, *, won: bool) -> None:
        close_dispute(self._fake, ref, won=won)

    def signed(self, kind: Leg, ref: str, age: timedelta) -> tuple[bytes, dict[str, str]]:
        names = {Leg.CHARGE: "payment_intent"}
        thing = {"object": names.get(kind, kind.value), "metadata": {"kapok_ref": ref}}
        event = {"id": "evt_1", "object": "event", "type": f"{thing['object']}.updated", "data": {"object": thing}}
        body = json.dumps(event | {"created": int(now().timestamp())})
        stamp = int((now() - age).timestamp())
        signature = WebhookSignature.generate_signature_header(body, self._fake.webhook_secret, timestamp=stamp)
        return body.encode(), {"stripe-signature": signature}


class LiveBench(StripeBench):
    """Stripe's adapter over Stripe's own test mode."""

    starts_empty = False

    def needs_its_bank(self) -> None:
        pytest.skip("the bank of Stripe's test mode answers when it likes")

    async def name_payee(self, ref: str) -> None:
        await self._fake.name_payee(ref)

    async def dispute(self, charge: RemoteObject) -> str:
        pytest.skip(f"no dispute of {charge.id}: only a card of its own is disputed in the test mode")


def stripe_settings(settings: Settings, fake: Any) -> Settings:
    """Return settings under which Stripe is the provider, at the fake's address."""
    given = {
        "payment_provider": "stripe", "stripe_api_key": fake.api_key, "stripe_api_base": fake.url,
        "stripe_webhook_secrets": f"whsec_old,{fake.webhook_secret}",
        "stripe_test_payment_method": getattr(fake, "test_method", "pm_card_visa"),
    }  # fmt: skip
    return Settings(_env_file=None, **settings.model_dump(exclude=set(given)) | given)


async def passed(fake: Any, seconds: int) -> None:
    """Let time pass at the fake."""
    waiting = fake.advance(seconds)
    if waiting is not None:
        await waiting


def return_payouts(fake: Any) -> None:
    """Let the bank return the payouts to come after they were paid."""
    fake.return_payouts()


def dispute(fake: Any, charge: RemoteObject) -> str:
    """Let the payer's bank take a charge back; return the dispute's id."""
    return str(fake.actions.dispute(fake.world.objects[charge.id]["latest_charge"])["id"])


def close_dispute(fake: Any, ref: str, *, won: bool) -> None:
    """Let the bank decide a dispute."""
    if won:
        fake.actions.win_dispute(ref)
    else:
        fake.actions.close_dispute({}, "", ref)


class BankFileBench(_Obedient):
    """The manual rail on the test's database, with the operator's people and the bank played by the bench."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.began = now()
        self.gateway = BankFileGateway(settings, database.sessions)
        self.books = BankFileBooks(settings, database)
        self._returns = False

    def plan(self, *faults: str | None) -> None:
        """Its calls go nowhere outside of the database, so none is lost."""

    async def pass_time(self) -> None:
        """Let two people send what waits, and the bank pay it; then, if it is to, return it."""
        refs = await self.books.send("USD")
        for result in ("paid", "returned") if self._returns else ("paid",):
            await self.books.answer("USD", dict.fromkeys(refs, result))

    def return_payouts(self) -> None:
        self._returns = True

    def signed(self, kind: Leg, ref: str, age: timedelta) -> tuple[bytes, dict[str, str]]:
        return f"{kind}:{ref}:{age}".encode(), {}


@asynccontextmanager
async def stripe_bench(settings: Settings, database: Database) -> AsyncIterator[StripeBench]:
    """Start a fake Stripe and close our connections to it at the end."""
    async with running_fake() as fake:
        try:
            yield StripeBench(settings, database, fake)
        finally:
            await close_gateways()


@asynccontextmanager
async def live_bench(settings: Settings, database: Database) -> AsyncIterator[LiveBench]:
    """Open Stripe's test mode, or skip."""
    async with live_stripe() as account:
        yield LiveBench(settings, database, account)
