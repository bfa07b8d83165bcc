"""Stripe as a `Gateway`: the one module that imports the SDK.

Our reference stands in `metadata.kapok_ref` of every object, and is the `transfer_group` of charges and transfers. The
SDK repeats nothing by itself: a repeat is the saga's, under the same key. There is one client per event loop, because
its connections belong to the loop that opened them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from weakref import WeakKeyDictionary

import stripe
from stripe import StripeClient, StripeError
from stripe import StripeObject as Object

from marketplace.core.clock import now
from marketplace.core.money import EXPONENTS, Money
from marketplace.core.settings import Settings
from marketplace.payments.errors import Misconfigured, Rejected, WebhookRefused
from marketplace.payments.gateway import Capabilities, RemoteBalance, RemoteEntry, RemoteEvent, RemoteObject
from marketplace.payments.states import Leg
from marketplace.payments.stripe import answers, bodies, notices, objects
from marketplace.payments.stripe.amounts import GRANULARITY_MINOR
from marketplace.payments.stripe.bodies import options
from marketplace.payments.stripe.lists import oldest, pages

NAME: Final = "stripe"
KEY_LIFETIME: Final = timedelta(hours=24)
TIMEOUT_SECONDS: Final = 20
_KNOWN_IDS: Final = 10_000
_CAPABILITIES: Final = Capabilities(
    currencies=frozenset(EXPONENTS),
    minimum_payout_minor={},
    granularity_minor=GRANULARITY_MINOR,
    key_lifetime=KEY_LIFETIME,
    find_delay=timedelta(minutes=1),
    hold_limit=timedelta(days=90),  # the shorter of what most countries allow; Thailand's 10 days are a setting's task
    event_history=timedelta(days=30),
)


@dataclass(slots=True)
class _Link:
    """A client of one event loop, and what it has learnt: provider ids, which never change, by our reference."""

    client: StripeClient
    http: stripe.HTTPXClient
    ids: dict[tuple[Leg, str], str] = field(default_factory=dict)
    paid_by_hand: set[str] = field(default_factory=set)

    def learn(self, kind: Leg, ref: str, remote_id: str) -> str:
        """Keep an id, within bounds."""
        if len(self.ids) >= _KNOWN_IDS:
            self.ids.clear()
        self.ids[kind, ref] = remote_id
        return remote_id


_LINKS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], _Link]]] = WeakKeyDictionary()


def _link(api_key: str, base: str) -> _Link:
    links = _LINKS.setdefault(asyncio.get_running_loop(), {})
    if (api_key, base) not in links:
        http = stripe.HTTPXClient(timeout=TIMEOUT_SECONDS)
        client = StripeClient(
            api_key, base_addresses={"api": base} if base else None, max_network_retries=0, http_client=http
        )
        links[api_key, base] = _Link(client, http)
    return links[api_key, base]


async def close_clients() -> None:
    """Close the connections that this event loop holds to Stripe; a later call opens new ones."""
    for link in _LINKS.pop(asyncio.get_running_loop(), {}).values():
        await link.http.close_async()  # type: ignore[no-untyped-call]


@contextmanager
def _calling() -> Iterator[None]:
    """Turn the SDK's errors into ours; a cancellation is none of them and passes."""
    try:
        yield
    except StripeError as error:
        problem = answers.Problem(
            error.http_status, error.code, error.user_message or type(error).__name__,
            same_key_other_request=isinstance(error, stripe.IdempotencyError),
            retry_after=answers.header(error.headers, "retry-after"),
        )  # fmt: skip
        raise answers.meaning(problem) from error


@contextmanager
def _reading() -> Iterator[None]:
    """As `_calling`, for calls without effect: a refusal to answer means that the set-up is wrong."""
    try:
        with _calling():
            yield
    except Rejected as error:
        raise Misconfigured(f"{error.reason_code}: {error.detail}") from error


