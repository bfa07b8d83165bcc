"""The way of an accrual."""

from enum import StrEnum

from marketplace.core.states import Transitions


class AccrualState(StrEnum):
    """Accrued inside the dispute window, held by a dispute, released to the payees, or taken back."""

    ACCRUED = "accrued"
    HELD = "held"
    RELEASED = "released"
    TAKEN_BACK = "taken_back"


ACCRUAL_STEPS: Transitions[AccrualState] = {
    AccrualState.ACCRUED: frozenset({AccrualState.HELD, AccrualState.RELEASED, AccrualState.TAKEN_BACK}),
    AccrualState.HELD: frozenset({AccrualState.ACCRUED, AccrualState.TAKEN_BACK}),
}
OPEN_ACCRUALS = (AccrualState.ACCRUED, AccrualState.HELD)
