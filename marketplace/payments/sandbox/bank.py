"""What the sandbox does with its books: the effects of calls, and of time. Each function works in the given session."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.money import Money
from marketplace.core.outbox import emit
from marketplace.payments.errors import Rejected, SandboxObjectUnknown, SandboxOutcomeImpossible
from marketplace.payments.gateway import RemoteState
from marketplace.payments.sandbox import magic
from marketplace.payments.sandbox.knobs import bank_now, bank_time
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
    ready = col(SandboxEntry.available_at) <= bank_time()
    found = await session.exec(
        select(
            SandboxEntry.currency,
            func.coalesce(func.sum(amount).filter(ready), 0),
            func.coalesce(func.sum(amount).filter(~ready), 0),
        ).group_by(col(SandboxEntry.currency))
    )
    return {currency: (int(available), int(pending)) for currency, available, pending in found}


def _goal(*, won: bool) -> RemoteState:
    return RemoteState.SUCCEEDED if won else RemoteState.FAILED


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
            await self._set_due(charge, RemoteState.FAILED, self.settings.available_after_seconds)
            return self._add(charge)
        charge.state = RemoteState.SUCCEEDED
        self._add(charge)
        await self._book(charge, amount.minor - fee, delay_seconds=self.settings.available_after_seconds)
        end = magic.disputed(amount)
        if end is not None:
            await self._set_due(charge, _goal(won=end), self.settings.returned_after_seconds)
        return charge

    async def dispute(self, charge: SandboxObject, amount: Money, *, won: bool | None = None) -> SandboxObject:
        """Let the payer's bank take a charge back, in whole or in part; its money leaves at once, with a fee.

        With `won` the dispute is decided after `returned_after_seconds`, without it by `close_dispute`.
        """
        fee = self.settings.dispute_fee_minor
        dispute = self._object(Leg.DISPUTE, "", amount, fee_minor=fee, parent_id=charge.id)
        dispute.ref = dispute.id.hex
        self.session.add(dispute)
        await self._book(dispute, -(amount.minor + fee))
        self._tell(dispute)
        if won is not None:
            await self._set_due(dispute, _goal(won=won), self.settings.returned_after_seconds)
        return dispute

    async def close_dispute(self, dispute: SandboxObject, goal: RemoteState) -> None:
        """Decide a dispute: succeeded brings the money back, failed does not."""
        if dispute.state is not RemoteState.PENDING:
            return
        dispute.state, dispute.due_at, dispute.due_state = goal, None, None
        if goal is RemoteState.SUCCEEDED:
            await self._book(dispute, dispute.amount_minor)
        self._tell(dispute)

    async def refund(self, ref: str, amount: Money, charge_ref: str) -> SandboxObject:
        """Give back a charge in whole or in part."""
        charge = await first_with(self.session, Leg.CHARGE, charge_ref)
        if charge is None or charge.state is not RemoteState.SUCCEEDED or charge.currency != amount.currency:
            raise Rejected("charge_not_refundable")
        if await self._sum(Leg.DISPUTE, charge.id, but=RemoteState.SUCCEEDED):
            raise Rejected("charge_disputed")
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
        await self._set_due(payout, goal, self.settings.paid_after_seconds)
        return self._add(payout)

    async def advance(self) -> int:
        """Let the bank simulator answer what is due; return how many objects moved."""
        found = await self.session.exec(
            select(SandboxObject)
            .where(col(SandboxObject.due_at) <= bank_time())
            .order_by(col(SandboxObject.due_at))
            .limit(200)
            .with_for_update(skip_locked=True)
        )
        moved = list(found.all())
        for thing in moved:
            await self._arrive(thing)
        return len(moved)

    async def force(self, kind: Leg, ref: str, outcome: str) -> SandboxObject:
        """Let a payee, charge, payout or dispute become what the operator says, whatever its script.

        Raises:
            SandboxObjectUnknown: there is none with this reference.
            SandboxOutcomeImpossible: what is pending arrives or fails; only what was paid is returned or disputed.
        """
        thing = await first_with(self.session, kind, ref)
        if thing is None:
            raise SandboxObjectUnknown
        await lock_books(self.session, thing.currency)
        await self.session.refresh(thing, with_for_update=True)
        if kind is Leg.PAYEE:
            lapsed = outcome == "lapsed"
            code = "requirements_due" if lapsed else None
            await self.set_payee(ref, RemoteState.FAILED if lapsed else RemoteState.SUCCEEDED, code)
            return thing
        if thing.state is not (RemoteState.SUCCEEDED if outcome in {"returned", "disputed"} else RemoteState.PENDING):
            raise SandboxOutcomeImpossible
        if outcome == "disputed":
            return await self.dispute(thing, Money(thing.amount_minor, thing.currency))
        await self._end(thing, outcome)
        return thing

    async def _end(self, thing: SandboxObject, outcome: str) -> None:
        failed = outcome in {"failed", "returned", "lost"}
        thing.due_state = RemoteState.FAILED if failed else RemoteState.SUCCEEDED
        thing.failure_code = "was_paid" if outcome == "returned" else None
        await self._arrive(thing)
        if thing.kind is Leg.CHARGE and not failed:
            await self._book(thing, thing.amount_minor - thing.fee_minor)

    async def _arrive(self, thing: SandboxObject) -> None:
        if thing.kind is Leg.DISPUTE:
            await self.close_dispute(thing, RemoteState(thing.due_state or RemoteState.FAILED))
            return
        if thing.kind is Leg.CHARGE and thing.state is RemoteState.SUCCEEDED:
            won = thing.due_state == RemoteState.SUCCEEDED
            await self.dispute(thing, Money(thing.amount_minor, thing.currency), won=won)
            thing.due_at = thing.due_state = None
            return
        thing.state = RemoteState(thing.due_state or RemoteState.FAILED)
        thing.due_at = thing.due_state = None
        if thing.state is RemoteState.FAILED:
            thing.failure_code = "bank_returned" if thing.failure_code == "was_paid" else "bank_refused"
        elif await self._is_to_return(thing):
            thing.failure_code = "was_paid"
            await self._set_due(thing, RemoteState.FAILED, self.settings.returned_after_seconds)
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

    async def _set_due(self, thing: SandboxObject, goal: RemoteState, delay_seconds: int) -> None:
        thing.due_at = await self._after(delay_seconds)
        thing.due_state = goal.value
        emit(self.session, "sandbox.advance", {}, due_at=now() + timedelta(seconds=delay_seconds))

    async def _after(self, delay_seconds: int) -> datetime:
        """Return the bank's time after a delay; without one our own time serves, which is never later."""
        return await bank_now(self.session) + timedelta(seconds=delay_seconds) if delay_seconds else now()

    async def _book(self, thing: SandboxObject, amount_minor: int, *, delay_seconds: int = 0) -> None:
        await self.session.flush()
        available_at = await self._after(delay_seconds)
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

    async def _sum(self, kind: Leg, parent_id: UUID, *, but: RemoteState | None = None) -> int:
        chosen = select(func.coalesce(func.sum(col(SandboxObject.amount_minor)), 0)).where(
            SandboxObject.parent_id == parent_id, SandboxObject.kind == kind
        )
        found = await self.session.exec(chosen if but is None else chosen.where(SandboxObject.state != but))
        return int(found.one())

    async def _need_available(self, amount: Money) -> None:
        available, _ = (await balances(self.session)).get(amount.currency, (0, 0))
        if available < amount.minor:
            raise Rejected("balance_insufficient", f"{available} available, {amount.minor} asked")

    async def _need_payee_balance(self, payee_id: UUID, amount: Money) -> None:
        found = await self.session.execute(_PAYEE_BALANCE, {"payee": payee_id, "currency": amount.currency})
        if int(found.scalar_one()) < amount.minor:
            raise Rejected("balance_insufficient", "the payee's balance does not hold that")