class StripeGateway:
    """Implements `gateway.Gateway`."""

    name = NAME

    def __init__(self, settings: Settings) -> None:
        self._api_key = settings.stripe_api_key.get_secret_value()
        self._base = settings.stripe_api_base.rstrip("/")
        self._secrets = settings.webhook_secrets_of_stripe
        self._test_method = settings.stripe_test_payment_method
        self._countries = settings.payee_country_codes

    @property
    def _link(self) -> _Link:
        return _link(self._api_key, self._base)

    def capabilities(self) -> Capabilities:
        """Return the limits of Stripe."""
        return _CAPABILITIES

    async def create_payee(self, key: str, ref: str, *, display_name: str) -> RemoteObject:
        """Open a recipient account, unless there is one with this reference; ready when it may receive transfers."""
        known = await self.find(Leg.PAYEE, ref)
        if known is not None:
            return known
        body: Any = bodies.payee(ref, display_name, self._countries)
        with _calling():
            made = await self._link.client.v2.core.accounts.create_async(body, options(key))
        self._link.learn(Leg.PAYEE, ref, made.id)
        return objects.payee(_plain(made))

    async def onboarding_link(self, key: str, payee_ref: str, *, return_url: str, refresh_url: str) -> str | None:
        """Return the address of Stripe's own pages where a payee says who they are; it serves once, for minutes."""
        account = await self._payee_account(payee_ref)
        body: Any = bodies.onboarding(account, return_url, refresh_url)
        with _calling():
            made = await self._link.client.v2.core.account_links.create_async(body, options(key))
        return made.url

    async def create_charge(self, key: str, ref: str, amount: Money) -> RemoteObject:
        """Begin a payment by whatever methods the account offers.

        It is pending, and its `next_action` holds what the payer's browser needs, until the payer has confirmed it;
        with a test method of payment in the settings it is confirmed at once.
        """
        body: Any = bodies.charge(ref, amount, self._test_method)
        with _calling():
            made = await self._link.client.v1.payment_intents.create_async(body, options(key))
        self._link.learn(Leg.CHARGE, ref, made.id)
        return self._charge(made)

    async def get_charge(self, ref: str) -> RemoteObject | None:
        """Return a charge as it is now."""
        return await self.find(Leg.CHARGE, ref)

    async def refund(self, key: str, ref: str, amount: Money, *, charge_ref: str) -> RemoteObject:
        """Give a charge back, in whole or in part."""
        intent = self._link.ids.get((Leg.CHARGE, charge_ref))
        if intent is None:
            found = await self.find(Leg.CHARGE, charge_ref)
            if found is None:
                raise Rejected("charge_not_refundable", "Stripe has no such charge")
            intent = found.id
        body: Any = {**bodies.tagged(ref, amount), "payment_intent": intent}
        with _calling():
            return objects.refund(_plain(await self._link.client.v1.refunds.create_async(body, options(key))))

    async def transfer(self, key: str, ref: str, amount: Money, *, payee_ref: str) -> RemoteObject:
        """Move money to the payee's account, once that account pays out by hand only."""
        body: Any = bodies.grouped(ref, amount)
        body["destination"] = account = await self._payee_account(payee_ref)
        await self._pay_out_by_hand(f"{key}manual", account)
        with _calling():
            return objects.transfer(_plain(await self._link.client.v1.transfers.create_async(body, options(key))))

    async def reverse_transfer(self, key: str, ref: str, amount: Money, *, transfer_ref: str) -> RemoteObject:
        """Take a transfer back whole. The reversal is found under its transfer, so both carry one reference."""
        transfer = await self._transfer(transfer_ref)
        if ref != transfer_ref or transfer is None:
            raise Rejected("transfer_not_reversible", "Stripe has no transfer with this reference")
        body: Any = bodies.tagged(ref, amount)
        reversals = self._link.client.v1.transfers.reversals
        with _calling():
            return objects.reversal(_plain(await reversals.create_async(transfer["id"], body, options(key))))

    async def payout(self, key: str, ref: str, amount: Money, *, payee_ref: str) -> RemoteObject:
        """Send a payee's balance to the payee's bank."""
        body: Any = bodies.payout(ref, amount)
        account = await self._payee_account(payee_ref)
        with _calling():
            made = await self._link.client.v1.payouts.create_async(body, options(key, account))
        return objects.payout(_plain(made))

    async def find(self, kind: Leg, ref: str) -> RemoteObject | None:
        """Return the oldest object with our reference, by Stripe's own lists (there is no search by metadata here)."""
        with _reading():
            match kind:
                case Leg.CHARGE:
                    return await self._find_charge(ref)
                case Leg.PAYEE:
                    account = await self._account_id(ref)
                    return None if account is None else await self._account(account)
                case Leg.REFUND:
                    return await self._find_refund(ref)
                case Leg.DISPUTE:
                    return await self._find_dispute(ref)
                case _:
                    return await self._find_moved(kind, ref)

    async def list_entries(self, since: datetime | None = None) -> list[RemoteEntry]:
        """Return the movements of our balance, oldest first."""
        body: dict[str, Any] = {"expand": ["data.source"]}
        if since is not None:
            body["created"] = {"gte": int(since.timestamp())}
        with _reading():
            found = [thing async for thing in pages(self._link.client.v1.balance_transactions.list_async, body)]
        return [objects.entry(thing) for thing in reversed(found)]

    async def balance(self) -> dict[str, RemoteBalance]:
        """Return our balance per currency."""
        with _reading():
            return objects.balances(_plain(await self._link.client.v1.balance.retrieve_async()))

    def verify_webhook(self, raw: bytes, headers: Mapping[str, str]) -> RemoteEvent | None:
        """Return the event of a webhook signed with any of our secrets, or raise `WebhookRefused`."""
        signature = answers.header(headers, notices.HEADER) or ""
        seconds = int(notices.TOLERANCE.total_seconds())
        for secret in self._secrets if signature.isascii() else ():
            try:
                stripe.WebhookSignature.verify_header(raw, signature, secret, seconds)
            except (stripe.SignatureVerificationError, UnicodeDecodeError):
                continue
            notices.check_stamp(signature, now())
            return notices.opened(raw)
        raise WebhookRefused

    async def list_events(self, since: datetime) -> list[RemoteEvent]:
        """Return the events since a time, oldest first: ours, those of payees' accounts, and those about accounts."""
        client, asked = self._link.client, {"created": {"gte": int(since.timestamp())}}
        ours, theirs = {**asked, "types": list(notices.OUR_TYPES)}, {**asked, "types": list(notices.PAYEE_TYPES)}
        about = {"created": {"gte": since.isoformat()}, "types": list(notices.ACCOUNT_TYPES)}
        with _reading():
            found = [notices.snapshot(event) async for event in pages(client.v1.events.list_async, ours)]
            found += [notices.thin(event) async for event in pages(client.v2.core.events.list_async, about)]
            async for account in self._accounts():
                in_name_of = {"stripe_account": account["id"]}
                of_payee = pages(client.v1.events.list_async, theirs, in_name_of)
                found += [notices.snapshot(event) async for event in of_payee]
        return sorted((event for event in found if event is not None), key=lambda event: event.occurred_at)

    def _charge(self, intent: Object) -> RemoteObject:
        return objects.charge(_plain(intent), final=bool(self._test_method))

    async def _find_charge(self, ref: str) -> RemoteObject | None:
        intents = self._link.client.v1.payment_intents
        remote_id = self._link.ids.get((Leg.CHARGE, ref))
        if remote_id is None:
            found = await oldest(intents.list_async, ref, created=objects.made_since(ref))
            if found is None:
                return None
            remote_id = self._link.learn(Leg.CHARGE, ref, found["id"])
        return self._charge(await intents.retrieve_async(remote_id, {"expand": bodies.CHARGE_PARTS}))

    async def _find_moved(self, kind: Leg, ref: str) -> RemoteObject | None:
        """Return one of the objects of a payout, which are found by its transfer."""
        transfer = await self._transfer(ref)
        if transfer is None or kind is Leg.TRANSFER:
            return None if transfer is None else objects.transfer(transfer)
        if kind is Leg.REVERSAL:
            reversals = self._link.client.v1.transfers.reversals
            found = await oldest(lambda body, _: reversals.list_async(transfer["id"], body), ref)
            return None if found is None else objects.reversal(found)
        return await self._find_payout(ref, transfer["destination"])

    async def _find_refund(self, ref: str) -> RemoteObject | None:
        found = await oldest(self._link.client.v1.refunds.list_async, ref, created=objects.made_since(ref))
        return None if found is None else objects.refund(found)

    async def _find_dispute(self, ref: str) -> RemoteObject | None:
        try:
            with _calling():
                found = await self._link.client.v1.disputes.retrieve_async(ref, {"expand": ["payment_intent"]})
        except Rejected as error:
            if error.reason_code == "resource_missing":
                return None
            raise
        return objects.dispute(_plain(found))

    async def _transfer(self, ref: str) -> dict[str, Any] | None:
        with _reading():
            return await oldest(self._link.client.v1.transfers.list_async, ref, transfer_group=ref)

    async def _find_payout(self, ref: str, account: str) -> RemoteObject | None:
        lister = self._link.client.v1.payouts.list_async
        found = await oldest(lister, ref, {"stripe_account": account}, created=objects.made_since(ref))
        return None if found is None else objects.payout(found)

    async def _payee_account(self, payee_ref: str) -> str:
        with _reading():
            account = await self._account_id(payee_ref)
        if account is None:
            raise Rejected("payee_unknown", "Stripe has no account with this reference")
        return account

    async def _account_id(self, ref: str) -> str | None:
        if ref.startswith(objects.ACCOUNT_PREFIX):
            return ref
        known = self._link.ids.get((Leg.PAYEE, ref))
        if known is not None:
            return known
        found = None
        async for account in self._accounts():
            if objects.ref_of(account) == ref:
                found = account["id"]
        return None if found is None else self._link.learn(Leg.PAYEE, ref, found)

    def _accounts(self) -> AsyncIterator[dict[str, Any]]:
        asked = {"applied_configurations": ["recipient"]}
        return pages(self._link.client.v2.core.accounts.list_async, asked)

    async def _account(self, account_id: str) -> RemoteObject:
        asked: Any = {"include": bodies.PAYEE_PARTS}
        return objects.payee(_plain(await self._link.client.v2.core.accounts.retrieve_async(account_id, asked)))

    async def _pay_out_by_hand(self, key: str, account: str) -> None:
        """Set an account's schedule to manual, or Stripe would pay out on its own what we mean to pay out by row."""
        if account in self._link.paid_by_hand:
            return
        body: Any = bodies.BY_HAND
        with _reading():
            await self._link.client.v1.balance_settings.update_async(body, options(key, account))
        self._link.paid_by_hand.add(account)


def _plain(thing: Object) -> dict[str, Any]:
    return thing.to_dict()
