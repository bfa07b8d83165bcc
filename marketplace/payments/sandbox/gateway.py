"""The sandbox as a `Gateway`. Its calls work in short sessions of its own, never in the caller's transaction."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.money import EXPONENTS, Money
from marketplace.core.settings import Settings
from marketplace.payments.errors import Misconfigured, Rejected, Throttled, Unknown, WebhookRefused
from marketplace.payments.gateway import (
    Capabilities,
    RemoteBalance,
    RemoteEntry,
    RemoteEvent,
    RemoteObject,
    RemoteState,
)
from marketplace.payments.sandbox import bank, signing
from marketplace.payments.sandbox.bank import Bank
from marketplace.payments.sandbox.faults import Fault, Faults
from marketplace.payments.sandbox.models import SandboxEntry, SandboxEvent, SandboxKey, SandboxObject
from marketplace.payments.sandbox.settings import SandboxSettings, get_sandbox_settings
from marketplace.payments.states import Leg

NAME: Final = "sandbox"
KEY_LIFETIME: Final = timedelta(hours=24)
_THROTTLE: Final = timedelta(seconds=1)
_CAPABILITIES: Final = Capabilities(
    currencies=frozenset(EXPONENTS),
    minimum_payout_minor={},
    granularity_minor={"TWD": 100},  # as a real provider asks: TWD is paid out in whole dollars
    key_lifetime=KEY_LIFETIME,
    find_delay=timedelta(0),
    hold_limit=timedelta(days=90),
    event_history=timedelta(days=30),
)
Effect = Callable[[Bank], Awaitable[SandboxObject]]


class SandboxGateway:
    """Implements `gateway.Gateway`."""

    name = NAME

    def __init__(
        self,
        settings: Settings,
        sessions: async_sessionmaker[AsyncSession],
        *,
        options: SandboxSettings | None = None,
        faults: Faults | None = None,
    ) -> None:
        self._secret = signing.secret_of(settings)
        self._sessions = sessions
        self._options = options or get_sandbox_settings()
        self.faults = faults or Faults()

    def capabilities(self) -> Capabilities:
        """Return the limits of the sandbox."""
        return _CAPABILITIES

    async def create_payee(self, key: str, ref: str, *, display_name: str) -> RemoteObject:
        """Make a payee; ready at once."""
        return await self._once(
            key, ["payee", ref, display_name], "", lambda books: books.make_payee(ref, display_name)
        )

    async def onboarding_link(
        self, key: str, payee_ref: str, *, return_url: str, refresh_url: str,  # noqa: ARG002  # of the interface
    ) -> str | None:  # fmt: skip
        """The sandbox asks its payees nothing."""
        return None

    async def create_charge(self, key: str, ref: str, amount: Money) -> RemoteObject:
        """Take money in; succeeds at once but for magic amounts."""
        return await self._once(key, ["charge", ref, amount], amount.currency, lambda books: books.charge(ref, amount))

    async def get_charge(self, ref: str) -> RemoteObject | None:
        """Return a charge as it is now."""
        return await self.find(Leg.CHARGE, ref)

    async def refund(self, key: str, ref: str, amount: Money, *, charge_ref: str) -> RemoteObject:
        """Give a charge back, in whole or in part."""
        asked = ["refund", ref, amount, charge_ref]
        return await self._once(key, asked, amount.currency, lambda books: books.refund(ref, amount, charge_ref))

    async def transfer(self, key: str, ref: str, amount: Money, *, payee_ref: str) -> RemoteObject:
        """Move money to a payee's balance."""
        asked = ["transfer", ref, amount, payee_ref]
        return await self._once(key, asked, amount.currency, lambda books: books.transfer(ref, amount, payee_ref))

    async def reverse_transfer(self, key: str, ref: str, amount: Money, *, transfer_ref: str) -> RemoteObject:
        """Take a transfer back whole."""
        asked = ["reversal", ref, amount, transfer_ref]
        return await self._once(key, asked, amount.currency, lambda books: books.reverse(ref, amount, transfer_ref))

    async def payout(self, key: str, ref: str, amount: Money, *, payee_ref: str) -> RemoteObject:
        """Move money from a payee's balance to the payee's bank."""
        asked = ["payout", ref, amount, payee_ref]
        return await self._once(key, asked, amount.currency, lambda books: books.payout(ref, amount, payee_ref))

    async def find(self, kind: Leg, ref: str) -> RemoteObject | None:
        """Return the object with our reference."""
        async with self._sessions() as session:
            thing = await bank.first_with(session, kind, ref)
        return None if thing is None else _remote(thing)

    async def list_entries(self, since: datetime | None = None) -> list[RemoteEntry]:
        """Return the movements of the balance, oldest first."""
        async with self._sessions() as session:
            return await entries(session, since)

    async def balance(self) -> dict[str, RemoteBalance]:
        """Return the balance per currency."""
        async with self._sessions() as session:
            return {currency: RemoteBalance(*parts) for currency, parts in (await bank.balances(session)).items()}

    def verify_webhook(self, raw: bytes, headers: Mapping[str, str]) -> RemoteEvent:
        """Return the event of a signed webhook, or raise `WebhookRefused`."""
        signing.check(self._secret, headers.get(signing.HEADER.lower(), ""), raw, now())
        try:
            return msgspec.json.decode(raw, type=RemoteEvent)
        except msgspec.MsgspecError as error:
            raise WebhookRefused("the body is not an event") from error

    async def list_events(self, since: datetime) -> list[RemoteEvent]:
        """Return the events since a time, oldest first."""
        async with self._sessions() as session:
            found = await session.exec(
                select(SandboxEvent).where(col(SandboxEvent.occurred_at) >= since).order_by(col(SandboxEvent.id))
            )
            return [event_of(row) for row in found]

    async def advance(self) -> int:
        """Let time pass at the bank: answer what is due."""
        async with self._sessions.begin() as session:
            return await Bank(session, self._options).advance()

    async def lapse_payee(self, ref: str, code: str = "requirements_due") -> None:
        """Let a payee's identification lapse: nothing more is paid out to them, and a notice says so."""
        async with self._sessions.begin() as session:
            await Bank(session, self._options).set_payee(ref, RemoteState.FAILED, code)

    async def renew_payee(self, ref: str) -> None:
        """Let a payee be active again."""
        async with self._sessions.begin() as session:
            await Bank(session, self._options).set_payee(ref, RemoteState.SUCCEEDED, None)

    async def _once(self, key: str, asked: list[Any], currency: str, effect: Effect) -> RemoteObject:
        """Run an effect at most once per key, and repeat the first answer after that, errors included."""
        fault = self.faults.next(Leg(asked[0]))
        if fault is Fault.LATE_REQUEST:
            self.faults.late.append(lambda: self._answered(key, asked, currency, effect))
        if fault in {Fault.LOST_REQUEST, Fault.LATE_REQUEST}:
            raise Unknown("the connection was lost before the request arrived")
        if fault is Fault.THROTTLED:
            raise Throttled(_THROTTLE)
        answer = await self._answered(key, asked, currency, effect, fault)
        if fault is Fault.LOST_RESPONSE:
            raise Unknown("the connection was lost before the answer arrived")
        return _opened(answer)

    async def arrive(self) -> None:
        """Let the late requests arrive; nobody waits for their answers any more."""
        while self.faults.late:
            await self.faults.late.popleft()()

    async def _answered(
        self, key: str, asked: list[Any], currency: str, effect: Effect, fault: Fault | None = None
    ) -> dict[str, Any]:
        async with self._sessions.begin() as session:
            answer = await _stored_answer(session, key, asked)
            if answer is None:
                if currency:
                    await bank.lock_books(session, currency)
                answer = await self._answer(session, effect, fault)
                row = await session.get_one(SandboxKey, key)
                row.answer = answer
        return answer

    async def _answer(self, session: AsyncSession, effect: Effect, fault: Fault | None) -> dict[str, Any]:
        if fault is Fault.ERROR_BEFORE:
            return {"status": 500}
        try:
            thing = await effect(Bank(session, self._options))
        except Rejected as error:
            return {"status": 400, "code": error.reason_code, "detail": error.detail}
        if fault is Fault.ERROR_AFTER:
            return {"status": 500}
        return {"status": 200, "object": msgspec.to_builtins(_remote(thing))}


