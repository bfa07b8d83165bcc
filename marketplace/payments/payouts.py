"""Money out to vendors and workers."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import SYSTEM, Actor
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.money import EXPONENTS, check_currency
from marketplace.core.outbox import emit
from marketplace.ledger import accounts
from marketplace.ledger import queries as ledger_queries
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.payments import policy, tax
from marketplace.payments.bank_file.bank_details import has_bank_details, need_bank_details
from marketplace.payments.errors import AmountOutOfRange, NothingToPayOut
from marketplace.payments.gateway import Gateway
from marketplace.payments.models import Payee, Payout
from marketplace.payments.schemas import AskPayout
from marketplace.payments.states import PayeeKind, PayeeState, Subject
from marketplace.payments.subjects import ask_to_advance

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


async def ask_payout(session: AsyncSession, actor: Actor, gateway: Gateway, owner: Owner, command: AskPayout) -> Payout:
    """Reserve cleared money and begin to pay it out.

    Raises:
        InsufficientFunds: more is asked than is cleared.
        BankDetailsMissing: the provider needs to be told where to pay, and the payee has not said.
        NothingToPayOut: no amount is given, and nothing the provider could pay out is there.
        AmountOutOfRange: the amount is below the provider's minimum, or between its steps.
    """
    check_currency(command.currency)
    payee = await payee_of(session, gateway, owner)
    limits = gateway.capabilities()
    if limits.needs_bank_details:
        await need_bank_details(session, payee)
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
    payout = await _begin(session, actor, payee, amount, command.currency, gateway)
    if payout is None:
        raise AmountOutOfRange
    return payout


async def plan_payouts(session: AsyncSession, provider: str) -> None:
    """Ask for a payout of every payee of a provider with automatic payouts whose account is not empty."""
    after = UUID(int=0)
    while True:
        found = await session.exec(
            select(Payee)
            .where(col(Payee.auto_payout), Payee.provider == provider, col(Payee.id) > after)
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


async def pay_out(session: AsyncSession, gateway: Gateway, payee_id: UUID) -> None:
    """Pay out all that is cleared for a payee who wants that, in every currency."""
    found = await session.exec(select(Payee).where(Payee.id == payee_id).with_for_update())
    payee = found.one()
    if not payee.auto_payout or payee.provider != gateway.name:
        return
    if gateway.capabilities().needs_bank_details and not await has_bank_details(session, payee):
        return
    for balance in await ledger_queries.balances(session, [policy.payable_path(payee.kind, payee.owner_id)]):
        amount = policy.payable_part(balance.minor, balance.currency, gateway.capabilities())
        if amount > 0:
            await _begin(session, SYSTEM, payee, amount, balance.currency, gateway)


async def _begin(
    session: AsyncSession, actor: Actor, payee: Payee, gross_minor: int, currency: str, gateway: Gateway
) -> Payout | None:
    """Withhold the tax and reserve the rest; None when the provider does not pay out what is left."""
    withheld = await tax.withhold(session, payee, gross_minor, currency)
    net_minor = gross_minor - withheld.tax_minor
    if net_minor <= 0 or policy.payable_part(net_minor, currency, gateway.capabilities()) != net_minor:
        return None
    payout = Payout(
        payee_id=payee.id, provider=payee.provider, currency=currency, amount_minor=net_minor,
        tax_minor=withheld.tax_minor, tax_mode=withheld.mode.value, tax_table=withheld.table,
        tax_authority=withheld.authority,
    )  # fmt: skip
    session.add(payout)
    await session.flush()
    legs = [
        debit(policy.payable_path(payee.kind, payee.owner_id), gross_minor),
        credit(accounts.payout_pending(payout.id), net_minor),
    ]
    if withheld.authority is not None:
        legs.append(credit(accounts.tax(withheld.authority), withheld.tax_minor))
    facts = {"payout_id": str(payout.id), "payee_id": str(payee.id)}
    await ledger.post(session, policy.payout_key(payout.id, "reserve"), "payout.reserve", legs, currency, facts=facts)
    record(
        session, actor, "payout.ask", f"payout:{payout.id}",
        organisation_id=payee.owner_id if payee.kind is PayeeKind.VENDOR else None,
        amount_minor=gross_minor, tax_minor=withheld.tax_minor, currency=currency, exponent=EXPONENTS[currency],
    )  # fmt: skip
    ask_to_advance(session, Subject.PAYOUT, payout.id)
    return payout
