"""The words of control over payouts: pauses, circuits, schedules, and why a remote call waits."""

from enum import StrEnum


class PauseScope(StrEnum):
    """What a pause stops: all of a provider, an organisation's money, or payouts to one vendor or worker."""

    PROVIDER = "provider"
    ORGANISATION = "organisation"
    PAYEE = "payee"


class CircuitState(StrEnum):
    """Whether calls go to a provider: all, none, or one that tries."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class PayoutSchedule(StrEnum):
    """When cleared money is paid out: when asked for, at once, or at the start of each week or month (UTC)."""

    MANUAL = "manual"
    AT_ONCE = "at_once"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class HoldReason(StrEnum):
    """Why a remote call is not made yet."""

    PAUSED = "paused"
    CIRCUIT_OPEN = "circuit_open"
    METHOD_COOLING = "method_cooling"
    METHOD_MISSING = "method_missing"
    PAYEE_LAPSED = "payee_lapsed"
    PAYEE_REFUSED = "payee_refused"
