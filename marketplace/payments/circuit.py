"""The circuit breaker of a provider as a state machine. Pure; `breaker` keeps it in PostgreSQL for all processes.

Closed: every call goes. After `FAILURES_TO_OPEN` calls in a row whose outcome the provider did not tell (no answer, a
5xx), it opens: calls wait, for a rest that doubles each time up to a limit. Then one call may try (half-open); its
success closes the circuit, its failure opens it again. A refusal is an answer: the provider works.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from marketplace.payments.control_states import CircuitState

FAILURES_TO_OPEN: Final = 5
FIRST_REST: Final = timedelta(seconds=30)
LONGEST_REST: Final = timedelta(minutes=15)
PROBE_TIME: Final = timedelta(minutes=2)  # longer than any provider's time-out; after it the probe counts as lost


@dataclass(frozen=True, slots=True)
class Circuit:
    """Where a provider's circuit stands. `retry_at` ends the rest, or the time in which the probe must come back."""

    state: CircuitState = CircuitState.CLOSED
    failures: int = 0
    openings: int = 0
    opened_at: datetime | None = None
    retry_at: datetime | None = None
    probe_id: UUID | None = None


class Admission(StrEnum):
    """What a call may do: go, take the place of the probe (and go after that is committed), or wait."""

    GO = "go"
    TAKE_PROBE = "take_probe"
    WAIT = "wait"


def admission(circuit: Circuit, call_id: UUID, at: datetime) -> Admission:
    """Say whether a call may go to the provider now."""
    if circuit.state is CircuitState.CLOSED:
        return Admission.GO
    if circuit.retry_at is None or at >= circuit.retry_at:
        return Admission.TAKE_PROBE
    if circuit.state is CircuitState.HALF_OPEN and circuit.probe_id == call_id:
        return Admission.GO
    return Admission.WAIT


def probing(circuit: Circuit, call_id: UUID, at: datetime) -> Circuit:
    """Return the circuit with this call as its only probe."""
    return replace(circuit, state=CircuitState.HALF_OPEN, probe_id=call_id, retry_at=at + PROBE_TIME)


def failed(circuit: Circuit, call_id: UUID, at: datetime) -> Circuit:
    """Return the circuit after a call whose outcome the provider did not tell.

    Late failures of other calls, while it is open or a probe is out, are counted and move nothing.
    """
    counted = replace(circuit, failures=circuit.failures + 1)
    if circuit.state is CircuitState.CLOSED:
        return _opened(counted, at) if counted.failures >= FAILURES_TO_OPEN else counted
    if circuit.state is CircuitState.HALF_OPEN and circuit.probe_id == call_id:
        return _opened(counted, at)
    return counted


def _opened(circuit: Circuit, at: datetime) -> Circuit:
    rest = min(FIRST_REST * 2 ** min(circuit.openings, 10), LONGEST_REST)
    return replace(
        circuit, state=CircuitState.OPEN, openings=circuit.openings + 1, opened_at=circuit.opened_at or at,
        retry_at=at + rest, probe_id=None,
    )  # fmt: skip
