"""Kinds of posting by hand, and the way of a proposal."""

from enum import StrEnum

from marketplace.core.states import Transitions


class ManualKind(StrEnum):
    """What is proposed; each has its own terms and its own table of legs."""

    MANUAL = "manual"
    REVERSE = "reverse"
    WRITE_OFF = "write_off"
    CLAW_BACK = "claw_back"
    SWEEP = "sweep"
    TAX_REMITTED = "tax_remitted"
    PROMO_BONUS = "promo_bonus"


class ProposalState(StrEnum):
    """Where a proposal stands. `expired` is read off the time and never stored."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


PROPOSAL_STEPS: Transitions[ProposalState] = {
    ProposalState.PROPOSED: frozenset({ProposalState.APPROVED, ProposalState.REJECTED}),
}
