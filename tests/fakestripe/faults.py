"""Faults that a test plans for the next calls that change something."""

from collections import deque

KINDS = frozenset(
    {"lost_request", "lost_response", "error_before", "error_after", "throttled", "conflict", "hang"}
)  # fmt: skip


class Faults:
    """The faults to come, in order; None lets a call through."""

    def __init__(self) -> None:
        self.planned: deque[str | None] = deque()

    def plan(self, *names: str | None) -> None:
        """Add faults for the next calls that change something."""
        unknown = {name for name in names if name is not None} - KINDS
        if unknown:
            raise ValueError(f"no such faults: {sorted(unknown)}")
        self.planned.extend(names)

    def next(self) -> str | None:
        """Take the fault of this call."""
        return self.planned.popleft() if self.planned else None
