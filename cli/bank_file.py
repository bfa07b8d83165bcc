"""`kapok bank-file …`: giving out released files, reading the bank's results, and checking a file without a server."""

import asyncio
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from sqlmodel.ext.asyncio.session import AsyncSession

from cli.console import problems_explained
from cli.errors import CannotRunError
from cli.keys import PublicKey, read_keys
from cli.running import with_database
from marketplace.core.actor import SYSTEM
from marketplace.core.db import open_database
from marketplace.core.errors import DomainError
from marketplace.core.settings import Settings, get_settings
from marketplace.payments.bank_file.batches import content_of
from marketplace.payments.bank_file.batches import export as export_batch
from marketplace.payments.bank_file.file_format import BankFileBroken, check
from marketplace.payments.bank_file.models import BankFileImport
from marketplace.payments.bank_file.results import import_results
from workers.session import run_command

app = typer.Typer(no_args_is_help=True, help="Pay by files for your own bank.")


@app.callback()
def bank_file() -> None:
    """Pay by files for your own bank."""


@app.command("export")
def export_file(
    bank_file_id: Annotated[UUID, typer.Argument(help="A file that was released, by its id.")],
    to: Annotated[Path, typer.Option(help="The folder to write to.")] = Path(),
) -> None:
    """Write a released file and its signature, and mark it as on its way to the bank."""
    with problems_explained():
        settings = with_database(get_settings())
        try:
            content, signature = asyncio.run(_export(settings, bank_file_id))
        except DomainError as error:
            raise CannotRunError(error.detail, "GET /v1/operator/bank-files shows the files.") from error
        path = to / f"kapok-{bank_file_id.hex}.csv"
        try:
            path.touch(mode=0o600)  # it names people and their accounts
            path.write_bytes(content)
            signature_of(path).write_bytes(signature)
        except OSError as error:
            raise CannotRunError(f"Cannot write {path}: {error.strerror}.", "Choose another folder.") from error
    typer.echo(f"{path} and {signature_of(path).name}")


async def _export(settings: Settings, bank_file_id: UUID) -> tuple[bytes, bytes]:
    async def command(session: AsyncSession) -> tuple[bytes, bytes]:
        await export_batch(session, SYSTEM, bank_file_id)
        await session.flush()
        return await content_of(session, settings, SYSTEM, bank_file_id)

    async with open_database(settings, hot_size=1) as database:
        return await run_command(database, command)


@app.command("import")
def import_file(file: Annotated[Path, typer.Argument(help="The bank's result file.")]) -> None:
    """Apply a result file of the bank, and say what became of each row; again is harmless."""
    with problems_explained():
        settings = with_database(get_settings())
        try:
            made = asyncio.run(_import(settings, file.read_bytes()))
        except OSError as error:
            raise CannotRunError(f"Cannot read {file}: {error.strerror}.", "Give the bank's file.") from error
        except DomainError as error:
            told = "; ".join(f"line {problem.line}: {problem.reason}" for problem in error.fields[:10])
            raise CannotRunError(told or error.detail, "Nothing was applied; ask the bank for a whole file.") from error
    typer.echo(f"{made.applied} applied, {made.repeated} known before, {made.refused} refused.")
    for row in made.report:
        if row["outcome"] not in {"applied", "repeated"}:
            typer.echo(f"line {row['line']}: {row['ref']} {row['outcome']} {row['why'] or ''}".rstrip())
    if made.refused:
        raise typer.Exit(1)


async def _import(settings: Settings, content: bytes) -> BankFileImport:
    async def command(session: AsyncSession) -> BankFileImport:
        made = await import_results(session, SYSTEM, content)
        await session.flush()
        session.expunge(made)
        return made

    async with open_database(settings, hot_size=1) as database:
        return await run_command(database, command)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The file, as it goes to the bank.")],
    key: PublicKey,
    signature: Annotated[Path | None, typer.Option(help="Its signature; by default the file's name and .sig.")] = None,
) -> None:
    """Check a file's signature and control totals, offline; say what it holds, or why it is not to be paid."""
    with problems_explained():
        keys = read_keys(key)
        try:
            lines = check(file.read_bytes(), (signature or signature_of(file)).read_bytes(), keys)
        except OSError as error:
            raise CannotRunError(f"Cannot read {error.filename}: {error.strerror}.", "Give both files.") from error
        except BankFileBroken as error:
            raise CannotRunError(f"The file does not hold: {error}.", "Do not pay it.") from error
    for line in ("The file holds.", *lines):
        typer.echo(line)


def signature_of(path: Path) -> Path:
    """Return where the detached signature of a file stands."""
    return path.with_name(path.name + ".sig")
