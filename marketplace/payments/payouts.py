"""Money out to vendors and workers."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.money import EXPONENTS, Money, check_currency
from marketplace.core.outbox import emit
from marketplace.ledger import accounts
from marketplace.ledger import queries as ledger_queries
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.payments import holds, policy, tax, tax_forms
from marketplace.payments.errors import AmountOutOfRange, NetTooSmall, NothingToPayOut
from marketplace.payments.gateway import Gateway
from marketplace.payments.models import Payee, Payout
from marketplace.payments.rules import PayoutRules
from marketplace.payments.schemas import AskPayout
from marketplace.payments.states import PayeeKind, PayeeState, Subject
from marketplace.payments.subjects import ask_to_advance, lock_subject
from marketplace.payments.tax_models import TaxedPayout


@dataclass(frozen=True, slots=True)
class Owner:
    """Who is to be paid, and the name the provider will know them by."""

    kind: PayeeKind
    id: UUID
    display_name: str


async def payee_of(session: AsyncSession, gateway: Gateway, owner: Owner) -> Payee:
    """Return the payee row of an owner at this provider; makes it when it is missing."""
    await session.execute(
        insert(Payee)
        .values(
            id=new_id(), created_at=now(), kind=owner.kind, owner_id=owner.id, provider=gateway.name,
            display_name=owner.display_name, auto_payout=False, state=PayeeState.NEW,
        )
        .on_conflict_do_nothing(index_elements=["kind", "owner_id", "provider"])
    )  # fmt: skip
    found = await session.exec(
        select(Payee).where(Payee.kind == owner.kind, Payee.owner_id == owner.id, Payee.provider == gateway.name)
    )
    return found.one()


async def set_auto_payout(
    session: AsyncSession, actor: Actor, gateway: Gateway, owner: Owner, *, on: bool, **facts: Any
) -> Payee:
    """Turn automatic payouts of an owner on or off; `facts` of the act stand in the trail too."""
    payee = await payee_of(session, gateway, owner)
    payee.auto_payout = on
    record(session, actor, "payee.auto_payout", f"payee:{payee.id}", on=on, **facts)
    if on:
        emit(session, "payments.pay_out", {"payee_id": str(payee.id)})
    return payee


async def ask_payout(
    session: AsyncSession, actor: Actor, gateway: Gateway, rules: PayoutRules, owner: Owner, command: AskPayout
) -> Payout:
    """Reserve cleared money and begin to pay it out.

    Raises:
        InsufficientFunds: more is asked than is cleared.
        NothingToPayOut: no amount is given, and nothing the provider could pay out is there.
        PayoutMethodMissing: the provider needs to be told where to pay, and the payee has not said.
        PayoutsPaused, PayeeNotActive, MethodCooling: nothing is paid out to the payee now.
        AmountOutOfRange: the amount is below the provider's minimum, or between its steps.
        NetTooSmall: less than that minimum is left after tax.
        TaxFormMissing: the payee lacks a form that the operator asks for in the payee's country.
        TaxTableMissing: tax is to be withheld, and the operator's table cannot be used.
    """
    check_currency(command.currency)
    payee = await payee_of(session, gateway, owner)
    await lock_subject(session, Subject.PAYEE, payee.id)  # one payout of a balance at a time, none past a new method
    await holds.check_may_begin(session, payee, command.currency)
    limits = gateway.capabilities()
    if limits.needs_bank_details:
        await holds.check_account_given(session, payee, command.currency)
    if command.amount_minor is None:
        balance = await ledger_queries.balance(
            session, policy.payable_path(payee.kind, payee.owner_id), command.currency
        )
        amount = policy.payable_part(balance, command.currency, limits)
        if amount <= 0:
            raise NothingToPayOut
    else:
        amount = command.amount_minor
        if policy.payable_part(amount, command.currency, limits) != amount:
            raise AmountOutOfRange
    return await begin(session, actor, payee, Money(amount, command.currency), gateway, rules)


async def begin(
    session: AsyncSession, actor: Actor, payee: Payee, gross: Money, gateway: Gateway, rules: PayoutRules
) -> Payout:
    """Begin a payout of a locked payee: withhold the tax, reserve the rest.

    Raises:
        TaxFormMissing, NetTooSmall: nothing is reserved.
    """
    await tax_forms.check(session, rules, payee.kind, payee.owner_id)
    withheld = await tax.withhold(session, rules, payee, gross.minor, gross.currency)
    net = Money(gross.minor - withheld.tax_minor, gross.currency)
    if net.minor <= 0 or policy.payable_part(net.minor, net.currency, gateway.capabilities()) != net.minor:
        tax_text = str(Money(withheld.tax_minor, gross.currency))
        raise NetTooSmall(f"Of {gross} the tax is {tax_text}; {gateway.name} does not pay out the {net} that are left.")
    payout = Payout(
        payee_id=payee.id, provider=payee.provider, currency=net.currency, amount_minor=net.minor,
        tax_minor=withheld.tax_minor, tax_mode=withheld.mode.value, tax_table=withheld.table,
        tax_authority=withheld.authority,
    )  # fmt: skip
    session.add(payout)
    await session.flush()
    await _reserve(session, payee, payout, withheld)
    record(
        session, actor, "payout.ask", f"payout:{payout.id}",
        organisation_id=payee.owner_id if payee.kind is PayeeKind.VENDOR else None,
        amount_minor=gross.minor, tax_minor=withheld.tax_minor, currency=net.currency,
        exponent=EXPONENTS[net.currency],
    )  # fmt: skip
    ask_to_advance(session, Subject.PAYOUT, payout.id)
    return payout


async def _reserve(session: AsyncSession, payee: Payee, payout: Payout, withheld: tax.Withheld) -> None:
    legs = [
        debit(policy.payable_path(payee.kind, payee.owner_id), payout.gross_minor),
        credit(accounts.payout_pending(payout.id), payout.amount_minor),
    ]
    if withheld.authority is not None and withheld.month is not None:
        legs.append(credit(accounts.tax(withheld.authority), withheld.tax_minor))
        session.add(TaxedPayout(payout_id=payout.id, authority=withheld.authority, month=withheld.month))
    facts = {"payout_id": str(payout.id), "payee_id": str(payee.id)}
    key = policy.payout_key(payout.id, "reserve")
    await ledger.post(session, key, "payout.reserve", legs, payout.currency, facts=facts)
