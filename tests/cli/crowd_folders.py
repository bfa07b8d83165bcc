"""Small sets of crowd labels, made by rule, as folders."""

import csv
from pathlib import Path

import numpy as np

LABEL_SETS = ("choice", "numeric", "text", "bio")
_WORDS = tuple("abcdefghijklmnop")


def write_set(folder: Path, labels: list[tuple[str, str, str]], truth: dict[str, str] | None = None) -> Path:
    """Write a folder of labels and truth."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "labels.csv": [("task", "worker", "label"), *labels],
        "truth.csv": [("task", "label"), *(truth or {}).items()],
    }
    for name, rows in files.items():
        if name == "labels.csv" or truth is not None:
            with (folder / name).open("w", newline="") as file:
                csv.writer(file).writerows(rows)
    return folder


def make_set(
    folder: Path, kind: str, tasks: int = 40, workers: int = 8, a_task: int = 5, accuracy: float = 0.8
) -> Path:
    """Write a set of a kind, in which labels are right at `accuracy`."""
    draw = np.random.default_rng(7)
    rows, truth = [], {}
    for task in range(tasks):
        said = _truth(kind, draw)
        truth[f"t{task}"] = said
        for worker in draw.choice(workers, a_task, replace=False):
            label = said if draw.random() < accuracy else _wrong(kind, said, draw)
            rows.append((f"t{task}", f"w{worker}", label))
    return write_set(folder, rows, truth)


def _truth(kind: str, draw: np.random.Generator) -> str:
    match kind:
        case "choice":
            return str(draw.integers(3))
        case "numeric":
            return f"{draw.normal(50, 20):.2f}"
        case "text":
            return " ".join(draw.permutation(_WORDS)[:8])
        case _:
            return " ".join(draw.choice(["O", "B-PER", "B-LOC"], 6))


def _wrong(kind: str, said: str, draw: np.random.Generator) -> str:
    match kind:
        case "choice":
            return str((int(said) + 1) % 3)
        case "numeric":
            return f"{float(said) + draw.normal(0, 5):.2f}"
        case "text":
            return said.replace(" ", " um ", 1)
        case _:
            return "O " + said.split(" ", 1)[1]
