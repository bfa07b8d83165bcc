"""Money in: an enterprise puts money on its prepaid balance."""

from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.core.errors import FieldProblem, Unavailable
from marketplace.core.money import check_currency
from marketplace.payments.errors import AmountOutOfRange
from marketplace.payments.gateway import Gateway
from marketplace.payments.models import Charge
from marketplace.payments.schemas import NextAction, TopUp
from marketplace.payments.states import Subject
from marketplace.payments.subjects import ask_to_advance


async def top_up(
    session: AsyncSession, actor: Actor, gateway: Gateway, organisation_id: UUID, command: TopUp
) -> Charge:
    """Begin a top-up; the balance grows when the provider says that the charge succeeded.

    Raises:
        CurrencyUnknown, AmountOutOfRange: the provider cannot charge that.
    """
    check_currency(command.currency)
    if command.currency not in gateway.capabilities().currencies:
        reason = f"the payment provider does not charge in {command.currency}"
        raise AmountOutOfRange(reason, fields=[FieldProblem("currency", reason)])
    charge = Charge(
        organisation_id=organisation_id,
        provider=gateway.name,
        currency=command.currency,
        amount_minor=command.amount_minor,
    )
    session.add(charge)
    record(
        session, actor, "top_up.ask", f"charge:{charge.id}",
        organisation_id=organisation_id, amount_minor=charge.amount_minor, currency=charge.currency,
    )  # fmt: skip
    ask_to_advance(session, Subject.CHARGE, charge.id)
    return charge


async def next_action(gateway: Gateway, charge_id: UUID, *, publishable_key: str) -> NextAction | None:
    """Return what a pending top-up waits for its payer to do; None when nothing, or the provider does not answer now.

    No transaction may be open.
    """
    try:
        remote = await gateway.get_charge(charge_id.hex)
    except Unavailable:
        return None
    if remote is None or remote.next_action is None:
        return None
    key = publishable_key if "client_secret" in remote.next_action else ""
    return NextAction.model_validate({**remote.next_action, "publishable_key": key or None})
