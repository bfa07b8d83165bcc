"""A demo during which each server is killed in turn still ends with the same result."""

import asyncio
import json
import time

import asyncpg
import psutil

from cli.running import Running
from marketplace.core.db import plain_url

TASKS = 300
BETWEEN_SECONDS = 4.0
MAIN = {"api": "uvicorn", "worker": "workers.main", "valkey": "valkey", "postgres": "postgres"}


def server(running: Running, word: str) -> psutil.Process:
    """The supervisor's own child whose command names the server."""
    for child in psutil.Process(running.pid).children():
        if word in " ".join(child.cmdline()):
            return child
    raise AssertionError(f"no {word} runs")


def wait_for(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def is_labeled(running: Running) -> bool:
    """Whether the newest request, of the demo, is being worked on."""

    async def ask():
        connection = await asyncpg.connect(plain_url(running.database_url))
        try:
            return await connection.fetchval(
                "SELECT state = 'in_production' AND (SELECT count(*) FROM claim WHERE request_id = r.id) > 5 "
                "FROM dataset_request r ORDER BY id DESC LIMIT 1"
            )
        finally:
            await connection.close()

    return asyncio.run(ask())


def is_back(running: Running, word: str, killed: int) -> bool:
    try:
        return server(running, word).pid != killed
    except (AssertionError, psutil.NoSuchProcess):
        return False


def test_demo_ends_the_same_when_each_server_is_killed_in_turn(kapok):
    demo = kapok.start("demo", "--tasks", str(TASKS), "--seed", "23", "--json")
    wait_for(lambda: demo.poll() is not None or is_labeled(kapok.running))
    for word in MAIN.values():
        victim = server(kapok.running, word)
        victim.kill()
        wait_for(lambda word=word, pid=victim.pid: is_back(kapok.running, word, pid))
        time.sleep(BETWEEN_SECONDS)
    said, complained = demo.communicate(timeout=400)
    assert demo.returncode == 0, (said[-3000:], complained[-3000:], kapok.log())
    figures = json.loads(said)
    assert figures["repeated_calls"] > 0
    assert figures["request_state"] == "closed"
    assert figures["tasks"] == figures["consensus_tasks"] == TASKS
    assert figures["accepted_bundles"] == figures["paid_bundles"]
    assert figures["double_paid"] == 0
    code, _ = kapok.run("ledger", "verify")
    assert code == 0
    assert kapok.run("jobs", "list", "--json")[1].strip() == "[]"
