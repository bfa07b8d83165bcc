"""Money out to vendors and workers."""

from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import SYSTEM, Actor
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.money import EXPONENTS, Money, check_currency
from marketplace.core.outbox import emit
from marketplace.ledger import accounts
from marketplace.ledger import queries as ledger_queries
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.payments import policy, tax, tax_forms
from marketplace.payments.errors import AmountOutOfRange, NetTooSmall, NothingToPayOut, TaxFormMissing
from marketplace.payments.gateway import Gateway
from marketplace.payments.models import Payee, Payout
from marketplace.payments.rules import PayoutRules
from marketplace.payments.schemas import AskPayout
from marketplace.payments.states import PayeeKind, PayeeState, Subject
from marketplace.payments.subjects import ask_to_advance
from marketplace.payments.tax_models import TaxedPayout

_PAYEES_A_JOB = 500


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


async def set_auto_payout(session: AsyncSession, actor: Actor, gateway: Gateway, owner: Owner, *, on: bool) -> Payee:
    """Turn automatic payouts of an owner on or off."""
    payee = await payee_of(session, gateway, owner)
    payee.auto_payout = on
    record(session, actor, "payee.auto_payout", f"payee:{payee.id}", on=on)
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
        AmountOutOfRange: the amount is below the provider's minimum, or between its steps.
        NetTooSmall: less than that minimum is left after tax.
        TaxFormMissing: the payee lacks a form that the operator asks for in the payee's country.
        TaxTableMissing: tax is to be withheld, and the operator's table cannot be used.
    """
    check_currency(command.currency)
    payee = await payee_of(session, gateway, owner)
    limits = gateway.capabilities()
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
    return await _begin(session, actor, payee, Money(amount, command.currency), gateway, rules)


async def plan_payouts(session: AsyncSession) -> None:
    """Ask for a payout of every payee with automatic payouts whose account is not empty."""
    after = UUID(int=0)
    while True:
        found = await session.exec(
            select(Payee)
            .where(col(Payee.auto_payout), col(Payee.id) > after)
            .order_by(col(Payee.id))
            .limit(_PAYEES_A_JOB)
        )
        payees = found.all()
        if not payees:
            return
        by_path = {policy.payable_path(payee.kind, payee.owner_id): payee for payee in payees}
        for balance in await ledger_queries.balances(session, list(by_path)):
            if balance.minor > 0:
                payload = {"payee_id": str(by_path[balance.path].id), "currency": balance.currency}
                emit(session, "payments.pay_out", payload)
        after = payees[-1].id


async def pay_out(session: AsyncSession, gateway: Gateway, rules: PayoutRules, payee_id: UUID) -> None:
    """Pay out all that is cleared for a payee who wants that, in every currency."""
    found = await session.exec(select(Payee).where(Payee.id == payee_id).with_for_update())
    payee = found.one()
    if not payee.auto_payout:
        return
    for balance in await ledger_queries.balances(session, [policy.payable_path(payee.kind, payee.owner_id)]):
        amount = policy.payable_part(balance.minor, balance.currency, gateway.capabilities())
        if amount > 0:
            # What is not enough after tax waits until there is more, and what lacks a form until it is verified.
            with suppress(NetTooSmall, TaxFormMissing):
                await _begin(session, SYSTEM, payee, Money(amount, balance.currency), gateway, rules)


async def _begin(
    session: AsyncSession, actor: Actor, payee: Payee, gross: Money, gateway: Gateway, rules: PayoutRules
) -> Payout:
    """Withhold the tax and reserve the rest.

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
