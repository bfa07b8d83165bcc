"""Idempotency keys: once, whatever is repeated, failed or sent at the same time."""

import asyncio

import pytest
from pydantic import BaseModel

from marketplace.core.errors import Conflict
from marketplace.core.idempotency import IdempotencyKeyReused, Once, fingerprint
from marketplace.core.outbox import emit
from tests.workers.conftest import EFFECT


class Answer(BaseModel):
    """What the command answers."""

    number: int


class _Command:
    """Counts its runs; each has an effect in the caller's transaction."""

    def __init__(self):
        self.runs = 0
        self.began = asyncio.Event()

    async def __call__(self, database, key="k", asked="a", *, principal="person:1", fails=False):
        async with database.sessions() as session:

            async def command():
                self.runs += 1
                self.began.set()
                emit(session, EFFECT, {"run": self.runs})
                await session.flush()
                await asyncio.sleep(0.05)
                if fails:
                    raise Conflict
                return Answer(number=self.runs)

            answer = await Once(session, principal, key, asked).run(Answer, command)
            await session.commit()
        return answer.number


async def _effects(database):
    async with database.hot.acquire() as connection:
        return await connection.fetchval("SELECT count(*) FROM outbox WHERE kind = $1", EFFECT)


async def test_second_call_gets_the_first_answer_when_the_key_is_repeated(database):
    call = _Command()
    assert [await call(database), await call(database)] == [1, 1]
    assert await _effects(database) == 1


async def test_command_runs_once_when_calls_come_at_the_same_time(database):
    call = _Command()
    assert await asyncio.gather(*(call(database) for _ in range(5))) == [1] * 5
    assert await _effects(database) == 1


async def test_key_is_free_again_when_the_first_call_failed(database):
    call = _Command()
    with pytest.raises(Conflict):
        await call(database, fails=True)
    assert await call(database) == 2
    assert await _effects(database) == 1


async def test_waiting_call_runs_when_the_one_before_it_fails(database):
    call = _Command()
    first = asyncio.create_task(call(database, fails=True))
    await call.began.wait()
    assert await call(database) == 2
    with pytest.raises(Conflict):
        await first
    assert await _effects(database) == 1


async def test_key_is_refused_when_another_thing_is_asked(database):
    call = _Command()
    await call(database)
    with pytest.raises(IdempotencyKeyReused):
        await call(database, asked="b")
    assert await call(database, principal="person:2", asked="b") == 2


def test_fingerprint_differs_when_method_path_or_body_do():
    prints = {fingerprint(*asked) for asked in [
        ("POST", "/a", b""), ("PUT", "/a", b""), ("POST", "/a", b"b"), ("POST", "/ab", b""), ("POST", "/b", b"")
    ]}  # fmt: skip
    assert len(prints) == 5
