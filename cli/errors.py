"""What the command line refuses, always with the way to mend it."""


class CannotRunError(Exception):
    """Kapok cannot run here; `mend` is the sentence that says what to do about it."""

    def __init__(self, reason: str, mend: str = "") -> None:
        super().__init__(reason)
        self.mend = mend
