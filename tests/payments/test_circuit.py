"""The circuit breaker: its rules, and that of all processes one call tries a provider that does not answer."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from marketplace.core.actor import Role
from marketplace.core.ids import new_id
from marketplace.payments import breaker, circuit
from marketplace.payments.circuit import FAILURES_TO_OPEN, LONGEST_REST, PROBE_TIME, Admission, Circuit
from marketplace.payments.control_models import ProviderCircuit
from marketplace.payments.control_states import CircuitState
from marketplace.payments.models import Charge, ProviderCall
from marketplace.payments.sandbox.faults import Fault
from marketplace.payments.states import CallState, ChargeState
from tests.factories.identity import bearer, make_operator
from tests.factories.money import ask_top_up, committed, put_off, row_of, tamper
from tests.jobs import run_outbox

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_CALLS = [new_id() for _ in range(4)]
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "fail", "answer"]), st.sampled_from(_CALLS), st.integers(0, 2 * 15 * 60)
    ),
    max_size=60,
)  # fmt: skip


@given(_STEPS)
def test_circuit_never_has_two_probes_when_steps_come_in_any_order(steps):
    """A second probe goes only after the first one's time is over, and nothing goes while the rest lasts."""
    at, now_is = _BEGIN, Circuit()
    probe_until = None
    for act, call, seconds in steps:
        at += timedelta(seconds=seconds)
        match act:
            case "ask":
                verdict = circuit.admission(now_is, call, at)
                if verdict is Admission.TAKE_PROBE:
                    assert now_is.state is not CircuitState.CLOSED
                    assert probe_until is None or at >= probe_until
                    now_is = circuit.probing(now_is, call, at)
                    probe_until = at + PROBE_TIME
                    assert circuit.admission(now_is, call, at) is Admission.GO
                elif verdict is Admission.GO and now_is.state is not CircuitState.CLOSED:
                    assert (now_is.state, now_is.probe_id) == (CircuitState.HALF_OPEN, call)
            case "fail":
                now_is = circuit.failed(now_is, call, at)
                probe_until = probe_until if now_is.state is CircuitState.HALF_OPEN else None
            case _:
                now_is, probe_until = Circuit(), None
        if now_is.state is CircuitState.OPEN:
            assert now_is.retry_at is not None
            assert now_is.retry_at - at <= LONGEST_REST
            assert now_is.failures >= FAILURES_TO_OPEN


@given(st.integers(0, 3 * FAILURES_TO_OPEN))
def test_circuit_opens_at_just_so_many_failures_when_all_stood_closed(failures):
    now_is = Circuit()
    for _ in range(failures):
        now_is = circuit.failed(now_is, _CALLS[0], _BEGIN)
    assert (now_is.state is CircuitState.OPEN) == (failures >= FAILURES_TO_OPEN)
    assert now_is.failures == failures


@given(st.integers(1, 30))
def test_rest_never_shrinks_when_probes_fail_again_and_again(probes):
    at, now_is, rests = _BEGIN, Circuit(state=CircuitState.CLOSED, failures=FAILURES_TO_OPEN - 1), []
    now_is = circuit.failed(now_is, _CALLS[0], at)
    for _ in range(probes):
        rests.append(now_is.retry_at - at)
        at = now_is.retry_at
        now_is = circuit.failed(circuit.probing(now_is, _CALLS[1], at), _CALLS[1], at)
    assert rests == sorted(rests)
    assert max(rests) <= LONGEST_REST
    assert now_is.opened_at == _BEGIN


async def _open(database, provider="sandbox") -> None:
    for _ in range(FAILURES_TO_OPEN):
        async with committed(database) as session:
            await breaker.note_failure(session, provider, new_id(), "the provider answered 500")


async def _circuit(database) -> ProviderCircuit:
    async with database.sessions() as session:
        return await breaker.row_of(session, "sandbox")


_RESTED = "UPDATE provider_circuit SET retry_at = now() - interval '1 second'"


async def test_failures_are_all_counted_when_they_come_at_once(database):
    async def fail():
        async with committed(database) as session:
            await breaker.note_failure(session, "sandbox", new_id(), "a time-out")

    await asyncio.gather(*(fail() for _ in range(FAILURES_TO_OPEN)))
    row = await _circuit(database)
    assert (row.state, row.failures, row.openings) == (CircuitState.OPEN, FAILURES_TO_OPEN, 1)


async def test_one_call_probes_when_many_processes_ask_at_once(database):
    await _open(database)
    await tamper(database, _RESTED)
    calls = [new_id() for _ in range(8)]

    async def ask(call):
        async with committed(database) as session:
            await breaker.admit(session, "sandbox", call)
        async with committed(database) as session:
            return await breaker.admit(session, "sandbox", call) is None

    admitted = await asyncio.gather(*(ask(call) for call in calls))
    assert sum(admitted) == 1
    row = await _circuit(database)
    assert (row.state, row.probe_id) == (CircuitState.HALF_OPEN, calls[admitted.index(True)])


