import os
import signal
import socket
import tempfile
import time
from pathlib import Path

import asyncpg
import psutil
import pytest

from cli.embedded import binaries
from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.process import living_in, server_account
from cli.errors import CannotRunError
from cli.home import make_home


@pytest.fixture(scope="module")
def home():
    with tempfile.TemporaryDirectory(prefix="kapok-postgres-") as folder:
        make_home(Path(folder))
        yield Path(folder)


@pytest.fixture
def postgres(home):
    server = EmbeddedPostgres(home)
    server.start()
    yield server
    server.stop()


async def ask(server, sql):
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def postmaster(server):
    return int((server.data / "postmaster.pid").read_text().split("\n", 1)[0])


async def test_chinese_text_has_trigrams_when_searched(postgres):
    await ask(postgres, "CREATE EXTENSION IF NOT EXISTS pg_trgm")
    assert await ask(postgres, "SELECT show_trgm('数据标注')")
    assert await ask(postgres, "SELECT similarity('语音数据标注', '数据标注') > 0.3")


async def test_server_listens_on_loopback_only_when_started(postgres):
    assert await ask(postgres, "SHOW unix_socket_directories") == ""
    process = psutil.Process(postmaster(postgres))
    assert {found.laddr.ip for found in process.net_connections() if found.status == "LISTEN"} == {"127.0.0.1"}


async def test_password_is_scram_and_asked_for_when_connecting(postgres):
    assert (await ask(postgres, "SELECT rolpassword FROM pg_authid WHERE rolname = 'kapok'")).startswith(
        "SCRAM-SHA-256"
    )
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url, password="wrong")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has an account to drop to")
async def test_server_runs_unprivileged_when_started_by_root(postgres):
    assert psutil.Process(postmaster(postgres)).uids().effective == server_account().uid != 0
    assert postgres.folder.stat().st_mode & 0o777 == 0o700


async def test_commits_survive_synchronously_when_durable(postgres):
    assert [await ask(postgres, f"SHOW {name}") for name in ("fsync", "synchronous_commit")] == ["on", "on"]


async def test_rows_and_port_are_kept_when_server_is_killed(postgres):
    await ask(postgres, "CREATE TABLE kept AS SELECT 42 AS answer")
    port = postgres.port
    os.kill(postmaster(postgres), signal.SIGKILL)
    again = EmbeddedPostgres(postgres.home)
    again.start()
    try:
        assert again.port == port
        assert await ask(again, "SELECT answer FROM kept") == 42
    finally:
        again.stop()


def test_orphan_is_stopped_when_server_starts_again(postgres):
    orphan = postmaster(postgres)
    again = EmbeddedPostgres(postgres.home)
    again.start()
    try:
        assert again.alive()
        assert not postgres.alive()
        assert postmaster(again) != orphan
    finally:
        again.stop()
    assert living_in(again.data, ["postgres"]) == []


def test_lock_is_dropped_when_its_pid_belongs_to_another_program(home, postgres):
    postgres.stop()
    (postgres.data / "postmaster.pid").write_text(f"1\n{postgres.data}\n{int(time.time())}\n")
    postgres.start()
    assert postgres.alive()


def test_another_port_is_taken_when_the_kept_one_is_in_use(home, postgres):
    kept = postgres.port
    postgres.stop()
    with socket.create_server(("127.0.0.1", kept)):
        again = EmbeddedPostgres(home)
        again.start()
        again.stop()
    assert again.port != kept


def test_first_start_is_repeated_when_it_was_cut_short(tmp_path):
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder), durable=False)
        make_home(server.home)
        half = server.folder / "data.new"
        half.mkdir(parents=True)
        (half / "PG_VERSION").write_text("18\n")
        server.start()
        assert server.alive()
        server.stop()
        assert not half.exists()


def test_start_is_refused_when_data_are_of_another_version(tmp_path):
    server = EmbeddedPostgres(tmp_path)
    server.data.mkdir(parents=True)
    (server.data / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(CannotRunError, match=r"made by PostgreSQL 9\.6"):
        server.prepare()


async def test_programs_are_copied_when_the_account_may_not_reach_them(monkeypatch):
    monkeypatch.setattr(binaries, "_usable", lambda _program, _account: False)
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder), durable=False)
        make_home(server.home)
        server.start()
        try:
            assert Path(psutil.Process(postmaster(server)).exe()).is_relative_to(server.home / "programs")
            assert await ask(server, "SELECT 1") == 1
        finally:
            server.stop()
