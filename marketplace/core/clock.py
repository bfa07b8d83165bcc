"""The one source of time, so that a test or a simulation can move it."""

from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Final

_AHEAD: Final[ContextVar[timedelta]] = ContextVar("ahead", default=timedelta(0))


def now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC) + _AHEAD.get()


def move_ahead(by: timedelta) -> None:
    """Let time pass at once, for whatever runs in this context; for simulations, which wait for nobody's bank."""
    _AHEAD.set(_AHEAD.get() + by)
