"""`kapok skill …`: checking a worker's signed record of skills, without a server."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import problems_explained
from cli.errors import CannotRunError
from cli.keys import PublicKey, read_keys
from marketplace.quality.skills.record import RecordBroken, check_record

app = typer.Typer(no_args_is_help=True, help="Check records of skills, offline.")


@app.callback()
def skill() -> None:
    """Check records of skills, offline."""


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The record, as the API gave it.")],
    key: PublicKey,
) -> None:
    """Check a record's signature; say whose skills it attests, or why it does not hold."""
    with problems_explained():
        keys = read_keys(key)
        try:
            document = check_record(file.read_bytes(), keys)
        except OSError as error:
            raise CannotRunError(f"Cannot read {file}: {error.strerror}.", "Give the file of a record.") from error
        except RecordBroken as error:
            raise CannotRunError(f"The record does not hold: {error}.", "Do not rely on it.") from error
    typer.echo(f"The record holds: worker {document['worker_id']}, as of {document['issued_at']}.")
    for each in document["skills"]:
        typer.echo(
            f"{each['subject']} ({each['language']}): {each['value']:.0f} of 100, "
            f"{each['low']:.0f} to {each['high']:.0f}, worth {each['evidence']:.0f} known answers"
        )
