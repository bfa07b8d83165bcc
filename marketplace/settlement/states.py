"""The way of an accrual."""

from enum import StrEnum

from marketplace.core.states import Transitions


class AccrualState(StrEnum):
    """Accrued inside the dispute window, released to the payees, or taken back.

    A disputed delivery moves nothing and has no state here: while it is open, `release` passes the request over.
    """

    ACCRUED = "accrued"
    RELEASED = "released"
    TAKEN_BACK = "taken_back"


class BonusSource(StrEnum):
    """What an enterprise pays a bonus from: its prepaid balance, or the reserve of the running request."""

    CASH = "cash"
    RESERVE = "reserve"


ACCRUAL_STEPS: Transitions[AccrualState] = {
    AccrualState.ACCRUED: frozenset({AccrualState.RELEASED, AccrualState.TAKEN_BACK}),
    AccrualState.TAKEN_BACK: frozenset({AccrualState.ACCRUED}),  # an appeal against an upheld dispute is won
}


class MinimumPayAction(StrEnum):
    """What the operator wants done where pay is below the minimum of a region."""

    WARN = "warn"
    BLOCK = "block"
    TOP_UP = "top_up"


class PaidFrom(StrEnum):
    """Which money of the enterprise a top-up to the minimum came from."""

    RESERVE = "reserve"
    BALANCE = "balance"
