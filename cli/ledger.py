"""`kapok ledger …`: looking after the books from the command line."""

import asyncio

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from cli.console import problems_explained
from cli.running import with_database
from marketplace.core.db import open_database
from marketplace.core.paging import MAX_PAGE, Page, PageQuery
from marketplace.core.settings import Settings, get_settings
from marketplace.ledger.verify import VerifyReport
from marketplace.payments.providers import open_gateways
from marketplace.settlement.clearing import ClearingAccount, Limits, old_clearing_accounts
from marketplace.settlement.verify import verify_everything

app = typer.Typer(no_args_is_help=True, help="Look after the ledger.")


@app.callback()
def ledger() -> None:
    """Look after the ledger."""


@app.command()
def verify() -> None:
    """Re-add every posting, compare with requests, payouts and the provider, and say what does not match."""
    with problems_explained():
        report = asyncio.run(_verify(with_database(get_settings())))
    show(report, Console())
    if not report.holds:
        raise typer.Exit(1)


async def _verify(settings: Settings) -> VerifyReport:
    async with open_database(settings, hot_size=1) as database, database.sessions() as session:
        await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        return await verify_everything(session, *open_gateways(settings, database))


@app.command()
def clearing() -> None:
    """List clearing accounts with money that should have left them; ends with an error when there is one."""
    with problems_explained():
        page = asyncio.run(_clearing(with_database(get_settings())))
    table = Table("account", "", "balance", "days", "allowed", title="Clearing accounts over their limit")
    for old in page.items:
        days = (f"{seconds / 86_400:.1f}" for seconds in (old.age_seconds, old.limit_seconds))
        table.add_row(old.path, old.currency, f"{old.balance_minor:,}", *days)
    Console().print(table if page.items else "No clearing account is over its limit.")
    if page.next_cursor is not None:
        Console().print("There are more: GET /v1/operator/clearing-accounts")
    if page.items:
        raise typer.Exit(1)


async def _clearing(settings: Settings) -> Page[ClearingAccount]:
    async with open_database(settings, hot_size=1) as database, database.sessions() as session:
        return await old_clearing_accounts(session, Limits(), PageQuery(limit=MAX_PAGE))


def show(report: VerifyReport, console: Console) -> None:
    """Print each check with its figures, and each break under it."""
    table = Table("check", "rule", "figures", "", title="Ledger")
    for check in report.checks:
        figures = ", ".join(f"{name} {value:,}" for name, value in check.figures.items())
        table.add_row(check.name, check.rule, figures, "holds" if check.holds else f"{len(check.breaks)} broken")
    console.print(table)
    for check in report.checks:
        for line in check.breaks:
            console.print(f"{check.name}: {line}", markup=False, highlight=False)
    console.print("Everything adds up." if report.holds else "The ledger does not add up; see above.")
