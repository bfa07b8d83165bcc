import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cli import supervisor as module
from cli.embedded.process import Command
from cli.errors import CannotRunError
from cli.supervisor import ChildSpec, Supervisor

SLEEP = "import time; print('here', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEP
PARENT = (
    "import subprocess, sys, time;"
    "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True); time.sleep(60)"
)
# A supervisor in a process of its own, which tells the pid of its child and stays.
SUPERVISING = f"""
import sys
from pathlib import Path
from cli.embedded.process import Command
from cli.supervisor import ChildSpec, Supervisor

with Supervisor(lambda name, line: None, Path(sys.argv[1])) as supervisor:
    command = Command([sys.executable, "-c", {SLEEP!r}], Path.cwd(), {{}})
    [child] = supervisor.start(ChildSpec("sleeper", lambda: command))
    child.wait_ready()
    try:
        print(child.pid, flush=True)
        supervisor.wait()
    except KeyboardInterrupt:
        print("asked to stop", flush=True)
"""


class Said(list[str]):
    """What the supervisor said about its children."""

    def __call__(self, name: str, line: str) -> None:
        self.append(f"{name}: {line}")


@pytest.fixture
def said():
    return Said()


@pytest.fixture
def supervisor(said, tmp_path):
    running = Supervisor(said, tmp_path)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(module, "FIRST_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)


def python(name, code, **options):
    return ChildSpec(name, lambda: Command([sys.executable, "-c", code], Path.cwd(), dict(os.environ)), **options)


def until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def lives(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_child_is_started_again_when_killed(supervisor, said):
    [child] = supervisor.start(python("sleeper", SLEEP))
    child.wait_ready()
    first = child.pid
    os.kill(first, signal.SIGKILL)
    until(lambda: child.pid not in {None, first} and child.ready.is_set())
    assert "sleeper: ended with SIGKILL; starting again in 0.05 s" in said
    assert any(line.startswith("sleeper: up again after") for line in said)


def test_delay_doubles_when_child_keeps_dying(supervisor, said):
    supervisor.start(python("dier", "raise SystemExit(3)"))
    until(lambda: len([line for line in said if "starting again" in line]) >= 3)
    waits = [line.removeprefix("dier: ended with exit code 3; ") for line in said if "starting again" in line]
    assert waits[:3] == ["starting again in 0.05 s", "starting again in 0.1 s", "starting again in 0.2 s"]


def test_delay_is_short_again_when_child_had_been_stable(supervisor, said, monkeypatch):
    monkeypatch.setattr(module, "STABLE_SECONDS", 0.0)
    supervisor.start(python("dier", "raise SystemExit(3)"))
    until(lambda: len([line for line in said if "starting again" in line]) >= 3)
    assert {line.split("; ")[1] for line in said if "starting again" in line} == {"starting again in 0.05 s"}


def test_start_is_given_up_with_last_words_when_child_never_comes_up(supervisor):
    code = "print('no such table'); raise SystemExit(1)"
    [child] = supervisor.start(python("broken", code, ready=lambda _pid: False))
    with pytest.raises(CannotRunError, match="no such table"):
        child.wait_ready()


def test_stages_stop_in_reverse_order_when_stopped(supervisor, tmp_path):
    order = tmp_path / "order"
    farewell = (
        "import signal, sys, time;"
        "signal.signal(signal.SIGTERM, lambda *_: (open({path!r}, 'a').write({name!r}), sys.exit()));"
        "print('here', flush=True); time.sleep(60)"
    )
    for name in "abc":
        [child] = supervisor.start(python(name, farewell.format(path=str(order), name=name)))
        until(lambda child=child: "here" in child.last_lines)
    supervisor.stop()
    assert order.read_text() == "cba"


def test_child_is_killed_when_it_ignores_the_signal(supervisor):
    [child] = supervisor.start(python("stubborn", STUBBORN, stop_seconds=0.2))
    until(lambda: "here" in child.last_lines)
    pid = child.pid
    began = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began < 1.0
    assert not lives(pid)


def test_grandchildren_die_when_their_parent_is_killed(supervisor):
    [child] = supervisor.start(python("parent", PARENT))
    until(lambda: child.last_lines)
    grandchild = int(child.last_lines[0])
    os.kill(child.pid, signal.SIGKILL)
    until(lambda: not lives(grandchild))


def test_output_stands_in_log_only_when_child_is_not_shown(supervisor, said, tmp_path):
    [child] = supervisor.start(python("silent", SLEEP, show_output=False))
    until(lambda: "here" in child.last_lines)
    assert (tmp_path / "silent.log").read_text() == "here\n"
    assert said == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no parent-death signal")
def test_children_die_when_supervisor_is_killed(tmp_path):
    with supervising(tmp_path) as process:
        child = int(process.stdout.readline())
        process.kill()
        until(lambda: not lives(child))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_everything_stops_when_signal_arrives(tmp_path, number):
    with supervising(tmp_path) as process:
        child = int(process.stdout.readline())
        process.send_signal(number)
        assert process.wait(5) == 0
        assert process.stdout.readline() == "asked to stop\n"
        assert not lives(child)


def supervising(logs):
    return subprocess.Popen([sys.executable, "-c", SUPERVISING, str(logs)], stdout=subprocess.PIPE, text=True)
