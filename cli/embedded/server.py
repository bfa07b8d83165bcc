"""What the two embedded servers have in common: a folder, a kept port, a start, a stop."""

import errno
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

import psutil

from cli.embedded.process import Command, end, server_account, start_options
from cli.errors import CannotRunError

# Below the range from which Linux (32768–) and macOS (49152–) take the ports of outgoing connections: a client that
# retries a port of that range while the server is down can connect to itself and so keep the server from it.
PORTS = range(20000, 32768)
RELEASE_SECONDS = 1.0
START_SECONDS = 60.0  # crash recovery of a large database included


class EmbeddedServer(ABC):
    """A server of our own whose data live in `home/<name>`, on loopback, with a password."""

    name: str
    stop_signal: signal.Signals

    def __init__(self, home: Path, password: str, *, durable: bool = True) -> None:
        self.home = home.resolve()
        self.folder = self.home / self.name
        self.password = password
        self.durable = durable
        self.port = 0
        self.account = server_account()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> Command:
        """Clear what a crash left behind, make what is missing, and say how to start the server.

        Blocks for seconds on the first start. The port stays the same for the life of this object.
        """

    @abstractmethod
    def ready(self, pid: int) -> bool:
        """Whether the process `pid` is this server and accepts connections."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The address with user and password; known once `prepare` has run."""

    def start(self) -> str:
        """Start the server, wait until it accepts connections, and return its URL."""
        command = self.prepare()
        log = self.home / "logs" / f"{self.name}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command.argv, stdout=output, stderr=subprocess.STDOUT, **start_options(command)
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.ready(self._process.pid):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise CannotRunError(f"{self.name} did not start.", f"Its reason stands in {log}.")
            time.sleep(0.02)
        return self.url

    def stop(self, seconds: float = 5.0) -> None:
        """Stop the server politely, by force after `seconds`."""
        if self._process and self._process.poll() is None:
            end([psutil.Process(self._process.pid)], self.stop_signal, seconds)
            self._process.wait()
        self._process = None

    def alive(self) -> bool:
        """Whether the server that `start` started still runs and accepts connections."""
        return self._process is not None and self._process.poll() is None and self.ready(self._process.pid)

    def make_folder(self) -> None:
        """Make `home/<name>` so that only the server's account may read it, and give it what is in it."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o700)
        if self.account and self.folder.stat().st_uid != self.account.uid:
            for place in (self.folder, *self.folder.rglob("*")):
                os.chown(place, self.account.uid, self.account.gid, follow_symlinks=False)

    def choose_port(self) -> None:
        """Keep the port of the last start if it is free, else take a random free one; remember it in the home."""
        if self.port:
            return
        kept = self.home / f"{self.name}.port.json"
        last = json.loads(kept.read_text()) if kept.exists() else 0
        self.port = last if last and _becomes_free(last) else free_port()
        if self.port != last:
            kept.write_text(json.dumps(self.port))

    def write_private(self, name: str, text: str) -> Path:
        """Write a file in the server's folder that its account alone may read."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
        if self.account:
            shutil.chown(path, self.account.uid, self.account.gid)
        return path


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on this port now (connections of the last one that linger do not count)."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def _becomes_free(port: int) -> bool:
    """Whether the port is free within RELEASE_SECONDS: a killed process lets go of it a moment after it is gone."""
    deadline = time.monotonic() + RELEASE_SECONDS
    while not port_is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def free_port() -> int:
    """A random port of PORTS that is free on loopback."""
    return next(port for port in random.sample(PORTS, len(PORTS)) if port_is_free(port))
