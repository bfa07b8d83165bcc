"""Processes of the machine: starting one that dies with us, finding one that outlived us, ending one for certain."""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from cli.errors import CannotRunError

PR_SET_PDEATHSIG = 1  # linux/prctl.h
ACCOUNTS = ("kapok", "nobody")  # who runs the servers when root starts them; the operator may have made the first
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Account:
    """The unprivileged account of the machine that runs the servers."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Command:
    """One process to run: how to start it, and which signals end it politely."""

    argv: list[str]
    cwd: Path
    env: dict[str, str] = field(default_factory=dict)
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM


def server_account() -> Account | None:
    """The account that root hands the servers to; None when we are not root and they run as ourselves.

    It must have a passwd entry: PostgreSQL refuses a bare uid ("user does not exist").
    """
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise CannotRunError("root may not run the servers, and there is no account for them.", "useradd --system kapok")


def start_options(command: Command) -> dict[str, Any]:
    """Keyword arguments for subprocess.Popen and asyncio.create_subprocess_exec that start `command` as it asks."""
    options: dict[str, Any] = {
        "cwd": command.cwd,
        "env": command.env,
        "stdin": subprocess.DEVNULL,
        "start_new_session": True,  # a Ctrl-C in the terminal reaches the supervisor only
        "preexec_fn": _die_with_parent(command.stop_signal),
    }
    if command.account:
        options |= {"user": command.account.uid, "group": command.account.gid, "extra_groups": []}
    return options


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """Linux sends `death_signal` to the child when the thread that started it ends, a `kill -9` included.

    subprocess runs preexec_fn after the change of user, which would have cleared it. Elsewhere an orphan is stopped by
    the next start.
    """
    if LIBC is None:
        return None
    prctl, value = LIBC.prctl, int(death_signal)
    return lambda: prctl(PR_SET_PDEATHSIG, value)


def living_in(folder: Path, names: Iterable[str]) -> list[psutil.Process]:
    """Living processes with one of these names that work in `folder`, ours or somebody else's orphans.

    A pid in a file proves nothing: it may be a zombie that PID 1 has not reaped, or by now another program. The working
    directory of a living process does; a zombie has none.
    """
    wanted, here = set(names), str(folder.resolve())
    found = []
    for process in psutil.process_iter(["name", "cwd", "status"]):
        info = process.info
        if info["name"] in wanted and info["cwd"] == here and info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def marked(name: str, value: str) -> list[psutil.Process]:
    """Living processes whose environment holds `name=value`, except this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(name) == value:
                found.append(process)
        except psutil.Error:
            continue
    return found


def end(processes: list[psutil.Process], first: signal.Signals = signal.SIGTERM, seconds: float = 5.0) -> None:
    """Send `first`, wait up to `seconds`, then SIGKILL whoever is left."""
    for sign, patience in ((first, seconds), (signal.SIGKILL, 5.0)):
        for process in processes:
            try:
                process.send_signal(sign)
            except psutil.NoSuchProcess:
                continue
        deadline = time.monotonic() + patience
        while processes and time.monotonic() < deadline:
            processes = [process for process in processes if _lives(process)]
            time.sleep(0.02)
        if not processes:
            return


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
