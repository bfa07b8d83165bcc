"""The ways of a held verdict."""

from enum import StrEnum

from marketplace.core.states import Transitions


class HeldState(StrEnum):
    """Where a held verdict stands: waiting, or a person has confirmed the rejection or accepted the work."""

    WAITING = "waiting"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"


HELD_STEPS: Transitions[HeldState] = {
    HeldState.WAITING: frozenset({HeldState.CONFIRMED, HeldState.ACCEPTED}),
}