async def _stored_answer(session: AsyncSession, key: str, asked: list[Any]) -> dict[str, Any] | None:
    """Return the first answer to a key; None when this is the first call with it, which then owns the key."""
    digest = hashlib.sha256(msgspec.json.encode(asked)).hexdigest()
    await session.exec(
        delete(SandboxKey).where(col(SandboxKey.key) == key, col(SandboxKey.created_at) < now() - KEY_LIFETIME)
    )
    taken = await session.execute(
        insert(SandboxKey)
        .values(key=key, asked=digest, created_at=now())
        .on_conflict_do_nothing()
        .returning(col(SandboxKey.key))
    )
    if taken.first() is not None:
        return None
    row = await session.get_one(SandboxKey, key)
    if row.asked != digest:
        raise Misconfigured(f"the key {key} came before with another request")
    return row.answer


def _opened(answer: dict[str, Any]) -> RemoteObject:
    if answer["status"] == 500:
        raise Unknown("the provider answered 500", answered=True)
    if answer["status"] == 400:
        raise Rejected(answer["code"], answer["detail"])
    return msgspec.convert(answer["object"], RemoteObject)


def _remote(thing: SandboxObject) -> RemoteObject:
    failed = thing.state is RemoteState.FAILED
    return RemoteObject(
        kind=thing.kind, id=str(thing.id), ref=thing.ref, state=thing.state, amount_minor=thing.amount_minor,
        currency=thing.currency, fee_minor=thing.fee_minor, failure_code=thing.failure_code if failed else None,
    )  # fmt: skip


def event_of(row: SandboxEvent) -> RemoteEvent:
    """Return a stored event as the client sees it."""
    return RemoteEvent(str(row.id), row.kind, row.ref, row.occurred_at)


async def entries(session: AsyncSession, since: datetime | None = None) -> list[RemoteEntry]:
    """Return the movements of the client's balance, oldest first, as of the session's snapshot."""
    chosen = select(SandboxEntry, SandboxObject).join(
        SandboxObject, col(SandboxObject.id) == col(SandboxEntry.object_id)
    )
    if since is not None:
        chosen = chosen.where(col(SandboxEntry.created_at) >= since)
    found = await session.exec(chosen.order_by(col(SandboxEntry.id)))
    return [
        RemoteEntry(str(entry.id), thing.kind, thing.ref, entry.amount_minor, entry.currency, entry.created_at)
        for entry, thing in found
    ]
