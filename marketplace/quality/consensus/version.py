"""Which engine this is: fits of the same answers are equal only under the same code."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

_DIGITS: Final = 12


@cache
def engine_version() -> str:
    """Return the first digits of a SHA-256 over the consensus package's own sources."""
    folder = Path(__file__).parent
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        found.update(f"{file.relative_to(folder).as_posix()}\0".encode() + file.read_bytes())
    return found.hexdigest()[:_DIGITS]
