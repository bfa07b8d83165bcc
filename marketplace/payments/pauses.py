"""The operator's pause switches: a provider, an organisation's money, or the payouts of one payee.

While one stands no new call is planned or sent. What the provider says by itself is still applied, and calls of unknown
outcome are still looked up: a pause never leaves money unaccounted for.
"""

from typing import Final
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from marketplace.core.paging import PageQuery, read_page
from marketplace.identity.queries import organisations_by_id, people_by_id
from marketplace.payments.control_errors import AlreadyPaused, PauseLifted, PauseTargetUnknown, PauseUnknown
from marketplace.payments.control_models import PaymentPause
from marketplace.payments.control_schemas import Pause
from marketplace.payments.control_states import PauseScope
from marketplace.payments.models import Charge, Payee, Payout, ProviderCall, Refund
from marketplace.payments.states import CallState, ChargeState, PayeeState, PayoutState, RefundState, Subject
from marketplace.payments.subjects import ask_to_advance

# one that failed is left to its own next try: a reversal that the provider refused waits for a person
_WAITING_PAYOUTS: Final = (PayoutState.RESERVED, PayoutState.TRANSFERRED)


async def pause(session: AsyncSession, actor: Actor, known_providers: set[str], command: Pause) -> PaymentPause:
    """Stop a target.

    Raises:
        PauseTargetUnknown: there is no such provider, organisation or payee.
        AlreadyPaused: a pause of it stands.
    """
    target = await _checked_target(session, known_providers, command)
    added = await session.execute(
        insert(PaymentPause)
        .values(
            id=new_id(), created_at=now(), scope=command.scope, target=target, reason=command.reason,
            by=actor.principal,
        )
        .on_conflict_do_nothing()
        .returning(col(PaymentPause.id))
    )  # fmt: skip
    made = added.scalar_one_or_none()
    if made is None:
        raise AlreadyPaused
    record(session, actor, "payment.pause", f"{command.scope}:{target}", reason=command.reason, pause_id=str(made))
    return await session.get_one(PaymentPause, made)


async def _checked_target(session: AsyncSession, known_providers: set[str], command: Pause) -> str:
    if command.scope is PauseScope.PROVIDER:
        if command.target not in known_providers:
            raise PauseTargetUnknown
        return command.target
    try:
        target = UUID(command.target)
    except ValueError as error:
        raise PauseTargetUnknown from error
    known = target in await organisations_by_id(session, [target])
    if not known and command.scope is PauseScope.PAYEE:
        known = target in await people_by_id(session, [target])
    if not known:
        raise PauseTargetUnknown
    return str(target)


async def lift(session: AsyncSession, actor: Actor, pause_id: UUID, reason: str) -> PaymentPause:
    """End a pause; what waited goes on soon.

    Raises:
        PauseUnknown: there is no such pause.
        PauseLifted: it was lifted before.
    """
    found = await session.exec(select(PaymentPause).where(PaymentPause.id == pause_id).with_for_update())
    standing = found.first()
    if standing is None:
        raise PauseUnknown
    if standing.lifted_at is not None:
        raise PauseLifted
    standing.lifted_at, standing.lifted_by = now(), actor.principal
    record(session, actor, "payment.lift", f"{standing.scope}:{standing.target}", reason=reason, pause_id=str(pause_id))
    emit(session, "payments.wake", {"scope": standing.scope.value, "target": standing.target})
    return standing


async def list_pauses(
    session: AsyncSession, query: PageQuery, *, standing: bool
) -> tuple[list[PaymentPause], str | None]:
    """Return a page of the pauses that stand, or of all that ever were, newest first."""
    chosen = select(PaymentPause)
    if standing:
        chosen = chosen.where(col(PaymentPause.lifted_at).is_(None))
    return await read_page(session, chosen, PaymentPause.id, query)


async def standing_on(session: AsyncSession, scope: PauseScope, target: str) -> PaymentPause | None:
    """Return the pause of a target that stands, if there is one."""
    found = await session.exec(
        select(PaymentPause).where(
            PaymentPause.scope == scope, PaymentPause.target == target, col(PaymentPause.lifted_at).is_(None)
        )
    )
    return found.first()


async def wake(session: AsyncSession, scope: PauseScope, target: str) -> None:
    """Ask for the next step of everything that a pause of this target held; what needs none ignores it."""
    by_provider = scope is PauseScope.PROVIDER
    of_target = Payee.provider == target if by_provider else Payee.owner_id == UUID(target)
    payees = select(Payee.id).where(of_target)
    wanted = [
        (Subject.PAYEE, payees.where(Payee.state == PayeeState.NEW)),
        (Subject.PAYOUT, select(Payout.id).where(
            col(Payout.state).in_(_WAITING_PAYOUTS), col(Payout.payee_id).in_(payees)
        )),
    ]  # fmt: skip
    if scope is not PauseScope.PAYEE:
        of_charge = Charge.provider == target if by_provider else Charge.organisation_id == UUID(target)
        of_refund = Refund.provider == target if by_provider else Refund.organisation_id == UUID(target)
        wanted += [
            (Subject.CHARGE, select(Charge.id).where(Charge.state == ChargeState.CREATED, of_charge)),
            (Subject.REFUND, select(Refund.id).where(Refund.state == RefundState.ASKED, of_refund)),
        ]
    for subject, waiting in wanted:
        for row_id in (await session.exec(waiting)).all():
            ask_to_advance(session, subject, row_id)
        planned = select(ProviderCall.id).where(
            ProviderCall.state == CallState.SENDING, col(ProviderCall.subject_id).in_(waiting)
        )
        for call_id in (await session.exec(planned)).all():
            emit(session, "payments.send", {"call_id": str(call_id)})