async def test_calls_wait_and_burn_no_attempt_when_the_circuit_is_open(database, gateway, faults, worker_resources):
    await _open(database)
    charge = await ask_top_up(database, gateway, new_id(), 700)
    for _ in range(5):
        await put_off(database)
        await _once_each(database, worker_resources)
    async with database.sessions() as session:
        assert (await session.exec(select(ProviderCall))).all() == []
    await tamper(database, _RESTED)
    await put_off(database)
    await run_outbox(worker_resources, only="payments.")
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.SUCCEEDED
    row = await _circuit(database)
    assert (row.state, row.failures, row.openings) == (CircuitState.CLOSED, 0, 0)


async def _once_each(database, worker_resources) -> None:
    """Run what is due; while the circuit is open that asks to run again later, and must not run at once."""
    assert len(await run_outbox(worker_resources, only="payments.")) <= 2


async def test_circuit_opens_and_closes_by_itself_when_the_provider_fails_for_a_while(
    client, app, database, gateway, faults, worker_resources
):
    charges = [await ask_top_up(database, gateway, new_id(), 700 + number) for number in range(FAILURES_TO_OPEN + 3)]
    faults.plan(*[Fault.LOST_REQUEST] * FAILURES_TO_OPEN)
    await run_outbox(worker_resources, only="payments.advance")
    await run_outbox(worker_resources, only="payments.send")
    async with committed(database) as session:
        headers = bearer(app, await make_operator(session, Role.OPERATOR_FINANCE))
    (health,) = (await client.get("/v1/operator/providers", headers=headers)).json()
    assert (health["provider"], health["circuit"], health["failures"]) == ("sandbox", "open", FAILURES_TO_OPEN)
    assert (health["calls_unknown"], health["calls_sending"]) == (FAILURES_TO_OPEN, 3)
    assert "lost" in health["last_error"]
    for _ in range(12):
        await tamper(
            database, "UPDATE provider_circuit SET retry_at = now() - interval '1 second' WHERE state = 'open'"
        )
        await put_off(database)
        await run_outbox(worker_resources, only="payments.")
    async with database.sessions() as session:
        calls = (await session.exec(select(ProviderCall))).all()
    assert {(await row_of(database, Charge, charge.id)).state for charge in charges} == {ChargeState.SUCCEEDED}
    assert {(call.attempt, call.state) for call in calls} == {(1, CallState.DONE)}
    assert (await _circuit(database)).state is CircuitState.CLOSED


async def test_refusal_closes_the_circuit_when_it_was_failing(database, gateway, faults, worker_resources):
    await _open(database)
    await tamper(database, _RESTED)
    charge = await ask_top_up(database, gateway, new_id(), 14_002)
    await run_outbox(worker_resources, only="payments.")
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.FAILED
    assert (await _circuit(database)).state is CircuitState.CLOSED


async def test_rest_grows_when_the_probe_fails(database, gateway, faults, worker_resources):
    await _open(database)
    await tamper(database, _RESTED)
    await ask_top_up(database, gateway, new_id(), 700)
    faults.plan(Fault.LOST_REQUEST)
    await run_outbox(worker_resources, only="payments.advance")
    await run_outbox(worker_resources, only="payments.send")
    row = await _circuit(database)
    assert (row.state, row.openings) == (CircuitState.OPEN, 2)


@pytest.mark.parametrize("state", ["open", "half_open"])
async def test_provider_of_its_own_is_not_stopped_when_another_one_fails(database, state):
    await _open(database, "elsewhere")
    await tamper(database, f"UPDATE provider_circuit SET state = '{state}'")
    async with committed(database) as session:
        assert await breaker.admit(session, "sandbox", new_id()) is None
        assert await breaker.admit(session, "elsewhere", new_id()) is not None


@pytest.mark.parametrize("stands_open", [False, True])
async def test_circuit_is_not_moved_when_calls_were_held_until_their_keys_were_too_old(
    database, gateway, worker_resources, stands_open
):
    charges = [await ask_top_up(database, gateway, new_id(), 700 + number) for number in range(FAILURES_TO_OPEN)]
    await run_outbox(worker_resources, only="payments.advance")
    await tamper(database, "UPDATE provider_call SET created_at = created_at - interval '26 hours'")
    if stands_open:
        await _open(database)
        await tamper(database, _RESTED)
    await run_outbox(worker_resources, only="payments.send")
    row = await _circuit(database)
    assert (row.openings if row else 0) == stands_open
    for _ in range(3):
        await put_off(database)
        await run_outbox(worker_resources, only="payments.")
    assert {(await row_of(database, Charge, charge.id)).state for charge in charges} == {ChargeState.SUCCEEDED}
