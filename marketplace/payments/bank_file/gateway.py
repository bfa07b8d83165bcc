"""The manual rail as a `Gateway`. Its calls work in short sessions of its own, never in the caller's transaction.

A call is known by its reference: repeated under whatever key it finds what the first one did, so no payment can stand
in two lines. What the bank says of a line is not asked here; `results` reads it from the bank's file.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NoReturn
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.money import EXPONENTS, Money
from marketplace.core.settings import Settings
from marketplace.payments.bank_file import rail
from marketplace.payments.bank_file.bank_details import TAIL, payee_bank_details, seal_number
from marketplace.payments.bank_file.models import BankFileLine, BankFileObject
from marketplace.payments.bank_file.states import LineState
from marketplace.payments.errors import Misconfigured, Rejected, WebhookRefused
from marketplace.payments.gateway import (
    Capabilities,
    RemoteBalance,
    RemoteEntry,
    RemoteEvent,
    RemoteObject,
    RemoteState,
)
from marketplace.payments.models import Payee
from marketplace.payments.states import Leg

NAME: Final = rail.NAME
_CAPABILITIES: Final = Capabilities(
    currencies=frozenset(EXPONENTS),
    minimum_payout_minor={},
    granularity_minor={},
    key_lifetime=timedelta(days=365),  # a call is known by its reference for as long as its row stands
    find_delay=timedelta(0),
    hold_limit=timedelta(days=90),
    event_history=timedelta(days=90),
    needs_bank_details=True,
)
_REMOTE: Final = {
    LineState.QUEUED: RemoteState.PENDING,
    LineState.EXPORTED: RemoteState.PENDING,
    LineState.PAID: RemoteState.SUCCEEDED,
    LineState.FAILED: RemoteState.FAILED,
    LineState.RETURNED: RemoteState.FAILED,
}
_FAILURES: Final = {LineState.FAILED: "bank_refused", LineState.RETURNED: "bank_returned"}
ANSWERED: Final = (LineState.PAID, LineState.FAILED, LineState.RETURNED)


class BankFileGateway:
    """Implements `gateway.Gateway`; it takes no charges, so it has no refunds and no webhooks either."""

    name = NAME

    def __init__(self, settings: Settings, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._settings = settings
        self._sessions = sessions

    def capabilities(self) -> Capabilities:
        """Return the limits of the rail."""
        return _CAPABILITIES

    async def create_payee(self, key: str, ref: str, *, display_name: str) -> RemoteObject:  # noqa: ARG002
        """Make a payee known; ready at once, the bank details are asked for when a payout is."""
        return await self._once(BankFileObject(kind=Leg.PAYEE, ref=ref, key=key))

    async def onboarding_link(
        self, key: str, payee_ref: str, *, return_url: str, refresh_url: str,  # noqa: ARG002  # of the interface
    ) -> str | None:  # fmt: skip
        """The rail asks its payees nothing of its own."""
        return None

    async def create_charge(self, key: str, ref: str, amount: Money) -> NoReturn:  # noqa: ARG002
        """The rail takes no money from enterprises."""
        raise Rejected("not_offered", "the bank-file rail only pays out")

    async def get_charge(self, ref: str) -> RemoteObject | None:
        """Return a movement of the operator's own money."""
        return await self.find(Leg.CHARGE, ref)

    async def refund(self, key: str, ref: str, amount: Money, *, charge_ref: str) -> NoReturn:  # noqa: ARG002
        """The rail takes no charges, so it gives none back."""
        raise Rejected("not_offered", "the bank-file rail only pays out")

    async def transfer(self, key: str, ref: str, amount: Money, *, payee_ref: str) -> RemoteObject:
        """Earmark money of the rail for a payout; nothing moves at the bank (money.md §6)."""
        made = BankFileObject(
            kind=Leg.TRANSFER, ref=ref, key=key, payee_ref=payee_ref, currency=amount.currency,
            amount_minor=-amount.minor,
        )  # fmt: skip
        return await self._once(made)

    async def reverse_transfer(self, key: str, ref: str, amount: Money, *, transfer_ref: str) -> RemoteObject:
        """Give up an earmark whole; refused while its payment may still be made, or was made."""
        async with self._sessions.begin() as session:
            await rail.lock_rail(session, transfer_ref)
            earmark = await _object(session, Leg.TRANSFER, transfer_ref)
            if earmark is None or (-earmark.amount_minor, earmark.currency) != (amount.minor, amount.currency):
                raise Rejected("transfer_not_reversible")
            line = await _line(session, transfer_ref)
            if line is not None and line.state not in _FAILURES:
                raise Rejected("balance_insufficient", f"the payment is {line.state}")
            made = BankFileObject(
                kind=Leg.REVERSAL, ref=ref, key=key, payee_ref=earmark.payee_ref, currency=amount.currency,
                amount_minor=amount.minor,
            )  # fmt: skip
            stored = await _insert_once(session, made)
            if stored.key != key:
                raise Rejected("transfer_already_reversed")
            return _remote(stored)

    async def payout(self, key: str, ref: str, amount: Money, *, payee_ref: str) -> RemoteObject:  # noqa: ARG002
        """Queue a payment for the next file, with the bank details of now."""
        async with self._sessions.begin() as session:
            await rail.lock_rail(session, ref)
            line = await _line(session, ref)
            if line is None:
                line = await self._queue(session, ref, amount, payee_ref)
            if (line.amount_minor, line.currency, line.payee_ref) != (amount.minor, amount.currency, payee_ref):
                raise Misconfigured(f"the reference {ref} came before with another request")
            return remote_line(line)

    async def _queue(self, session: AsyncSession, ref: str, amount: Money, payee_ref: str) -> BankFileLine:
        earmark = await _object(session, Leg.TRANSFER, ref)
        if earmark is None or (earmark.payee_ref, earmark.currency) != (payee_ref, amount.currency):
            raise Rejected("balance_insufficient", "nothing was set aside for this payment")
        if -earmark.amount_minor < amount.minor or await _object(session, Leg.REVERSAL, ref) is not None:
            raise Rejected("balance_insufficient", "less was set aside for this payment")
        payee = await session.get(Payee, UUID(hex=payee_ref))
        details = None if payee is None else await payee_bank_details(session, self._settings, payee, amount.currency)
        if details is None:
            raise Rejected("bank_details_missing")
        row_id, secret = new_id(), self._settings.secret_key.get_secret_value()
        line = BankFileLine(
            id=row_id, ref=ref, payee_ref=payee_ref, currency=amount.currency, amount_minor=amount.minor,
            holder_name=details.holder_name, bank_code=details.bank_code,
            account_sealed=seal_number(secret, row_id, details.account_number),
            account_tail=details.account_number[-TAIL:],
        )  # fmt: skip
        session.add(line)
        return line

    async def find(self, kind: Leg, ref: str) -> RemoteObject | None:
        """Return the object with our reference."""
        async with self._sessions() as session:
            if kind is Leg.PAYOUT:
                line = await _line(session, ref)
                return None if line is None else remote_line(line)
            found = await _object(session, kind, ref)
        return None if found is None else _remote(found)

    async def list_entries(self, since: datetime | None = None) -> list[RemoteEntry]:
        """Return the movements of our balance, oldest first."""
        chosen = select(BankFileObject).where(BankFileObject.kind != Leg.PAYEE)
        if since is not None:
            chosen = chosen.where(col(BankFileObject.created_at) >= since)
        async with self._sessions() as session:
            found = await session.exec(chosen.order_by(col(BankFileObject.id)))
            return [
                RemoteEntry(str(row.id), row.kind, row.ref, row.amount_minor, row.currency, row.created_at)
                for row in found
            ]

    async def balance(self) -> dict[str, RemoteBalance]:
        """Return our balance per currency: the rail's book, set right by the bank's newest statement if there is one.

        So a reconciliation finds what the bank took or gave and nobody booked; a currency of which no result file has
        told a closing balance has nothing to be compared with but the book.
        """
        async with self._sessions() as session:
            told = await rail.statements(session)
            return {
                currency: RemoteBalance(total + (told[currency].difference_minor if currency in told else 0), 0)
                for currency, total in (await rail.booked(session)).items()
            }

    def verify_webhook(self, raw: bytes, headers: Mapping[str, str]) -> NoReturn:  # noqa: ARG002
        """Banks send no webhooks here."""
        raise WebhookRefused("the bank-file rail has no webhooks")

    async def list_events(self, since: datetime) -> list[RemoteEvent]:
        """Return what the bank's files said of payments since a time, oldest first."""
        async with self._sessions() as session:
            found = await session.exec(
                select(BankFileLine)
                .where(col(BankFileLine.changed_at) >= since, col(BankFileLine.state).in_(ANSWERED))
                .order_by(col(BankFileLine.changed_at), col(BankFileLine.id))
            )
            return [event_of(line) for line in found]

    async def _once(self, made: BankFileObject) -> RemoteObject:
        async with self._sessions.begin() as session:
            return _remote(await _insert_once(session, made))


