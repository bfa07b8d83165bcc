"""`kapok jobs`: the jobs that failed for good, and what to do about them."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from sqlmodel.ext.asyncio.session import AsyncSession

from cli.console import problems_explained
from cli.errors import CannotRunError
from cli.running import with_database
from marketplace.core import dead_letters
from marketplace.core.db import open_database
from marketplace.core.outbox import DeadLetter
from marketplace.core.settings import get_settings
from workers.session import run_command

jobs = typer.Typer(no_args_is_help=True, help="Look after jobs that failed for good.")
Ids = Annotated[list[UUID] | None, typer.Argument(help="Ids of jobs, from `kapok jobs list`.")]
Kind = Annotated[str, typer.Option(help="Only jobs of this kind, such as quality.judge.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


@jobs.command("list")
def list_jobs(
    kind: Kind = "",
    everything: Annotated[bool, typer.Option("--all", help="Those dealt with too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the jobs that failed for good: what they were, why they failed, and what became of them."""

    async def command(session: AsyncSession) -> list[DeadLetter]:
        return await dead_letters.dead_letters(session, kind=kind, resolved=everything)

    with problems_explained():
        found = asyncio.run(_run(command))
    if as_json:
        print(json.dumps([_facts(letter) for letter in found], ensure_ascii=False))
    else:
        _show(found)


@jobs.command()
def replay(ids: Ids = None, kind: Kind = "", everything: All = False) -> None:
    """Let jobs run once more: those named, those of a kind, or --all."""
    _resolve(dead_letters.replay, ids or [], kind, "will run again", everything=everything)


@jobs.command()
def drop(ids: Ids = None, kind: Kind = "", everything: All = False) -> None:
    """Give jobs up, so that what they were to do is never done: those named, those of a kind, or --all."""
    _resolve(dead_letters.drop, ids or [], kind, "given up", everything=everything)


Resolve = Callable[[AsyncSession, Sequence[DeadLetter]], Awaitable[None]]


def _resolve(resolve: Resolve, ids: list[UUID], kind: str, done: str, *, everything: bool) -> None:
    with problems_explained():
        if not (ids or kind or everything):
            raise CannotRunError("No job is named.", "Name ids, --kind, or --all; `kapok jobs list` shows them.")

        async def command(session: AsyncSession) -> list[DeadLetter]:
            letters = await dead_letters.dead_letters(session, job_ids=ids, kind=kind)
            if ids and (unknown := set(ids) - {letter.job_id for letter in letters}):
                names = ", ".join(map(str, sorted(unknown)))
                raise CannotRunError(f"Not among the dead jobs: {names}", "`kapok jobs list` shows them.")
            await resolve(session, letters)
            return letters

        found = asyncio.run(_run(command))
    for letter in found:
        print(f"{letter.job_id} {letter.kind}: {done}")
    print(f"{len(found)} {done}.")


async def _run(command: Callable[[AsyncSession], Awaitable[list[DeadLetter]]]) -> list[DeadLetter]:
    async with open_database(with_database(get_settings()), hot_size=1) as database:
        return await run_command(database, command)


def _facts(letter: DeadLetter) -> dict[str, Any]:
    return letter.model_dump(mode="json")


def _show(letters: Sequence[DeadLetter]) -> None:
    out = Console(highlight=False)
    table = Table("job", "kind", "since", "tries", "error", "became of it")
    for letter in letters:
        table.add_row(
            str(letter.job_id), letter.kind, f"{letter.created_at:%Y-%m-%d %H:%M:%S}", str(letter.tries),
            letter.error[:300], letter.resolution or "",
        )  # fmt: skip
    out.print(table if letters else "No job has failed for good.")
