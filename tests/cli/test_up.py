import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from cli.embedded.process import marked
from cli.running import find_running, running_in, started
from cli.up import MARK
from marketplace.core.settings import Settings

STOP_SECONDS = 5.0
OURS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "JWT_KEYS", "PUBLIC_URL", "KAPOK_HOME")


@pytest.fixture(scope="module")
def home():
    with tempfile.TemporaryDirectory(prefix="kapok-up-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def processes():
    """All that the tests of this module started, the last one first to be used again."""
    started_here = []
    yield started_here
    for process in started_here:
        stop(process)


@pytest.fixture
def kapok(home, processes):
    """A Kapok that is up; it is started only when the test before ended the last one."""
    if not processes or processes[-1].poll() is not None:
        processes.append(up(home))
    return processes[-1]


def stop(process):
    process.terminate()
    process.wait(10)


def up(home):
    env = {name: value for name, value in os.environ.items() if name not in OURS}
    with (home / "said").open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "up", "--home", str(home), "--port", "0", "--no-demo"],
            env=env,
            stdout=said,
            stderr=said,
        )
    try:
        until(lambda: process.poll() is not None or (running_in(home) and running_in(home).pid == process.pid), 60)
    except AssertionError:
        stop(process)
        print((home / "said").read_text())  # noqa: T201  # pytest shows it with the failure
        raise
    return process


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def is_ready(home):
    try:
        return httpx.get(f"{running_in(home).base_url}/healthz/ready", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def child(process, what):
    """The child of Kapok whose command line holds `what`."""
    for one in psutil.Process(process.pid).children():
        with suppress(psutil.Error):  # one that was just killed
            if what in " ".join(one.cmdline()):
                return one
    return None


async def ask(home, sql):
    connection = await asyncpg.connect(running_in(home).database_url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def test_everything_answers_when_up(home, kapok):
    running = running_in(home)
    assert running.pid == kapok.pid
    assert is_ready(home)
    assert httpx.get(f"{running.base_url}/docs", trust_env=False).is_success
    assert (home / "run.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("what", ["bin/postgres", "valkey-server", "uvicorn", "workers.main"])
async def test_child_comes_back_at_its_old_address_when_killed(home, kapok, what):
    await ask(home, "CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS answer")
    until(lambda: child(kapok, what))
    before, victim = running_in(home), child(kapok, what)
    victim.kill()
    until(lambda: (now := child(kapok, what)) and now.pid != victim.pid)
    until(lambda: is_ready(home))
    assert running_in(home) == before
    assert await ask(home, "SELECT answer FROM kept") == 42


def test_second_start_is_refused_when_one_runs(home, kapok):
    second = up(home)
    assert second.wait(10) == 1
    assert f"(process {kapok.pid})" in (home / "said").read_text()
    assert is_ready(home)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_everything_stops_within_seconds_when_asked(home, kapok, number):
    family = psutil.Process(kapok.pid).children(recursive=True)
    began = time.monotonic()
    kapok.send_signal(number)
    kapok.wait(10)
    assert time.monotonic() - began < STOP_SECONDS
    assert kapok.returncode == 0
    assert [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    assert not (home / "run.json").exists()


async def test_nothing_is_lost_when_everything_is_killed(home, kapok, processes):
    await ask(home, "CREATE TABLE IF NOT EXISTS survived AS SELECT 42 AS answer")
    family = [*psutil.Process(kapok.pid).children(recursive=True), psutil.Process(kapok.pid)]
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    kapok.wait(5)
    processes.append(up(home))
    assert await ask(home, "SELECT answer FROM survived") == 42


def test_orphans_are_stopped_when_started_again(home, kapok, processes):
    api = child(kapok, "uvicorn")
    [orphan, *_] = [one for one in api.children() if "spawn_main" in " ".join(one.cmdline())]
    api.suspend()  # so that it cannot hear that its parent died, nor end its workers
    kapok.kill()
    kapok.wait(5)
    processes.append(up(home))
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
    assert is_ready(home)
    assert api.pid not in {one.pid for one in marked(MARK, str(home))}


def test_running_kapok_is_used_when_there_is_one(home, kapok):
    settings = Settings(_env_file=None, kapok_home=home)
    with started(settings) as running:
        assert running.pid == kapok.pid
    assert find_running(settings).pid == kapok.pid


def test_temporary_kapok_is_started_and_stopped_when_none_runs(tmp_path):
    settings = Settings(_env_file=None, kapok_home=tmp_path)
    with started(settings) as running:
        assert httpx.get(f"{running.base_url}/healthz/ready", trust_env=False).is_success
    assert not psutil.pid_exists(running.pid)


def test_run_file_is_not_believed_when_its_process_is_gone(tmp_path):
    (tmp_path / "run.json").write_text('{"base_url": "", "database_url": "", "redis_url": "", "pid": 4194304}')
    assert running_in(tmp_path) is None


def test_data_are_private_when_up(home, kapok):
    theirs = {place.name for place in home.iterdir() if place.stat().st_mode & 0o077}
    assert theirs <= {"said"}  # of this test