async def _insert_once(session: AsyncSession, made: BankFileObject) -> BankFileObject:
    """Store an object unless its reference is known; return what is stored, which must be the same request's."""
    values = made.model_dump(exclude={"created_at"}) | {"created_at": now()}
    await session.execute(insert(BankFileObject).values(**values).on_conflict_do_nothing())
    stored = await _object(session, made.kind, made.ref)
    asked = (made.payee_ref, made.currency, made.amount_minor)
    if stored is None or (stored.payee_ref, stored.currency, stored.amount_minor) != asked:
        raise Misconfigured(f"the key {made.key} or its reference came before with another request")
    return stored


async def _object(session: AsyncSession, kind: Leg, ref: str) -> BankFileObject | None:
    found = await session.exec(select(BankFileObject).where(BankFileObject.kind == kind, BankFileObject.ref == ref))
    return found.first()


async def _line(session: AsyncSession, ref: str) -> BankFileLine | None:
    return (await session.exec(select(BankFileLine).where(BankFileLine.ref == ref))).first()


def _remote(row: BankFileObject) -> RemoteObject:
    return RemoteObject(
        kind=row.kind, id=str(row.id), ref=row.ref, state=RemoteState.SUCCEEDED, amount_minor=abs(row.amount_minor),
        currency=row.currency,
    )  # fmt: skip


def remote_line(line: BankFileLine) -> RemoteObject:
    """Return a line as the saga sees it: the object of a payout."""
    return RemoteObject(
        kind=Leg.PAYOUT, id=str(line.id), ref=line.ref, state=_REMOTE[line.state], amount_minor=line.amount_minor,
        currency=line.currency, failure_code=_FAILURES.get(line.state),
    )  # fmt: skip


def event_of(line: BankFileLine) -> RemoteEvent:
    """Return the notice of what a line has come to; the same again is the same event."""
    return RemoteEvent(f"{line.id.hex}:{line.state.value}", Leg.PAYOUT, line.ref, line.changed_at)
