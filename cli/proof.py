"""`kapok proof …`: checking a settlement proof, without a server."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import problems_explained
from cli.errors import CannotRunError
from cli.keys import PublicKey, read_keys
from marketplace.settlement.proof_format import ProofBroken, check

app = typer.Typer(no_args_is_help=True, help="Check settlement proofs, offline.")


@app.callback()
def proof() -> None:
    """Check settlement proofs, offline."""


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The proof, as the API gave it.")],
    key: PublicKey,
) -> None:
    """Check a proof's signature, sums and seals; say what it proves, or why it does not hold."""
    with problems_explained():
        keys = read_keys(key)
        try:
            lines = check(file.read_bytes(), keys)
        except OSError as error:
            raise CannotRunError(f"Cannot read {file}: {error.strerror}.", "Give the file of a proof.") from error
        except ProofBroken as error:
            raise CannotRunError(f"The proof does not hold: {error}.", "Do not rely on it.") from error
    for line in ("The proof holds.", *lines):
        typer.echo(line)
