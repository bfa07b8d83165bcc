"""`kapok predict`: the engine's label for every task of a folder of crowd labels, and how sure it is."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.console import Voice, problems_explained
from cli.errors import CannotRunError, named
from cli.scenario.consensus_methods import Found, consensus
from cli.scenario.crowd_data import CrowdTable, DataKind, folders_of, read_table, recognise

KindWish = Literal["auto", "choice", "numeric", "text", "bio"]


def predict(
    data: Annotated[list[Path], typer.Option(help="Folder with labels.csv (task,worker,label); may be repeated.")],
    out: Annotated[Path, typer.Option(help="JSON Lines file to write.")],
    kind: Annotated[KindWish, typer.Option(help="What the labels are.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Splits ties; the same seed, the same file.")] = 0,
) -> None:
    """Write {"dataset", "task", "label", "confidence"} for every task of `labels.csv`; a known truth is never read.

    The file is written whole or not at all.
    """
    voice = Voice()
    with problems_explained():
        folders = folders_of(data, truth=False)
        _write(out, (line for folder in folders for line in _lines_of(folder, kind, seed, voice)))


def _lines_of(folder: Path, kind: KindWish, seed: int, voice: Voice) -> Iterator[str]:
    try:
        table, found = _found(folder, kind, seed, voice)
    except CannotRunError as error:
        raise named(folder, error) from error
    yield from _lines(table, found)


def _found(folder: Path, kind: KindWish, seed: int, voice: Voice) -> tuple[CrowdTable, Found]:
    table = read_table(folder / "labels.csv")
    what = recognise(table) if kind == "auto" else DataKind(kind)
    with voice.step(f"{table.name}: {len(table):,} labels of {len(table.tasks):,} tasks, {what}"):
        found = consensus(table, what, seed=seed)
    if what is DataKind.NUMERIC and (dropped := len(table.without_blanks()) - len(table.only_numbers())):
        voice.note(f"{table.name}: {dropped:,} labels are no numbers and were left out")
    return table, found


def _lines(table: CrowdTable, found: Found) -> Iterator[str]:
    for task, label, confidence in zip(table.tasks, found.label, found.confidence.tolist(), strict=True):
        sure = min(max(confidence, 0.0), 1.0) if math.isfinite(confidence) else 0.0
        row = {"dataset": table.name, "task": task, "label": label, "confidence": round(sure, 6)}
        yield json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def _write(path: Path, lines: Iterator[str]) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.writelines(lines)
        fresh.replace(path)
    except OSError as error:
        raise CannotRunError(f"Cannot write {path}: {error.strerror}.", "Give another --out.") from error
    finally:
        fresh.unlink(missing_ok=True)
