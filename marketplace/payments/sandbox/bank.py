"""What the sandbox does with its books: the effects of calls, and of time. Each function works in the given session."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.money import Money
from marketplace.core.outbox import emit
from marketplace.payments.errors import Rejected
from marketplace.payments.gateway import RemoteState
from marketplace.payments.sandbox import magic
from marketplace.payments.sandbox.models import SandboxEntry, SandboxEvent, SandboxObject
from marketplace.payments.sandbox.settings import SandboxSettings
from marketplace.payments.states import Leg

_PAYEE_BALANCE = text(
    """
    SELECT coalesce(sum(CASE kind WHEN 'transfer' THEN amount_minor ELSE -amount_minor END), 0) FROM sandbox_object
    WHERE currency = :currency AND (
        (parent_id = :payee AND (kind = 'transfer' OR (kind = 'payout' AND state <> 'failed')))
        OR (kind = 'reversal' AND parent_id IN (
            SELECT id FROM sandbox_object WHERE parent_id = :payee AND kind = 'transfer')))
    """
)


async def lock_books(session: AsyncSession, currency: str) -> None:
    """Make the calls in one currency follow each other, so that no balance is spent twice."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"sandbox:{currency}"})


async def first_with(session: AsyncSession, kind: Leg, ref: str) -> SandboxObject | None:
    """Return the oldest object with the client's reference."""
    found = await session.exec(
        select(SandboxObject)
        .where(SandboxObject.kind == kind, SandboxObject.ref == ref)
        .order_by(col(SandboxObject.id))
        .limit(1)
    )
    return found.first()


async def balances(session: AsyncSession) -> dict[str, tuple[int, int]]:
    """Return the client's (available, pending) balance per currency."""
    amount = col(SandboxEntry.amount_minor)
    ready = col(SandboxEntry.available_at) <= now()
    found = await session.exec(
        select(
            SandboxEntry.currency,
            func.coalesce(func.sum(amount).filter(ready), 0),
            func.coalesce(func.sum(amount).filter(~ready), 0),
        ).group_by(col(SandboxEntry.currency))
    )
    return {currency: (int(available), int(pending)) for currency, available, pending in found}


