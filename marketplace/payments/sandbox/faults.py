"""Faults that a test or a demonstration can plan: what may go wrong between us and a provider."""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from marketplace.payments.states import Leg


class Fault(StrEnum):
    """What happens to one mutating call; a late request is one whose connection broke and that arrives all the same."""

    LOST_REQUEST = "lost_request"
    LATE_REQUEST = "late_request"
    LOST_RESPONSE = "lost_response"
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    THROTTLED = "throttled"


@dataclass(slots=True)
class Faults:
    """The faults to come, in order; None lets a call through. `late` are requests that are still on their way."""

    planned: deque[Fault | None] = field(default_factory=deque)
    late: deque[Callable[[], Awaitable[object]]] = field(default_factory=deque)

    def plan(self, *faults: Fault | None) -> None:
        """Add faults for the next mutating calls."""
        self.planned.extend(faults)

    def next(self, leg: Leg) -> Fault | None:  # noqa: ARG002  # faults that are drawn may depend on the leg
        """Take the fault of this call."""
        return self.planned.popleft() if self.planned else None
