"""Errors are domain words: a kind says what sort of thing went wrong, a class says which thing.

Every error a caller can meet is a subclass of one kind below, with a `code` of its own (stable: clients switch on it)
and a docstring that is its message. `api/errors.py` alone knows which HTTP status a kind becomes.
"""

from dataclasses import dataclass
from enum import StrEnum
from inspect import getdoc
from typing import Any, ClassVar


class Kind(StrEnum):
    """What sort of failure an error is; the edge maps it to its own vocabulary."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    GONE = "gone"
    TOO_LARGE = "too_large"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One wrong field: where (dotted path, line number if any) and why, in a sentence that says what to do."""

    field: str
    reason: str
    line: int | None = None


class DomainError(Exception):
    """The base of every error of the domain; raise a subclass."""

    kind: ClassVar[Kind]
    code: ClassVar[str]

    def __init__(self, detail: str = "", *, fields: list[FieldProblem] | None = None, **extra: Any) -> None:
        self.title = (getdoc(type(self)) or "").split("\n", maxsplit=1)[0]
        self.detail = detail or self.title
        self.fields = fields or []
        self.extra = extra
        super().__init__(self.detail)


class Invalid(DomainError):
    """The input breaks a rule."""

    kind = Kind.INVALID
    code = "invalid"


class Unauthenticated(DomainError):
    """Sign in first."""

    kind = Kind.UNAUTHENTICATED
    code = "unauthenticated"


class Forbidden(DomainError):
    """You may see this, but not do that."""

    kind = Kind.FORBIDDEN
    code = "forbidden"


class NotFound(DomainError):
    """There is no such thing, or it is not yours to see."""

    kind = Kind.NOT_FOUND
    code = "not_found"


class Conflict(DomainError):
    """The state of things does not allow that now."""

    kind = Kind.CONFLICT
    code = "conflict"


class Gone(DomainError):
    """It was there, and has ended."""

    kind = Kind.GONE
    code = "gone"


class TooLarge(DomainError):
    """The input is larger than allowed."""

    kind = Kind.TOO_LARGE
    code = "too_large"


class RateLimited(DomainError):
    """Too many requests; wait and try again."""

    kind = Kind.RATE_LIMITED
    code = "rate_limited"


class Unavailable(DomainError):
    """A part that this needs is not available now; try again."""

    kind = Kind.UNAVAILABLE
    code = "unavailable"


class TransitionRefused(Conflict):
    """The thing is not in a state that allows this step."""

    code = "transition_refused"


def all_errors() -> list[type[DomainError]]:
    """Return every error class known to the process, for the edge's table and the architecture tests."""
    found: list[type[DomainError]] = []
    waiting: list[type[DomainError]] = [DomainError]
    while waiting:
        children = waiting.pop().__subclasses__()
        found += children
        waiting += children
    return found
