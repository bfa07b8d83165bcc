"""Keeps the processes of one Kapok running: starts them in order, restarts what dies, stops all of it within seconds.

One thread a child starts it, relays what it writes, and waits for its end; Linux ties the child's life to the thread
that started it, so that thread stays as long as the child is wanted.
"""

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from logging import makeLogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from cli.embedded.process import Command, start_options
from cli.errors import CannotRunError

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
STABLE_SECONDS = 20.0  # a child that lived this long starts again without the delay it had earned before
FAILED_STARTS = 3  # a child that never came up is given up after so many tries; one that once ran never is
POLL_SECONDS = 0.05
PIPE_SECONDS = 0.2  # the processes of a killed PostgreSQL hold its output a little longer than it lives
LOG_BYTES, LOG_FILES = 10 * 1024 * 1024, 3

Say = Callable[[str, str], None]  # (child, line)


@dataclass(frozen=True)
class ChildSpec:
    """A process to keep running. `prepare` runs before every start and may block; `ready` takes the process id.

    What a child with `show_output=False` writes goes to its log file only; what happens to it is always said.
    """

    name: str
    prepare: Callable[[], Command]
    ready: Callable[[int], bool] = lambda _pid: True
    start_seconds: float = 60.0
    stop_seconds: float = 1.0
    show_output: bool = True


class Child:
    """One kept process. `ready` is set while it is up; `restarts` counts how often it had to be started again."""

    def __init__(self, spec: ChildSpec, say: Say, logs: Path) -> None:
        self.spec = spec
        self.ready = threading.Event()
        self.restarts = 0
        self.last_lines: deque[str] = deque(maxlen=15)
        self._say = say
        self._log = RotatingFileHandler(logs / f"{spec.name}.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES)
        self._stopping = threading.Event()
        self._failures = 0
        self._process: subprocess.Popen[str] | None = None
        self._keeper = threading.Thread(target=self._keep, name=spec.name, daemon=True)

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start keeping the process; returns at once."""
        self._keeper.start()

    def wait_ready(self) -> None:
        """Wait until the child is up; raises CannotRunError with its last lines when it does not come up."""
        deadline = time.monotonic() + self.spec.start_seconds
        while not self.ready.wait(POLL_SECONDS):
            if self._failures >= FAILED_STARTS or time.monotonic() > deadline:
                said = "\n".join(self.last_lines)
                raise CannotRunError(f"{self.spec.name} does not start.\n{said}", f"More in {self._log.baseFilename}.")

    def ask_to_stop(self) -> None:
        """Send the child its polite signal; it is not started again."""
        self._stopping.set()
        if self._process and self._process.poll() is None:
            self._process.send_signal(self._command.stop_signal)

    def end(self, deadline: float) -> None:
        """Wait for the end until `deadline` (of time.monotonic), then kill the child and all it started."""
        self._keeper.join(max(deadline - time.monotonic(), 0))
        self.kill()
        self._keeper.join(2 * PIPE_SECONDS)
        self._log.close()

    def kill(self) -> None:
        """Kill the child and all it started, now; it is not started again."""
        self._stopping.set()
        if self._process and self._keeper.is_alive():
            _kill_session(self._process.pid)

    def _keep(self) -> None:
        delay = FIRST_DELAY_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            reason = self._live_once(began)
            self.ready.clear()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > STABLE_SECONDS:
                delay = FIRST_DELAY_SECONDS
            self.restarts += 1
            self._tell(f"{reason}; starting again in {delay:g} s")
            self._stopping.wait(delay)
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)

    def _live_once(self, began: float) -> str:
        """Start the process and stay until it ends; return how it ended."""
        try:
            self._command = self.spec.prepare()
            process = _start(self._command)
        except (CannotRunError, OSError) as error:
            self._failures += 1
            return f"cannot be started: {error}"
        self._process = process
        reader = threading.Thread(target=self._relay, args=(process,), daemon=True)
        reader.start()
        if self._stopping.is_set():  # asked while it was being started, when there was nobody to send the signal to
            process.send_signal(self._command.stop_signal)
        self._watch_start(process, began)
        code = process.wait()
        _kill_session(process.pid)  # a killed uvicorn leaves workers that would hold its port
        reader.join(PIPE_SECONDS)
        self._failures += not self.ready.is_set()
        return f"ended with {_ending(code)}"

    def _watch_start(self, process: "subprocess.Popen[str]", began: float) -> None:
        while process.poll() is None:
            if self.spec.ready(process.pid):
                if self.restarts:
                    self._tell(f"up again after {time.monotonic() - began:.1f} s")
                self.ready.set()
                return
            time.sleep(POLL_SECONDS)

    def _relay(self, process: "subprocess.Popen[str]") -> None:
        with process.stdout as lines:  # type: ignore[union-attr]  # a pipe, by _start
            for line in lines:
                self._keep_line(line.rstrip())
                if self.spec.show_output:
                    self._say(self.spec.name, line.rstrip())

    def _tell(self, line: str) -> None:
        self._keep_line(line)
        self._say(self.spec.name, line)

    def _keep_line(self, line: str) -> None:
        self.last_lines.append(line)
        self._log.emit(makeLogRecord({"msg": line}))


class Supervisor:
    """All children of one Kapok, in stages: a stage stops only when the stages after it have stopped.

    As a context manager it turns SIGINT, SIGTERM and SIGHUP into KeyboardInterrupt, stops everything on the way out,
    and kills everything on a second signal.
    """

    def __init__(self, say: Say, logs: Path) -> None:
        self.stages: list[list[Child]] = []
        self._say = say
        self._logs = logs
        self._signals = 0
        self._handlers: dict[int, object] = {}

    def start(self, *specs: ChildSpec) -> list[Child]:
        """Start one stage; returns at once, so that the caller can do other work before `wait_ready`."""
        stage = [Child(spec, self._say, self._logs) for spec in specs]
        self.stages.append(stage)
        for child in stage:
            child.start()
        return stage

    def stop(self) -> None:
        """Stop the stages, the last one first; takes at most the sum of the stages' `stop_seconds`.

        Time that one stage does not need is left to the next.
        """
        deadline = time.monotonic()
        for stage in reversed(self.stages):
            for child in stage:
                child.ask_to_stop()
            deadline += max((child.spec.stop_seconds for child in stage), default=0.0)
            for child in stage:
                child.end(deadline)
        self.stages.clear()

    def wait(self) -> None:
        """Stay until a signal arrives."""
        while True:
            signal.pause()

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks for
                self._handlers[number] = signal.signal(number, self._interrupted)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._signals += 1
        self.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _interrupted(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals == 1:
            raise KeyboardInterrupt
        for stage in self.stages:
            for child in stage:
                child.kill()


def _start(command: Command) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command.argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
        **start_options(command),
    )  # fmt: skip


def _kill_session(leader: int) -> None:
    """Kill what is left of the process group that `leader` led."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # nobody left; macOS answers so for zombies
        return


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
