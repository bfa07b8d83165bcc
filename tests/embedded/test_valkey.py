import os
import signal
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import redis

from cli.embedded.process import living_in
from cli.embedded.valkey import EmbeddedValkey
from cli.home import make_home

SYNC_SECONDS = 1.2  # appendfsync everysec


@pytest.fixture
def valkey():
    with tempfile.TemporaryDirectory(prefix="kapok-valkey-") as folder:
        make_home(Path(folder))
        server = EmbeddedValkey(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def client(valkey):
    with redis.Redis.from_url(valkey.url, decode_responses=True) as connected:
        yield connected


def test_password_is_asked_for_when_connecting(valkey):
    with redis.Redis(port=valkey.port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_password_is_not_in_process_list_when_started(valkey):
    [process] = living_in(valkey.folder, ["valkey-server"])
    assert valkey.password not in " ".join(process.cmdline())


def test_nothing_is_evicted_and_everything_logged_when_started(client):
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert client.config_get("append*")["appendonly"] == "yes"
    assert client.config_get("append*")["appendfsync"] == "everysec"


def test_keys_and_port_are_kept_when_server_is_killed(valkey, client):
    client.set("kept", "42")
    time.sleep(SYNC_SECONDS)
    [process] = living_in(valkey.folder, ["valkey-server"])
    os.kill(process.pid, signal.SIGKILL)
    again = EmbeddedValkey(valkey.home)
    again.start()
    try:
        assert again.url == valkey.url
        assert client.get("kept") == "42"
    finally:
        again.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has an account to drop to")
def test_server_runs_unprivileged_when_started_by_root(valkey):
    [process] = living_in(valkey.folder, ["valkey-server"])
    assert psutil.Process(process.pid).uids().effective != 0
