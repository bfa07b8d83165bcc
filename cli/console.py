"""How the command line speaks: steps with their time, lines of the children in colours, problems with their remedy."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from cli.errors import CannotRunError

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_red")


class Voice:
    """Writes to the terminal; a quiet one only writes problems."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.out = Console(quiet=quiet, highlight=False)
        self._colours: dict[str, str] = {}

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Show that `what` is being done, then that it is done and how long it took."""
        began = time.monotonic()
        if not self.out.is_terminal:
            self.out.print(f"… {what}")
        with self.out.status(f"{what} …"):
            yield
        self.out.print(f"[green]✓[/] {what} [dim]{time.monotonic() - began:.1f} s[/]")

    def child(self, name: str, line: str) -> None:
        """Write a line of a child process behind its coloured name."""
        colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
        self.out.print(Text.assemble((f"{name:>9} │ ", colour), line), soft_wrap=True)

    def note(self, text: str) -> None:
        """Write something the user should know though nothing is wrong."""
        self.out.print(Text.assemble(("! ", "yellow"), text))


@contextmanager
def problems_explained() -> Iterator[None]:
    """Turn a CannotRunError into two lines on standard error and exit code 1."""
    try:
        yield
    except CannotRunError as error:
        console = Console(file=sys.stderr, highlight=False)
        console.print(Text.assemble(("✗ ", "bold red"), str(error)), soft_wrap=True)
        if error.mend:
            console.print(Text.assemble(("  ➜ ", "bold"), error.mend), soft_wrap=True)
        raise typer.Exit(1) from None


def conclude(
    figures: dict[str, Any], show: Callable[[Console, dict[str, Any]], None], voice: Voice, *, as_json: bool
) -> None:
    """Print a command's figures, as one JSON object or for people; end with 1 when they name `problems`."""
    if as_json:
        print(json.dumps(figures, ensure_ascii=False))
    else:
        show(voice.out, figures)
    if figures["problems"]:
        raise typer.Exit(1)
