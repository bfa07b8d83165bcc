"""crowd-kit as the benchmark's peer: an environment of its own, its methods on a set of labels."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from cli.console import Voice
from cli.errors import CannotRunError
from cli.scenario.crowd_data import CrowdTable, DataKind
from cli.scenario.crowd_labels import words_of

PEER: Final = "crowd-kit==1.4.2"
# what its aggregation imports; its other requirements (transformers, pyarrow) serve parts that are not run
NEEDS: Final = (
    "numpy>=2,<2.3", "pandas>=2.2,<3", "scikit-learn>=1.5,<1.6", "scipy>=1.11", "nltk>=3.9,<4", "attrs", "tqdm",
)  # fmt: skip
CHOICE_METHODS: Final = ("MajorityVote", "DawidSkene", "OneCoinDawidSkene", "GLAD", "M-MSR", "MACE")
TEXT_METHODS: Final = ("ROVER", "TextRASA", "TextHRRASA")
SCRIPT: Final = Path(__file__).with_name("crowdkit_peer.py")
ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
INSTALL_SECONDS: Final = 900
START_SECONDS: Final = 60


@dataclass(frozen=True)
class PeerResult:
    """What a method found: a label for each task of the table (a class code for choices); None and why when it failed.

    `seconds` are of the processor.
    """

    labels: list[Any] | None
    seconds: float
    failed: str = ""


def environment(home: Path, voice: Voice) -> Path:
    """Return the interpreter of the peer's environment under Kapok's home, made on the first call.

    Raises:
        CannotRunError: it cannot be made, for want of a package index, say.
    """
    place = home.absolute() / "bench" / f"crowd-kit-1.4.2-python{sys.version_info.major}.{sys.version_info.minor}"
    python = place / "bin" / "python"
    if (place / "complete").exists():
        return python
    shutil.rmtree(place, ignore_errors=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    with voice.step(f"An environment for {PEER} ({place})"):
        for command in ([sys.executable, "-m", "venv", str(place)], [*install, *NEEDS], [*install, "--no-deps", PEER]):
            try:
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
            except (OSError, subprocess.SubprocessError) as error:
                said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
                raise CannotRunError(
                    f"{PEER} cannot be installed: {said[-1] if said else error}", "Leave it out with --no-peers."
                ) from error
    (place / "complete").touch()
    return python


def run_peers(python: Path, table: CrowdTable, kind: DataKind, seconds: int) -> dict[str, PeerResult]:
    """Return what each of crowd-kit's methods for the kind finds; numbers have none.

    Of `text`, it gets words without case and punctuation, as they are scored. Of BIO, each token is a task of its own.
    """
    if kind is DataKind.NUMERIC:
        return {}
    if kind is DataKind.BIO:
        return _by_token(python, table, seconds)
    with tempfile.TemporaryDirectory() as folder:
        columns = Path(folder) / ("columns.json" if kind is DataKind.TEXT else "columns.npz")
        methods: Sequence[str]
        if kind is DataKind.TEXT:
            methods = TEXT_METHODS
            columns.write_text(json.dumps(_texts(table)))
        else:
            table = table.without_blanks()
            methods = (*CHOICE_METHODS, *(("KOS",) if len(table.labels) == 2 else ()))
            np.savez(columns, task=table.task, worker=table.worker, label=table.label)
        job = {"columns": str(columns), "texts": kind is DataKind.TEXT, "methods": methods, "seconds": seconds}
        lines = _run(python, Path(folder), job, seconds * len(methods) + START_SECONDS)
    return {name: _result(lines.get(name), len(table.tasks)) for name in methods}


def peer_speed(python: Path, columns: Path, out: Path, iterations: int) -> dict[str, float]:
    """Return the `cpu_seconds` and `extra_bytes` of crowd-kit's Dawid–Skene; its labels by task go to `out` (.npy).

    Raises:
        CannotRunError: it failed.
    """
    job = out.with_suffix(".job")
    job.write_text(json.dumps({"columns": str(columns), "out": str(out), "iterations": iterations}))
    return run_child([str(python), str(SCRIPT), str(job)])


def run_child(command: list[str]) -> dict[str, float]:
    """Run a child that prints one JSON object, on one thread; raises CannotRunError when it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=_environ())
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise CannotRunError(f"{Path(command[1]).name} failed: {said[-1][:200]}", "Is there memory enough?")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _environ() -> dict[str, str]:
    return dict(os.environ) | ONE_THREAD


def _run(python: Path, folder: Path, job: dict[str, Any], most_seconds: int) -> dict[str, dict[str, Any]]:
    """Return the lines of the script by method; those of methods it did not come to say why."""
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    command = [str(python), str(SCRIPT), str(path)]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=_environ(), timeout=most_seconds
        )
        said, why = done.stdout, (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        why = "it took too long"
    lines = {line["method"]: line for line in map(json.loads, said.splitlines())}
    return {name: lines.get(name, {"failed": why, "seconds": 0.0}) for name in job["methods"]}


def _result(line: dict[str, Any] | None, tasks: int) -> PeerResult:
    if line is None or "failed" in line:
        return PeerResult(None, (line or {}).get("seconds", 0.0), (line or {}).get("failed", "no result"))
    found = line["labels"]
    return PeerResult([found.get(str(task), -1) for task in range(tasks)], line["seconds"])


def _texts(table: CrowdTable) -> list[dict[str, Any]]:
    spoken = [" ".join(words_of(label)) for label in table.labels]
    columns = zip(table.task.tolist(), table.worker.tolist(), table.label.tolist(), strict=True)
    return [{"task": task, "worker": worker, "text": spoken[label]} for task, worker, label in columns]


def _by_token(python: Path, table: CrowdTable, seconds: int) -> dict[str, PeerResult]:
    """Let Dawid–Skene and the majority label each token, and join the tags of a sentence again."""
    rows: list[tuple[int, int, int]] = []
    lengths: list[int] = []
    names: dict[str, int] = {}
    for _, answers in table.given():
        tags = [(who, said.split()) for who, said in answers]
        length = max((len(said) for _, said in tags), key=[len(said) for _, said in tags].count)
        first = sum(lengths)
        for who, said in tags:
            if len(said) == length:
                rows += [(first + n, who, names.setdefault(tag, len(names))) for n, tag in enumerate(said)]
        lengths.append(length)
    task, worker, label = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        columns = Path(folder) / "columns.npz"
        np.savez(columns, task=task, worker=worker, label=label)
        methods = ("MajorityVote", "DawidSkene")
        job = {"columns": str(columns), "texts": False, "methods": methods, "seconds": seconds}
        lines = _run(python, Path(folder), job, seconds * len(methods) + START_SECONDS)
    results = {name: _result(lines[name], sum(lengths)) for name in methods}
    return {name: _joined(one, lengths, list(names)) for name, one in results.items()}


def _joined(result: PeerResult, lengths: Sequence[int], names: Sequence[str]) -> PeerResult:
    if result.labels is None:
        return result
    ends = np.cumsum(lengths)
    tags = [names[code] if code >= 0 else "O" for code in result.labels]
    sentences = [" ".join(tags[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
    return PeerResult(sentences, result.seconds)
