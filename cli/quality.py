"""`kapok quality …`: checking the quality report of a delivery, without a server."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.console import problems_explained
from cli.errors import CannotRunError
from marketplace.quality.delivery_report.compare import OF_A_FIT, Compared, compare_reports, is_same_engine
from marketplace.quality.delivery_report.compute import compute_report
from marketplace.quality.delivery_report.evidence_file import EvidenceBroken, read_evidence

app = typer.Typer(no_args_is_help=True, help="Check the quality report of a delivery, offline.")
ENDING: Final = ".evidence.jsonl"


@app.callback()
def quality() -> None:
    """Check the quality report of a delivery, offline."""


@app.command()
def recompute(
    export: Annotated[Path, typer.Option(help=f"The evidence export, or a folder with one file *{ENDING}.")],
    report: Annotated[
        Path | None,
        typer.Option(help="The report as the API gave it (a delivery, or its `report`); else the one in the export."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Compute every figure of a delivery's report from the export alone, and compare it with the report.

    Ends with 1 when a figure differs. Needs no database.
    """
    with problems_explained():
        compared, same_engine = recomputed(export, report)
    different = [figure for figure in compared if not figure.is_equal]
    if as_json:
        typer.echo(json.dumps(_summary(compared, different) | {"same_engine": same_engine}, ensure_ascii=False))
    else:
        for line in _lines(compared, different):
            typer.echo(line)
        if not same_engine:
            typer.echo(
                f"The report was made by another version of the engine: {', '.join(sorted(OF_A_FIT))}, which rest on a"
                " fit, were not compared. Use the Kapok that made it for these."
            )
    if different:
        raise typer.Exit(1)


def recomputed(export: Path, report: Path | None) -> tuple[list[Compared], bool]:
    """Return every figure of a report beside the one computed from the export, and whether by the same engine.

    Raises:
        CannotRunError: a file cannot be read, or there is no report to compare with.
    """
    file = _evidence_file(export)
    try:
        with file.open("rb") as lines:
            evidence, inside = read_evidence(lines)
    except OSError as error:
        raise CannotRunError(
            f"Cannot read {file}: {error.strerror}.", "Give the file of an evidence export."
        ) from error
    except EvidenceBroken as error:
        raise CannotRunError(f"{file} is no evidence of a delivery: {error}.", "Export the request anew.") from error
    stored = inside if report is None else _stored_report(report)
    if stored is None:
        raise CannotRunError(f"{file} holds no report.", "Give the delivery's report with --report.")
    computed = compute_report(evidence).model_dump(mode="json")
    return compare_reports(stored, computed), is_same_engine(stored, computed)


def _evidence_file(export: Path) -> Path:
    if not export.is_dir():
        return export
    found = sorted(export.glob(f"*{ENDING}"))
    if len(found) != 1:
        raise CannotRunError(f"{export} has {len(found)} files *{ENDING}, not one.", "Name the file with --export.")
    return found[0]


def _stored_report(file: Path) -> dict[str, Any]:
    try:
        stored = json.loads(file.read_bytes())
    except OSError as error:
        raise CannotRunError(f"Cannot read {file}: {error.strerror}.", "Give a report as the API gave it.") from error
    except ValueError as error:
        raise CannotRunError(f"{file} is no JSON: {error}.", "Give a report as the API gave it.") from error
    inner = stored.get("report", stored) if isinstance(stored, dict) else None
    if not isinstance(inner, dict):
        raise CannotRunError(f"{file} is no report.", "Give a report as the API gave it.")
    return inner


def _summary(compared: Sequence[Compared], different: Sequence[Compared]) -> dict[str, Any]:
    return {
        "figures": len(compared),
        "equal": len(compared) - len(different),
        "different": [
            {"figure": one.path, "stored": _shown(one.stored), "computed": _shown(one.computed)} for one in different
        ],
    }


def _lines(compared: Sequence[Compared], different: Sequence[Compared]) -> list[str]:
    """Return a line for each figure, and what they come to."""
    lines = [
        f"  equal    {one.path} = {_shown(one.computed)}"
        if one.is_equal
        else f"✗ differs  {one.path}: the report says {_shown(one.stored)}, the export gives {_shown(one.computed)}"
        for one in compared
    ]
    if different:
        return [*lines, f"{len(different)} of {len(compared)} figures differ: the report is not that of this export."]
    return [*lines, f"All {len(compared)} figures are reproduced from the export alone."]


def _shown(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | dict) or value is None else repr(value)
