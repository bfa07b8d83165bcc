"""Jobs that share a transaction: each has its effect once, and one's refusal is its own."""

import asyncio

import pytest
from sqlmodel import select

from marketplace.core import dead_letters
from marketplace.core.clock import now
from marketplace.core.errors import Conflict
from marketplace.core.outbox import DeadLetter, Outbox, Processed, emit
from tests.workers.conftest import EFFECT, KIND, standing
from workers.handlers import BATCHES, Batch
from workers.session import bury, run_command, run_once

LIMIT = 10


class Effects:
    """A handler of several jobs: leaves an effect for each, refuses the names it was told, keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[list[str]] = []
        self.refused: set[str] = set()
        self.seconds = 0.0

    async def __call__(self, context, payloads):
        self.given.append([payload["name"] for payload in payloads])
        await asyncio.sleep(self.seconds)
        for payload in payloads:
            if payload["name"] not in self.refused:
                emit(context.session, EFFECT, payload)
        return {place: Conflict() for place, payload in enumerate(payloads) if payload["name"] in self.refused}


@pytest.fixture
def effects(monkeypatch):
    handler = Effects()
    monkeypatch.setitem(BATCHES, KIND, Batch(handler, LIMIT))
    return handler


async def _ask(shared, names):
    async def command(session):
        return {name: emit(session, KIND, {"name": name}) for name in names}

    return await run_command(shared.database, command)


async def _run(shared, jobs, name):
    await run_once(shared, jobs[name], KIND, {"name": name})


async def _seen(shared):
    return sorted(row.payload["name"] for row in await standing(shared, EFFECT))


async def test_waiting_jobs_are_done_with_the_first_up_to_the_limit(worker_resources, effects):
    names = [f"{n:02}" for n in range(LIMIT + 2)]
    jobs = await _ask(worker_resources, names)
    for name in names:
        await _run(worker_resources, jobs, name)
    assert [len(given) for given in effects.given] == [LIMIT, 2]
    assert await _seen(worker_resources) == names
    assert await standing(worker_resources, KIND) == []


async def test_each_job_has_its_effect_once_when_all_run_at_once(worker_resources, effects):
    effects.seconds = 0.05
    names = [f"{n:02}" for n in range(3 * LIMIT)]
    jobs = await _ask(worker_resources, names)
    await asyncio.gather(*(_run(worker_resources, jobs, name) for name in names for _ in range(2)))
    assert await _seen(worker_resources) == names
    assert await standing(worker_resources, KIND) == []


async def test_others_are_done_when_one_is_refused(worker_resources, effects):
    effects.refused = {"poor"}
    jobs = await _ask(worker_resources, ["poor", "rich"])
    with pytest.raises(Conflict):
        await _run(worker_resources, jobs, "poor")
    assert await _seen(worker_resources) == ["rich"]
    assert [row.payload["name"] for row in await standing(worker_resources, KIND)] == ["poor"]
    effects.refused = set()
    await _run(worker_resources, jobs, "poor")
    assert await _seen(worker_resources) == ["poor", "rich"]


async def test_job_is_not_marked_done_when_it_was_refused_in_anothers_run(worker_resources, effects):
    effects.refused = {"poor"}
    jobs = await _ask(worker_resources, ["rich", "poor"])
    await _run(worker_resources, jobs, "rich")
    async with worker_resources.database.sessions() as session:
        assert (await session.exec(select(Processed.job_id))).all() == [jobs["rich"]]


@pytest.mark.parametrize("fault", [Conflict, KeyError])
async def test_job_runs_alone_when_the_transaction_of_all_breaks(worker_resources, effects, monkeypatch, fault):
    class Poisoned(Effects):
        async def __call__(self, context, payloads):
            if any(payload["name"] == "poison" for payload in payloads):
                raise fault
            return await super().__call__(context, payloads)

    handler = Poisoned()
    monkeypatch.setitem(BATCHES, KIND, Batch(handler, LIMIT))
    jobs = await _ask(worker_resources, ["sound", "poison"])
    await _run(worker_resources, jobs, "sound")
    assert handler.given == [["sound"]]
    with pytest.raises(fault):
        await _run(worker_resources, jobs, "poison")
    assert await _seen(worker_resources) == ["sound"]


async def test_dead_job_waits_for_its_operator_when_others_run(worker_resources, effects):
    jobs = await _ask(worker_resources, ["dead", "living"])
    letter = DeadLetter(job_id=jobs["dead"], created_at=now(), kind=KIND, payload={}, error="Boom()", tries=8)

    async def command(session):
        session.add(letter)

    await run_command(worker_resources.database, command)
    await _run(worker_resources, jobs, "living")
    assert effects.given == [["living"]]
    async with worker_resources.database.sessions() as session:
        assert await session.get(Outbox, jobs["dead"]) is not None


async def test_dead_job_that_another_run_did_after_all_stands_no_more_when_replayed(worker_resources, effects):
    effects.refused = {"poor"}
    jobs = await _ask(worker_resources, ["poor", "rich"])
    with pytest.raises(Conflict):
        await _run(worker_resources, jobs, "poor")
    effects.refused = set()
    await _run(worker_resources, await _ask(worker_resources, ["other"]), "other")  # takes the poor one along
    await bury(worker_resources, jobs["poor"], KIND, {"name": "poor"}, error="Conflict()", tries=8)
    letter = DeadLetter(
        job_id=jobs["poor"], created_at=now(), kind=KIND, payload={"name": "poor"}, error="Conflict()", tries=8
    )
    async with worker_resources.database.sessions() as session:
        assert await session.get(DeadLetter, jobs["poor"]) is None
    await run_command(worker_resources.database, lambda session: dead_letters.replay(session, [letter]))
    await _run(worker_resources, jobs, "poor")
    assert await standing(worker_resources, KIND) == []
    assert await _seen(worker_resources) == ["other", "poor", "rich"]
