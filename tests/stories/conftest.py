"""Stories run the commands as a user does, against one real Kapok with its demo market, in processes of their own."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.running import Running, running_in

ROOT = Path(__file__).parents[2]
NOT_PASSED_ON = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "JWT_KEYS", "PUBLIC_URL", "KAPOK_HOME", "PORT")
START_SECONDS = 120.0


def kapok_environment(**added: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON} | added


@dataclass
class Kapok:
    """A Kapok that is up, and how to run a command on it."""

    home: Path
    process: subprocess.Popen

    @property
    def running(self) -> Running:
        return running_in(self.home)

    def start(self, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments],
            cwd=ROOT,
            env=kapok_environment(KAPOK_HOME=str(self.home)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, seconds: float = 400.0) -> tuple[int, str]:
        command = self.start(*arguments)
        said, complained = command.communicate(timeout=seconds)
        if command.returncode:
            print(said[-3000:], complained[-3000:], self.log(), sep="\n")  # noqa: T201  # pytest shows it with a failure
        return command.returncode, said

    def json(self, *arguments: str, seconds: float = 400.0) -> dict:
        code, said = self.run(*arguments, "--json", seconds=seconds)
        assert code == 0, said
        return json.loads(said)

    def log(self) -> str:
        return (self.home.parent / "said").read_text()[-5000:]


@pytest.fixture(scope="package")
def kapok():
    with tempfile.TemporaryDirectory(prefix="kapok-stories-") as folder:
        home = Path(folder) / "home"
        Path(folder).chmod(0o755)
        with (Path(folder) / "said").open("ab") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli", "up", "--home", str(home), "--port", "0"],
                cwd=ROOT, env=kapok_environment(LOG_LEVEL="WARNING"), stdout=said, stderr=said,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + START_SECONDS
            while "is up" not in (Path(folder) / "said").read_text():
                assert process.poll() is None, (Path(folder) / "said").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield Kapok(home, process)
        finally:
            process.terminate()
            process.wait(15)
