"""Finding the Kapok that runs on this machine, for commands that need one; starting one for them when none does."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from cli.embedded.process import Command, start_options
from cli.errors import CannotRunError
from cli.home import resolve_home, write_private
from marketplace.core.settings import Settings

START_SECONDS = 120.0
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Running:
    """A Kapok that is up: where it answers and where its data are."""

    base_url: str
    database_url: str
    redis_url: str
    pid: int

    def write(self, home: Path) -> None:
        """Let the other commands find it; the file holds passwords and is ours alone."""
        write_private(home / "run.json", json.dumps(asdict(self), indent=1))


def find_running(settings: Settings) -> Running | None:
    """The Kapok that is up on the data of KAPOK_HOME, if there is one."""
    return running_in(resolve_home(settings.kapok_home))


def with_database(settings: Settings) -> Settings:
    """Return settings with a database: the one of DATABASE_URL, else that of the Kapok which runs here.

    Raises CannotRunError when there is neither.
    """
    if settings.database_url:
        return settings
    running = find_running(settings)
    if running is None:
        raise CannotRunError("There is no database to work on.", "Start Kapok with `kapok up`, or set DATABASE_URL.")
    return settings.model_copy(update={"database_url": running.database_url})


def running_in(home: Path) -> Running | None:
    """The Kapok that is up on the data of `home`; what a crash left behind is not taken for one."""
    path = home / "run.json"
    try:
        running = Running(**json.loads(path.read_text()))
        began = psutil.Process(running.pid).create_time()
        return running if began <= path.stat().st_mtime else None  # else the pid belongs to somebody newer
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None


@contextmanager
def started(settings: Settings, *, home: Path | None = None, quiet: bool = True, port: int = 0) -> Iterator[Running]:
    """Yield the running Kapok, or start one on `home` (by default a temporary folder) and stop it afterwards.

    Its API listens on `port`, by default on any free one.

    Raises CannotRunError when it does not come up; its own words stand on standard error.
    """
    running = running_in(resolve_home(home)) if home else find_running(settings)
    if running:
        yield running
        return
    with tempfile.TemporaryDirectory(prefix="kapok-") as folder:
        place = home or Path(folder)
        process = _start(place, quiet=quiet, port=port)
        try:
            yield _wait(process, resolve_home(place))
        finally:
            _stop(process)


def _start(home: Path, *, quiet: bool, port: int) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-m", "cli", "up", "--home", str(home), "--port", str(port), "--no-demo"]
    command = Command([*argv, "--quiet"] if quiet else argv, Path.cwd(), dict(os.environ))
    return subprocess.Popen(command.argv, **start_options(command))


def _wait(process: "subprocess.Popen[bytes]", home: Path) -> Running:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        running = running_in(home)
        if running and running.pid == process.pid:
            return running
        time.sleep(0.05)
    raise CannotRunError("The Kapok for this command did not start.", "`kapok doctor` says what is wrong here.")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
