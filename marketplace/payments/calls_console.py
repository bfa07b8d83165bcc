"""Provider calls whose outcome is open, as an operator sees them, and what an operator may do about one."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.outbox import emit
from marketplace.core.paging import PageQuery, read_page
from marketplace.payments import saga
from marketplace.payments.errors import CallNotOpen, CallUnknown, RemoteMismatch
from marketplace.payments.gateway import Gateway, RemoteObject
from marketplace.payments.models import ProviderCall
from marketplace.payments.states import OPEN_CALLS, CallState, Leg
from marketplace.payments.subjects import lock_call, lock_subject

_SEND: Final = "payments.send"
_RESOLVE: Final = "payments.resolve"


async def open_calls(
    session: AsyncSession, older_than: timedelta, query: PageQuery
) -> tuple[list[ProviderCall], str | None]:
    """Return a page of the calls that are under way or unknown since this long, newest first."""
    chosen = select(ProviderCall).where(
        col(ProviderCall.state).in_(OPEN_CALLS), col(ProviderCall.created_at) <= now() - older_than
    )
    return await read_page(session, chosen, ProviderCall.id, query)


async def look_up(session: AsyncSession, actor: Actor, call_id: UUID, reason: str) -> ProviderCall:
    """Ask for a look-up of a call at the provider, now; raises `CallUnknown`, or `CallNotOpen` unless it is unknown."""
    call = await _open_call(session, call_id)
    if call.state is not CallState.UNKNOWN:
        raise CallNotOpen("Only a call of unknown outcome is looked up; this one is being sent: replay it.")
    emit(session, _RESOLVE, {"call_id": str(call.id)})
    _record(session, actor, "look_up", call, reason)
    return call


async def replay(session: AsyncSession, actor: Actor, call_id: UUID, reason: str) -> ProviderCall:
    """Have a call sent again under its own key, so that it cannot happen twice; a key too old is looked up instead."""
    call = await _open_call(session, call_id)
    await lock_subject(session, call.subject, call.subject_id)
    call = _checked_open(await lock_call(session, call_id))
    saga.reopen(call)
    emit(session, _SEND, {"call_id": str(call.id)})
    _record(session, actor, "replay", call, reason)
    return call


async def adopt(
    session: AsyncSession, actor: Actor, gateway: Gateway, call_id: UUID, remote_id: str, reason: str
) -> ProviderCall:
    """Take an object at the provider for the outcome of a call, after the provider itself has confirmed it.

    No transaction is open while the provider answers. Raises `CallUnknown`, `CallNotOpen`, or `RemoteMismatch` when
    the provider knows no object with our reference, or one with another id, amount or currency.
    """
    asked = await _open_call(session, call_id)
    session.expunge(asked)
    await session.rollback()
    remote = await gateway.find(asked.leg, asked.ref)
    found = check_same(asked, remote_id, remote)
    call = await _open_call(session, call_id)
    await saga.adopt(session, call, found)
    if call.remote_id != found.id:  # a job closed it meanwhile, and otherwise
        raise CallNotOpen(f"The call is {call.state}.")
    _record(session, actor, "adopt", call, reason)
    return call


def check_same(call: ProviderCall, remote_id: str, remote: RemoteObject | None) -> RemoteObject:
    """Return the object found if it is the one named, with our reference and amount; else `RemoteMismatch`. Pure."""
    if remote is None:
        raise RemoteMismatch(f"The provider has no {call.leg} with our reference {call.ref}.")
    if (remote.id, remote.ref) != (remote_id, call.ref):
        raise RemoteMismatch(f"Under our reference {call.ref} the provider has {remote.id}.", remote_id=remote.id)
    asked = (call.request.get("amount_minor"), call.request.get("currency"))
    if call.leg is not Leg.PAYEE and asked != (remote.amount_minor, remote.currency):
        there, here = f"{remote.amount_minor} {remote.currency}", f"{asked[0]} {asked[1]}"
        raise RemoteMismatch(f"The provider has {there} under this id, not {here}.")
    return remote


async def _open_call(session: AsyncSession, call_id: UUID) -> ProviderCall:
    call = await session.get(ProviderCall, call_id)
    if call is None:
        raise CallUnknown
    return _checked_open(call)


def _checked_open(call: ProviderCall) -> ProviderCall:
    if call.state not in OPEN_CALLS:
        raise CallNotOpen(f"The call is {call.state}.")
    return call


def _record(session: AsyncSession, actor: Actor, act: str, call: ProviderCall, reason: str) -> None:
    record(
        session, actor, f"provider_call.{act}", f"provider_call:{call.id}",
        reason=reason, leg=call.leg.value, ref=call.ref, remote_id=call.remote_id,
    )  # fmt: skip
