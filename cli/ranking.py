"""`kapok rank FILE`: the order of items that were compared two by two, from a file of comparisons."""

import csv
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.console import problems_explained
from cli.errors import CannotRunError
from marketplace.quality.consensus.bradley_terry import BradleyTerryFit, fit_bradley_terry, rank_items

_COLUMNS: Final = ("left", "right", "worker", "preference")
_SIDES: Final = ("left", "right", "tie")


def rank(
    file: Annotated[Path, typer.Argument(help="A CSV file with the columns left, right, worker, preference.")],
) -> None:
    """Rank items that workers compared two by two, best first, with standard errors and each worker's care."""
    with problems_explained():
        fit = _fit(_read(file))
    typer.echo("place\titem\tscore\terror\tgroup\t")
    for one in rank_items(fit):
        like = "not told apart from the next" if one.same_as_next else ""
        typer.echo(f"{one.place}\t{one.item}\t{one.score:.2f}\t{one.error:.2f}\t{one.component}\t{like}")
    if fit.component.max(initial=0) > 0:
        typer.echo("No chain of comparisons links the groups: places hold within a group only.")
    typer.echo("worker\tcare")
    for worker, care in zip(fit.workers.tolist(), fit.care.tolist(), strict=True):
        typer.echo(f"{worker}\t{care:.2f}")


def _read(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise CannotRunError(f"{file} has no column {missing[0]}.", f"Give the columns {', '.join(_COLUMNS)}.")
            rows = list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise CannotRunError(f"Cannot read {file}: {error}.", "Give a CSV file in UTF-8.") from error
    for number, row in enumerate(rows, start=2):
        if row["preference"] not in _SIDES or None in row.values():
            raise CannotRunError(f"Line {number} of {file} is no comparison.", f"Say one of {', '.join(_SIDES)}.")
    return rows


def _fit(rows: list[dict[str, str]]) -> BradleyTerryFit:
    turned = [row["preference"] == "right" for row in rows]
    try:
        return fit_bradley_terry(
            [row["right"] if turn else row["left"] for row, turn in zip(rows, turned, strict=True)],
            [row["left"] if turn else row["right"] for row, turn in zip(rows, turned, strict=True)],
            [row["worker"] for row in rows],
            [row["preference"] == "tie" for row in rows],
        )
    except ValueError as error:
        raise CannotRunError(f"These comparisons cannot be ranked: {error}.", "Mend the file.") from error
