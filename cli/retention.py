"""`kapok retention`: what personal records of closed accounts are due by the operator's table, and erasing them."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.console import problems_explained
from cli.errors import CannotRunError
from cli.running import with_database
from marketplace.core.clock import now
from marketplace.core.db import Database, open_database
from marketplace.core.settings import Settings, get_settings
from marketplace.core.storage import open_store
from marketplace.settlement import retention as records
from marketplace.settlement.errors import RetentionTableInvalid
from marketplace.settlement.retention import Holding
from marketplace.settlement.retention_rules import RetentionTable, retention_table
from workers.session import run_command

_MEND = "Write a table with your counsel and name it in RETENTION_TABLE_FILE; see Law in docs/operations.md."


def retention(
    erase: Annotated[bool, typer.Option("--erase", help="Erase what is due; it cannot be brought back.")] = False,
) -> None:
    """Say how many personal records each class holds and how many are due; with --erase, erase those."""
    with problems_explained():
        settings = get_settings()
        table = _table(settings)
        found = asyncio.run(_run(with_database(settings), table, erase=erase))
    _show(table, found, Console())
    if erase:
        typer.echo(f"Erased {sum(holding.due for holding in found)} records.")


def _table(settings: Settings) -> RetentionTable:
    try:
        table = retention_table(settings)
    except RetentionTableInvalid as error:
        raise CannotRunError(error.detail, _MEND) from error
    if table is None:
        raise CannotRunError("There is no table that says how long records are kept.", _MEND)
    return table


async def _run(settings: Settings, table: RetentionTable, *, erase: bool) -> list[Holding]:
    at = now()
    async with open_database(settings, hot_size=1) as database:
        found = await run_command(database, lambda session: records.holdings(session, table, at))
        if erase:
            for holding in found:
                await _erase(settings, database, holding)
    return found


async def _erase(settings: Settings, database: Database, holding: Holding) -> None:
    rule = holding.rule
    if rule is None:
        return
    due = await run_command(database, lambda session: records.due_of(session, rule, now()))
    await records.erase_objects(open_store(settings), due)
    await run_command(database, lambda session: records.erase_columns(session, rule, due))


def _show(table: RetentionTable, found: list[Holding], console: Console) -> None:
    shown = Table("class", "held", "kept for", "source", "due", title=f"Retention: {table.name}")
    for holding in found:
        years = f"{holding.rule.years} years" if holding.rule else "ever: no rule"
        source = holding.rule.source if holding.rule else ""
        shown.add_row(holding.record_class, f"{holding.held:,}", years, source, f"{holding.due:,}")
    console.print(shown)
