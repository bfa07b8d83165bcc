"""The ways of a seat and of a claim."""

from enum import StrEnum

from marketplace.core.states import Transitions


class SeatState(StrEnum):
    """Where a seat of a bundle stands (domain.md); `closed` is a seat that will not be worked on any more."""

    READY = "ready"
    CLAIMED = "claimed"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    REWORK = "rework"
    REJECTED = "rejected"
    CLOSED = "closed"


SEAT_STEPS: Transitions[SeatState] = {
    SeatState.READY: frozenset({SeatState.CLAIMED, SeatState.CLOSED}),
    SeatState.CLAIMED: frozenset({SeatState.SUBMITTED, SeatState.READY, SeatState.CLOSED}),
    SeatState.SUBMITTED: frozenset({SeatState.ACCEPTED, SeatState.REWORK, SeatState.REJECTED}),
    SeatState.REWORK: frozenset({SeatState.SUBMITTED, SeatState.READY, SeatState.CLOSED}),
    SeatState.ACCEPTED: frozenset({SeatState.REJECTED}),
    SeatState.REJECTED: frozenset({SeatState.READY, SeatState.CLOSED}),
}


class ClaimState(StrEnum):
    """Where a claim stands: a worker's lease on a seat, and what became of it."""

    CLAIMED = "claimed"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    REWORK = "rework"
    REJECTED = "rejected"
    RETURNED = "returned"
    EXPIRED = "expired"


CLAIM_STEPS: Transitions[ClaimState] = {
    ClaimState.CLAIMED: frozenset({ClaimState.SUBMITTED, ClaimState.RETURNED, ClaimState.EXPIRED}),
    ClaimState.SUBMITTED: frozenset({ClaimState.ACCEPTED, ClaimState.REWORK, ClaimState.REJECTED}),
    ClaimState.REWORK: frozenset({ClaimState.SUBMITTED, ClaimState.RETURNED, ClaimState.EXPIRED}),
    ClaimState.EXPIRED: frozenset({ClaimState.SUBMITTED}),
    ClaimState.ACCEPTED: frozenset({ClaimState.REJECTED}),  # a dispute that is upheld
    ClaimState.REJECTED: frozenset({ClaimState.ACCEPTED}),
}

HOLDING = (ClaimState.CLAIMED, ClaimState.REWORK)
UNDECIDED = (*HOLDING, ClaimState.SUBMITTED)


class MeasureKind(StrEnum):
    """What a measure does: no new claims for a time, or more gold in each of them."""

    PAUSE = "pause"
    MORE_GOLD = "more_gold"
