"""Faults that a test or a demonstration can plan: what may go wrong between us and a provider."""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    """What happens to one mutating call."""

    LOST_REQUEST = "lost_request"
    LOST_RESPONSE = "lost_response"
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    THROTTLED = "throttled"


@dataclass(slots=True)
class Faults:
    """The faults to come, in order; None lets a call through."""

    planned: deque[Fault | None] = field(default_factory=deque)

    def plan(self, *faults: Fault | None) -> None:
        """Add faults for the next mutating calls."""
        self.planned.extend(faults)

    def next(self) -> Fault | None:
        """Take the fault of this call."""
        return self.planned.popleft() if self.planned else None
