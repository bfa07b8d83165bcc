"""`kapok report …`: what the operator has to hand in somewhere."""

import asyncio
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from cli.console import problems_explained
from cli.errors import CannotRunError
from cli.running import with_database
from marketplace.core.db import open_database
from marketplace.core.settings import Settings, get_settings
from marketplace.settlement.platform_report import ReportLine, as_csv, lines_of, quarter
from workers.session import run_command

app = typer.Typer(no_args_is_help=True, help="Reports that the operator hands in.")


@app.callback()
def report() -> None:
    """Reports that the operator hands in."""


@app.command()
def platform(
    year: Annotated[int, typer.Option(min=2000, max=9998)],
    number: Annotated[int, typer.Option("--quarter", min=1, max=4)],
    out: Annotated[Path, typer.Option(help="The CSV file to write.")],
    zone: Annotated[str, typer.Option("--time-zone", help="By whose clock a quarter begins.")] = "Asia/Shanghai",
) -> None:
    """Write identity and income of every payee of a quarter; fails when something of an identity is missing."""
    with problems_explained():
        lines = asyncio.run(_lines(with_database(get_settings()), year, number, zone))
        try:
            # With a mark that spreadsheets know UTF-8 by.
            out.write_text(as_csv(lines), encoding="utf-8-sig", newline="")
        except OSError as error:
            raise CannotRunError(f"Cannot write {out}: {error.strerror}.", "Choose another --out.") from error
        typer.echo(f"{len(lines)} lines written to {out}.")
        incomplete = [line for line in lines if line.missing()]
        for line in incomplete:
            typer.echo(f"{line.kind} {line.owner_id}: {', '.join(line.missing())} missing")
        if incomplete:
            raise CannotRunError(
                f"{len(incomplete)} of {len(lines)} lines are not complete.",
                "Complete them, and write the report anew.",
            )


async def _lines(settings: Settings, year: int, number: int, zone: str) -> list[ReportLine]:
    try:
        begins, ends = quarter(year, number, ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise CannotRunError(f"There is no time zone {zone!r}.", "Give an IANA name, such as Asia/Shanghai.") from error
    async with open_database(settings, hot_size=1) as database:
        return await run_command(database, lambda session: lines_of(session, begins, ends))