@dataclass(frozen=True, slots=True)
class Bank:
    """The effects; bound to one session."""

    session: AsyncSession
    settings: SandboxSettings

    async def make_payee(self, ref: str, display_name: str) -> SandboxObject:
        """Take a payee, unless the name asks for a refusal."""
        if magic.payee_refused(display_name):
            raise Rejected("payee_refused", "the payee could not be identified")
        payee = SandboxObject(kind=Leg.PAYEE, ref=ref, display_name=display_name, state=RemoteState.SUCCEEDED)
        return self._add(payee)

    async def set_payee(self, ref: str, state: RemoteState, code: str | None) -> None:
        """Let a payee lapse or be active again, and tell of it."""
        payee = await first_with(self.session, Leg.PAYEE, ref)
        if payee is None:
            raise Rejected("payee_unknown")
        payee.state, payee.failure_code = state, code
        self._tell(payee)

    async def charge(self, ref: str, amount: Money) -> SandboxObject:
        """Take money in; it is available after `available_after_seconds`."""
        if magic.declined(amount):
            raise Rejected("card_declined", "the bank declined the charge")
        fee = amount.minor * self.settings.fee_bps // 10_000
        charge = self._object(Leg.CHARGE, ref, amount, fee_minor=fee)
        if magic.fails_later(amount):
            self._set_due(charge, RemoteState.FAILED, self.settings.available_after_seconds)
            return self._add(charge)
        charge.state = RemoteState.SUCCEEDED
        self._add(charge)
        await self._book(charge, amount.minor - fee, delay_seconds=self.settings.available_after_seconds)
        return charge

    async def refund(self, ref: str, amount: Money, charge_ref: str) -> SandboxObject:
        """Give back a charge in whole or in part."""
        charge = await first_with(self.session, Leg.CHARGE, charge_ref)
        if charge is None or charge.state is not RemoteState.SUCCEEDED or charge.currency != amount.currency:
            raise Rejected("charge_not_refundable")
        earlier = await self._sum(Leg.REFUND, charge.id)
        if earlier + amount.minor > charge.amount_minor:
            raise Rejected("charge_already_refunded")
        await self._need_available(amount)
        refund = self._add(self._object(Leg.REFUND, ref, amount, parent_id=charge.id, state=RemoteState.SUCCEEDED))
        await self._book(refund, -amount.minor)
        return refund

    async def transfer(self, ref: str, amount: Money, payee_ref: str) -> SandboxObject:
        """Move available money to a payee's balance."""
        payee = await self._payee(payee_ref)
        await self._need_available(amount)
        transfer = self._add(self._object(Leg.TRANSFER, ref, amount, parent_id=payee.id, state=RemoteState.SUCCEEDED))
        await self._book(transfer, -amount.minor)
        return transfer

    async def reverse(self, ref: str, amount: Money, transfer_ref: str) -> SandboxObject:
        """Take a whole transfer back from the payee's balance."""
        transfer = await first_with(self.session, Leg.TRANSFER, transfer_ref)
        if transfer is None or (transfer.amount_minor, transfer.currency) != (amount.minor, amount.currency):
            raise Rejected("transfer_not_reversible")
        if await self._sum(Leg.REVERSAL, transfer.id) or transfer.parent_id is None:
            raise Rejected("transfer_already_reversed")
        await self._need_payee_balance(transfer.parent_id, amount)
        reversal = self._object(Leg.REVERSAL, ref, amount, parent_id=transfer.id, state=RemoteState.SUCCEEDED)
        await self._book(self._add(reversal), amount.minor)
        return reversal

    async def payout(self, ref: str, amount: Money, payee_ref: str) -> SandboxObject:
        """Send a payee's balance to the payee's bank; the bank answers later."""
        payee = await self._payee(payee_ref)
        await self._need_payee_balance(payee.id, amount)
        payout = self._object(Leg.PAYOUT, ref, amount, parent_id=payee.id, display_name=payee.display_name)
        goal = RemoteState.FAILED if magic.payout_fails(payee.display_name) else RemoteState.SUCCEEDED
        self._set_due(payout, goal, self.settings.paid_after_seconds)
        return self._add(payout)

    async def advance(self) -> int:
        """Let the bank simulator answer what is due; return how many objects moved."""
        found = await self.session.exec(
            select(SandboxObject)
            .where(col(SandboxObject.due_at) <= now())
            .order_by(col(SandboxObject.due_at))
            .limit(200)
            .with_for_update(skip_locked=True)
        )
        moved = list(found.all())
        for thing in moved:
            await self._arrive(thing)
        return len(moved)

    async def _arrive(self, thing: SandboxObject) -> None:
        thing.state = RemoteState(thing.due_state or RemoteState.FAILED)
        thing.due_at = thing.due_state = None
        if thing.state is RemoteState.FAILED:
            thing.failure_code = "bank_returned" if thing.failure_code == "was_paid" else "bank_refused"
        elif await self._is_to_return(thing):
            thing.failure_code = "was_paid"
            self._set_due(thing, RemoteState.FAILED, self.settings.returned_after_seconds)
        self._tell(thing)

    async def _is_to_return(self, payout: SandboxObject) -> bool:
        """Whether the bank will return this payout, which has just been paid."""
        if magic.payout_returns(payout.display_name):
            return True
        if not magic.first_payout_returns(payout.display_name):
            return False
        earlier = await self.session.exec(
            select(SandboxObject.id).where(
                SandboxObject.parent_id == payout.parent_id,
                SandboxObject.kind == Leg.PAYOUT,
                col(SandboxObject.id) < payout.id,
            )
        )
        return earlier.first() is None

    def _object(self, kind: Leg, ref: str, amount: Money, **values: Any) -> SandboxObject:
        values.setdefault("state", RemoteState.PENDING)
        return SandboxObject(kind=kind, ref=ref, currency=amount.currency, amount_minor=amount.minor, **values)

    def _add(self, thing: SandboxObject) -> SandboxObject:
        self.session.add(thing)
        if thing.state is not RemoteState.PENDING:
            self._tell(thing)
        return thing

    def _tell(self, thing: SandboxObject) -> None:
        event = SandboxEvent(kind=thing.kind, ref=thing.ref, type=f"{thing.kind.value}.{thing.state.value}")
        self.session.add(event)
        emit(self.session, "sandbox.deliver", {"event_id": str(event.id)})

    def _set_due(self, thing: SandboxObject, goal: RemoteState, delay_seconds: int) -> None:
        thing.due_at = now() + timedelta(seconds=delay_seconds)
        thing.due_state = goal.value
        emit(self.session, "sandbox.advance", {}, due_at=thing.due_at)

    async def _book(self, thing: SandboxObject, amount_minor: int, *, delay_seconds: int = 0) -> None:
        await self.session.flush()
        available_at = now() + timedelta(seconds=delay_seconds)
        self.session.add(
            SandboxEntry(
                object_id=thing.id, currency=thing.currency, amount_minor=amount_minor, available_at=available_at
            )
        )

    async def _payee(self, ref: str) -> SandboxObject:
        payee = await first_with(self.session, Leg.PAYEE, ref)
        if payee is None:
            raise Rejected("payee_unknown")
        if payee.state is not RemoteState.SUCCEEDED:
            raise Rejected("payee_not_active", payee.failure_code or "")
        return payee

    async def _sum(self, kind: Leg, parent_id: UUID) -> int:
        found = await self.session.exec(
            select(func.coalesce(func.sum(col(SandboxObject.amount_minor)), 0)).where(
                SandboxObject.parent_id == parent_id, SandboxObject.kind == kind
            )
        )
        return int(found.one())

    async def _need_available(self, amount: Money) -> None:
        available, _ = (await balances(self.session)).get(amount.currency, (0, 0))
        if available < amount.minor:
            raise Rejected("balance_insufficient", f"{available} available, {amount.minor} asked")

    async def _need_payee_balance(self, payee_id: UUID, amount: Money) -> None:
        found = await self.session.execute(_PAYEE_BALANCE, {"payee": payee_id, "currency": amount.currency})
        if int(found.scalar_one()) < amount.minor:
            raise Rejected("balance_insufficient", "the payee's balance does not hold that")
