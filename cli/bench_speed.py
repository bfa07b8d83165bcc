"""The speed part of `kapok bench consensus`: ours and crowd-kit's Dawid–Skene on made judgments, each in a process."""

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from cli.console import Voice
from cli.scenario import consensus_child
from cli.scenario.crowd_data import Codes
from cli.scenario.peers import peer_speed, run_child
from cli.scenario.views import show_problems

CLASSES: Final = 5
WORKERS: Final = 20_000
REDUNDANCY: Final = 5
ITERATIONS: Final = 10
GIB: Final = 1024**3
RATIO: Final = 15
IDENTICAL: Final = 0.999
MOST_EXTRA: Final = 0.6 * GIB
AIMED_AT: Final = 1_000_000
"""Judgments from which the targets hold."""


def make_judgments(count: int, seed: int) -> tuple[Codes, Codes, Codes]:
    """Return tasks, workers and labels of so many judgments, five a task, by 20,000 workers right at 0.5 to 0.95.

    Each worker has a matrix of their own: what they take a class for when they err is theirs.
    """
    draw = np.random.default_rng(seed)
    tasks = -(-count // REDUNDANCY)
    task = np.repeat(np.arange(tasks, dtype=np.int32), REDUNDANCY)[:count]
    # five different workers a task: a random start and random steps around the ring of all
    steps = np.cumsum(draw.integers(1, WORKERS // REDUNDANCY, (tasks, REDUNDANCY), dtype=np.int32), axis=1)
    worker = (
        ((draw.integers(0, WORKERS, (tasks, 1), dtype=np.int32) + steps) % WORKERS).astype(np.int32).ravel()[:count]
    )
    truth = draw.integers(0, CLASSES, tasks, dtype=np.int32)
    matrix = (
        draw.dirichlet(np.ones(CLASSES), (WORKERS, CLASSES))
        * (1 - (sure := draw.uniform(0.5, 0.95, WORKERS)))[:, None, None]
    )
    matrix += sure[:, None, None] * np.eye(CLASSES)
    bounds = matrix.cumsum(2).astype(np.float32)
    drawn = draw.random(count, dtype=np.float32)
    label = np.empty(count, dtype=np.int32)
    for start in range(0, count, AIMED_AT):  # in parts, to stay small
        part = slice(start, start + AIMED_AT)
        label[part] = (drawn[part, None] > bounds[worker[part], truth[task[part]], :-1]).sum(1)
    return task, worker, label


def speed(count: int, python: Path | None, turns: int, seed: int, voice: Voice) -> dict[str, Any]:
    """Return the processor seconds and the peak memory beyond the loaded data, of each in turn, and their ratio."""
    runs: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        columns = Path(folder) / "columns.npz"
        with voice.step(f"{count:,} judgments of {WORKERS:,} workers"):
            task, worker, label = make_judgments(count, seed)
            np.savez(columns, task=task, worker=worker, label=label)
        for _ in range(turns):
            for model in ("dawid_skene", "auto"):
                with voice.step(f"ours, {model}"):
                    command = [sys.executable, "-m", consensus_child.__name__, str(columns), model, str(ITERATIONS)]
                    runs.setdefault(model, []).append(run_child([*command, str(Path(folder) / f"{model}.npy")]))
            if python:
                with voice.step("crowd-kit, DawidSkene"):
                    runs.setdefault("crowd-kit", []).append(
                        peer_speed(python, columns, Path(folder) / "crowd-kit.npy", ITERATIONS)
                    )
        same = _identical(Path(folder)) if python else None
    return _figures(count, runs, same)


def show_speed(out: Console, figures: dict[str, Any]) -> None:
    """Print seconds and memory of each, and what they say."""
    table = Table(
        "", "CPU s", "extra GiB", title=f"{figures['judgments']:,} judgments, {ITERATIONS} iterations, one thread"
    )
    for name, run in figures["runs"].items():
        table.add_row(name, f"{run['cpu_seconds']:.2f}", f"{run['extra_bytes'] / GIB:.2f}")
    if figures["ratio"] is not None:
        table.add_section()
        table.add_row("crowd-kit to ours", f"{figures['ratio']:.1f} ×", "")
        table.add_row("identical labels", f"{figures['identical']:.4%}", "")
    out.print(table)
    show_problems(out, figures["problems"])


def _identical(folder: Path) -> float:
    ours, theirs = np.load(folder / "dawid_skene.npy"), np.load(folder / "crowd-kit.npy")
    return float((ours == theirs).mean())


def _figures(count: int, runs: dict[str, list[dict[str, float]]], same: float | None) -> dict[str, Any]:
    medians = {
        name: {key: statistics.median(run[key] for run in those) for key in ("cpu_seconds", "extra_bytes")}
        for name, those in runs.items()
    }
    ours = medians["dawid_skene"]
    ratio = medians["crowd-kit"]["cpu_seconds"] / ours["cpu_seconds"] if "crowd-kit" in medians else None
    problems = []
    if ratio is not None and count >= AIMED_AT and ratio < RATIO:
        problems.append(f"only {ratio:.1f} times as fast as crowd-kit, not {RATIO}")
    if same is not None and same < IDENTICAL:
        problems.append(f"only {same:.3%} of the labels are identical")
    if ours["extra_bytes"] > MOST_EXTRA:
        problems.append(f"{ours['extra_bytes'] / GIB:.2f} GiB of memory beyond the data, not {MOST_EXTRA / GIB}")
    return {"judgments": count, "runs": medians, "ratio": ratio, "identical": same, "problems": problems}
