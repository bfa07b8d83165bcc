"""The circuit breaker of each provider, in one row that all worker processes share.

Its row is locked after all others, and only while something is wrong: a healthy provider's calls read it and no more.
"""

from dataclasses import asdict
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.payments import circuit
from marketplace.payments.circuit import Admission, Circuit
from marketplace.payments.control_models import ProviderCircuit
from marketplace.payments.control_states import CircuitState

log = structlog.get_logger()


async def row_of(session: AsyncSession, provider: str) -> ProviderCircuit | None:
    """Return a provider's row as it is now; None when nothing ever went wrong there."""
    found = await session.exec(
        select(ProviderCircuit).where(ProviderCircuit.provider == provider).execution_options(populate_existing=True)
    )
    return found.first()


async def rests_until(session: AsyncSession, provider: str) -> datetime | None:
    """Return when calls may be planned again; None when they may now."""
    row = await row_of(session, provider)
    if row is None or row.state is not CircuitState.OPEN or row.retry_at is None:
        return None
    return row.retry_at if row.retry_at > now() else None


async def admit(session: AsyncSession, provider: str, call_id: UUID) -> datetime | None:
    """Return None when a call may go now, or when to ask again.

    A call that becomes the probe is told to ask again at once: it goes in the next job, after this has been committed,
    so that of all processes one call tries.
    """
    row = await row_of(session, provider)
    if row is None:
        return None
    verdict = circuit.admission(_circuit(row), call_id, now())
    if verdict is Admission.TAKE_PROBE:
        row = await _lock(session, provider)
        verdict = circuit.admission(_circuit(row), call_id, now())
        if verdict is Admission.TAKE_PROBE:
            _write(row, circuit.probing(_circuit(row), call_id, now()))
            log.warning("payments.circuit_probe", provider=provider, call_id=str(call_id))
            return now()
    return None if verdict is Admission.GO else row.retry_at


async def note_failure(session: AsyncSession, provider: str, call_id: UUID, error: str) -> None:
    """Count a call whose outcome the provider did not tell; opens the circuit after too many in a row."""
    await session.execute(
        insert(ProviderCircuit)
        .values(provider=provider, created_at=now(), state=CircuitState.CLOSED, failures=0, openings=0)
        .on_conflict_do_nothing()
    )
    row = await _lock(session, provider)
    was_open = row.state is CircuitState.OPEN
    _write(row, circuit.failed(_circuit(row), call_id, now()))
    row.last_error = error
    if row.state is CircuitState.OPEN and not was_open:
        log.error("payments.circuit_open", provider=provider, failures=row.failures, retry_at=str(row.retry_at))


async def note_answer(session: AsyncSession, provider: str) -> None:
    """Take an answer (also a refusal) for a sign that the provider works: closes the circuit."""
    row = await row_of(session, provider)
    if row is None or (row.state is CircuitState.CLOSED and row.failures == 0):
        return
    row = await _lock(session, provider)
    if row.state is not CircuitState.CLOSED:
        log.warning("payments.circuit_closed", provider=provider)
    _write(row, Circuit())


async def _lock(session: AsyncSession, provider: str) -> ProviderCircuit:
    found = await session.exec(
        select(ProviderCircuit)
        .where(ProviderCircuit.provider == provider)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found.one()


def _circuit(row: ProviderCircuit) -> Circuit:
    return Circuit(row.state, row.failures, row.openings, row.opened_at, row.retry_at, row.probe_id)


def _write(row: ProviderCircuit, after: Circuit) -> None:
    row.sqlmodel_update(asdict(after))
