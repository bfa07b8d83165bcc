"""`kapok bench overlap`: what adaptive overlap saves on sets of crowd labels, and what it costs in accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from cli.console import Voice, conclude, problems_explained
from cli.errors import CannotRunError
from cli.scenario.crowd_data import CrowdTable, DataKind, folders_of, read_table, read_truth, recognise
from cli.scenario.overlap_simulation import Bought, simulate
from cli.scenario.views import show_problems
from marketplace.quality.overlap import StoppingRule

SEEDS: Final = 10
RULE: Final = StoppingRule().of_posteriors()  # the sets have no gold to calibrate on

MOST_LOST: Final = 0.005
LEAST_SAVED: Final = 0.35
"""What the mean over the sets may lose in accuracy, and must save of the labels."""


def overlap(  # the options of a command are its arguments
    sets: Annotated[list[Path] | None, typer.Argument(help="More folders.")] = None,
    data: Annotated[
        list[Path] | None, typer.Option(help="Folder with labels.csv and truth.csv, or of such; may be repeated.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Orders of the labels that are drawn.")] = SEEDS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Buy each set's labels one at a time by the market's own rule, and compare with all labels and with fixed overlap.

    Only sets of choices are bought; others are named and left out.
    """
    voice = Voice(quiet=as_json)
    with problems_explained():
        tables, left_out = _read(folders_of([*(data or ()), *(sets or ())], truth=True))
        if not tables:
            raise CannotRunError("None of the folders holds choices.", "kapok bench overlap --data DIR")
        found = []
        for table, truth in tables:
            with voice.step(f"{table.name}: {len(table):,} labels, {seeds} orders"):
                found.append(overlap_of(table, truth, seeds))
    means = {key: round(float(np.mean([one[key] for one in found])), 4) for key in found[0] if key in _MEANS}
    figures = {
        "sets": found,
        "means": means,
        "left_out": left_out,
        "rule": asdict(RULE),
        "seeds": seeds,
        "problems": problems_of(means),
    }
    conclude(figures, _show, voice, as_json=as_json)


_MEANS: Final = ("saved", "accuracy_all", "accuracy", "accuracy_fixed", "difference", "difference_fixed")


def problems_of(means: Mapping[str, float]) -> list[str]:
    """Return what is wrong with means over sets: too much accuracy lost, too few labels saved."""
    found = []
    if means["difference"] < -MOST_LOST:
        found.append(f"{-means['difference'] * 100:.2f} points of accuracy lost, at most {MOST_LOST * 100:.1f} may be")
    if means["saved"] < LEAST_SAVED:
        found.append(f"{means['saved']:.1%} of the labels saved, at least {LEAST_SAVED:.0%} should be")
    return found


def overlap_of(table: CrowdTable, truth: Mapping[str, str], seeds: int) -> dict[str, Any]:
    """Return what the rule saves of a set of choices, as means over orders drawn by so many seeds.

    `difference` is the accuracy with the labels bought less that with all, `difference_fixed` less that with as many
    labels spread evenly over the tasks.
    """
    table = table.without_blanks()
    runs = [simulate(table, truth, RULE, seed) for seed in range(seeds)]
    means = {name: _mean(runs, name) for name in ("bought", "saved", "accuracy_all", "accuracy", "accuracy_fixed")}
    return {
        "set": table.name,
        "tasks": len(table.tasks),
        "labels": len(table),
        **means,
        "difference": round(means["accuracy"] - means["accuracy_all"], 4),
        "difference_fixed": round(means["accuracy"] - means["accuracy_fixed"], 4),
    }


def _read(folders: Sequence[Path]) -> tuple[list[tuple[CrowdTable, dict[str, str]]], list[str]]:
    tables, left_out = [], []
    for folder in folders:
        table = read_table(folder / "labels.csv")
        if recognise(table) is DataKind.CHOICE:
            tables.append((table, read_truth(folder / "truth.csv")))
        else:
            left_out.append(table.name)
    return tables, left_out


def _mean(runs: Sequence[Bought], name: str) -> float:
    return round(float(np.mean([getattr(run, name) for run in runs])), 4)


def _show(out: Console, figures: dict[str, Any]) -> None:
    columns = ("set", "labels", "bought", "saved", "all", "ours", "fixed", "±all", "±fixed")
    title = "Adaptive overlap: accuracy in %, its difference to all and to fixed in points"
    table = Table(*columns, title=title)
    for one in figures["sets"]:
        table.add_row(one["set"], f"{one['labels']:,}", f"{one['bought']:,.0f}", *_cells(one))
    table.add_section()
    table.add_row("mean", "", "", *_cells(figures["means"]))
    out.print(table)
    if figures["left_out"]:
        out.print(f"Left out, for they are no choices: {', '.join(figures['left_out'])}")
    show_problems(out, figures["problems"])


def _cells(one: Mapping[str, float]) -> list[str]:
    accuracies = [f"{one[key] * 100:.1f}" for key in ("accuracy_all", "accuracy", "accuracy_fixed")]
    return [
        f"{one['saved']:.1%}",
        *accuracies,
        *(f"{one[key] * 100:+.2f}" for key in ("difference", "difference_fixed")),
    ]
