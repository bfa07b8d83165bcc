"""What the command line refuses, always with the way to mend it."""

from pathlib import Path


class CannotRunError(Exception):
    """Kapok cannot run here; `mend` is the sentence that says what to do about it."""

    def __init__(self, reason: str, mend: str = "") -> None:
        super().__init__(reason)
        self.mend = mend


def named(folder: Path, error: CannotRunError) -> CannotRunError:
    """Return the error with the folder it is about."""
    return CannotRunError(str(error) if str(folder) in str(error) else f"{folder}: {error}", error.mend)
