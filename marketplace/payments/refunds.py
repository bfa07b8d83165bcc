"""Unspent money back to the charges it came from."""

from uuid import UUID

from sqlalchemy import ColumnElement
from sqlmodel import and_, col, select, true
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import Entry, credit, debit
from marketplace.payments.errors import SourceSpent
from marketplace.payments.models import Charge, Chargeback, Refund
from marketplace.payments.states import ChargebackState, ChargeState, Subject
from marketplace.payments.subjects import ask_to_advance


async def refund_to_source(
    session: AsyncSession,
    actor: Actor,
    organisation_id: UUID,
    amount_minor: int,
    currency: str,
    *,
    cause: str,
    only: ColumnElement[bool] | None = None,
) -> list[Refund]:
    """Take money from the prepaid balance and begin to give it back, to the newest charges first.

    `cause` ("close:{request}") makes a repeated call return the refunds of the first. `only` says to which charges.

    Raises:
        SourceSpent: the charges do not hold that much any more.
        InsufficientFunds: the prepaid balance does not.
    """
    earlier = await session.exec(select(Refund).where(Refund.cause == cause))
    if refunds := list(earlier.all()):
        return refunds
    charges = await _lock_charges(session, organisation_id, currency, true() if only is None else only)
    refunds = _spread(charges, amount_minor, cause)
    session.add_all(refunds)
    await session.flush()
    await ledger.post_many(session, [_asked(refund) for refund in refunds])
    for refund in refunds:
        record(
            session,
            actor,
            "refund.ask",
            f"refund:{refund.id}",
            organisation_id=organisation_id,
            amount_minor=refund.amount_minor,
            currency=currency,
            cause=cause,
        )
        ask_to_advance(session, Subject.REFUND, refund.id)
    return refunds


def can_be_refunded() -> ColumnElement[bool]:
    """Return the condition that a charge holds money that may go back to it.

    Providers refuse to refund a charge that was charged back, unless that was won.
    """
    charged_back = select(Chargeback.id).where(
        Chargeback.charge_id == Charge.id, Chargeback.state != ChargebackState.WON
    )
    return and_(
        Charge.state == ChargeState.SUCCEEDED,
        col(Charge.refunded_minor) < col(Charge.amount_minor),
        ~charged_back.exists(),
    )


async def _lock_charges(
    session: AsyncSession, organisation_id: UUID, currency: str, only: ColumnElement[bool]
) -> list[Charge]:
    found = await session.exec(
        select(Charge)
        .where(Charge.organisation_id == organisation_id, Charge.currency == currency, can_be_refunded(), only)
        .order_by(col(Charge.id).desc())
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return list(found.all())


def _spread(charges: list[Charge], amount_minor: int, cause: str) -> list[Refund]:
    held = sum(charge.amount_minor - charge.refunded_minor for charge in charges)
    if held < amount_minor:
        raise SourceSpent(f"{amount_minor - held} minor units more than the charges hold")
    refunds: list[Refund] = []
    left = amount_minor
    for charge in charges:
        part = min(left, charge.amount_minor - charge.refunded_minor)
        if part == 0:
            break
        charge.refunded_minor += part
        left -= part
        refund = Refund(
            charge_id=charge.id, organisation_id=charge.organisation_id, provider=charge.provider, cause=cause,
            currency=charge.currency, amount_minor=part,
        )  # fmt: skip
        refunds.append(refund)
    return refunds


def _asked(refund: Refund) -> Entry:
    legs = [
        debit(accounts.org_cash(refund.organisation_id), refund.amount_minor),
        credit(accounts.refund_pending(refund.id), refund.amount_minor),
    ]
    facts = {"refund_id": str(refund.id), "cause": refund.cause}
    return Entry(f"refund:{refund.id}:asked", "refund.asked", legs, refund.currency, facts=facts)
