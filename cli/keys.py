"""The operator's public key, as commands that check signed files without a server take it."""

from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cli.errors import CannotRunError
from marketplace.core.signatures import public_keys

PublicKey = Annotated[str, typer.Option(help="The operator's public key: a file, or base64. From GET /v1/proof-keys.")]


def read_keys(key: str) -> list[Ed25519PublicKey]:
    """Return the keys in a file or a text; raises `CannotRunError`."""
    try:
        return public_keys(Path(key).read_text() if Path(key).is_file() else key)
    except (ValueError, OSError) as error:
        raise CannotRunError(
            f"This is no Ed25519 public key: {error}.", "Ask the operator, or GET /v1/proof-keys."
        ) from error
