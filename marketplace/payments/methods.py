"""Where a payee's money goes: one bank account for each provider and currency, and the cooling time after a change.

An account that somebody took over is emptied by changing the bank account first. So nothing is paid out for a day after
a change, to the new account or the old one (money.md §5), and the payee sees the change in the meantime.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.money import check_currency
from marketplace.core.sealed import seal_text, unseal_text
from marketplace.core.settings import Settings
from marketplace.payments.control_models import PayoutMethod
from marketplace.payments.control_schemas import PayoutMethodView, SetPayoutMethod
from marketplace.payments.gateway import Gateway
from marketplace.payments.models import Payee
from marketplace.payments.payouts import Owner, payee_of
from marketplace.payments.states import PayeeKind, PayeeState, Subject
from marketplace.payments.subjects import ask_to_advance, lock_subject

_PURPOSE: Final = "kapok payout account v1"
_SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class BankAccount:
    """A payee's account in full, for a rail that pays to it; the number stands in no log, trail or answer."""

    holder_name: str
    bank_name: str
    bank_code: str
    account_number: str = field(repr=False)


async def set_method(
    session: AsyncSession, actor: Actor, gateway: Gateway, settings: Settings, owner: Owner, command: SetPayoutMethod
) -> PayoutMethodView:
    """Take down where an owner's money goes; a repetition with the same account changes nothing and cools nothing.

    Raises:
        CurrencyUnknown: there is no such currency.
        SecretKeyMissing: this Kapok may keep no account numbers.
    """
    check_currency(command.currency)
    payee = await payee_of(session, gateway, owner)
    await lock_subject(session, Subject.PAYEE, payee.id)  # a payout that begins now waits, and then sees the change
    method = await method_of(session, payee, command.currency)
    if method is None or not _same(method, command, settings):
        method = await _write(session, settings, payee, method, command)
        record(
            session, actor, "payout_method.change", f"payee:{payee.id}",
            organisation_id=payee.owner_id if payee.kind is PayeeKind.VENDOR else None,
            provider=payee.provider, currency=method.currency, account_last4=method.account_last4,
        )  # fmt: skip
    if payee.state is PayeeState.NEW:
        ask_to_advance(session, Subject.PAYEE, payee.id)
    return view_of(method)


async def _write(
    session: AsyncSession, settings: Settings, payee: Payee, method: PayoutMethod | None, command: SetPayoutMethod
) -> PayoutMethod:
    row_id, changed_at = new_id(), now()
    secret = settings.secret_key.get_secret_value()
    values = command.model_dump(include={"holder_name", "bank_name", "bank_code"}) | {
        "id": row_id,
        "account_sealed": seal_text(secret, _PURPOSE, row_id, command.account_number),
        "account_last4": command.account_number[-_SHOWN:],
        "changed_at": changed_at,
        "usable_from": changed_at + timedelta(seconds=settings.payout_method_cooling_seconds),
    }
    if method is None:
        method = PayoutMethod(
            kind=payee.kind, owner_id=payee.owner_id, provider=payee.provider, currency=command.currency, **values
        )
    else:
        method.sqlmodel_update(values)
    session.add(method)
    await session.flush()
    return method


def _same(method: PayoutMethod, command: SetPayoutMethod, settings: Settings) -> bool:
    kept = account_in(method, settings)
    asked = BankAccount(command.holder_name, command.bank_name, command.bank_code, command.account_number)
    return kept == asked


async def method_of(session: AsyncSession, payee: Payee, currency: str) -> PayoutMethod | None:
    """Return where a payee's money in a currency goes, as it is now; None when nothing was given."""
    found = await session.exec(
        select(PayoutMethod)
        .where(
            PayoutMethod.kind == payee.kind, PayoutMethod.owner_id == payee.owner_id,
            PayoutMethod.provider == payee.provider, PayoutMethod.currency == currency,
        )
        .execution_options(populate_existing=True)
    )  # fmt: skip
    return found.first()


def account_in(method: PayoutMethod, settings: Settings) -> BankAccount:
    """Return the account in full; raises `SecretBroken` when it was tampered with."""
    number = unseal_text(settings.secret_key.get_secret_value(), _PURPOSE, method.id, method.account_sealed)
    return BankAccount(method.holder_name, method.bank_name, method.bank_code, number)


async def methods_of(session: AsyncSession, kind: PayeeKind, owner_id: UUID) -> list[PayoutMethodView]:
    """Return where an owner's money goes, by provider and currency; a handful at most."""
    found = await session.exec(
        select(PayoutMethod)
        .where(PayoutMethod.kind == kind, PayoutMethod.owner_id == owner_id)
        .order_by(col(PayoutMethod.provider), col(PayoutMethod.currency))
    )
    return [view_of(method) for method in found]


def view_of(method: PayoutMethod) -> PayoutMethodView:
    """Return a method as its payee sees it."""
    facts = method.model_dump(include=set(PayoutMethodView.model_fields))
    return PayoutMethodView(**facts, cooling_until=method.usable_from if method.usable_from > now() else None)
