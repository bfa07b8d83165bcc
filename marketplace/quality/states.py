"""The ways of a verdict and of an appeal, and the words that say why."""

from enum import StrEnum

from marketplace.core.states import Transitions


class Outcome(StrEnum):
    """What a verdict says about a submission."""

    ACCEPTED = "accepted"
    REWORK = "rework"
    REJECTED = "rejected"


class ReasonCode(StrEnum):
    """Why: stable codes that clients translate. `passed` is the reason of an acceptance by the gates.

    `disputed`: the gates had accepted it, the enterprise disputed the delivery, and an arbitrator found it right.
    """

    PASSED = "passed"
    INCOMPLETE = "incomplete"
    TOO_FAST = "too_fast"
    GOLD_ACCURACY = "gold_accuracy"
    AGREEMENT = "agreement"
    OVERTURNED = "overturned"
    DISPUTED = "disputed"


class VerdictState(StrEnum):
    """Where a verdict stands: given until its window ends or somebody appeals (domain.md)."""

    GIVEN = "given"
    APPEALED = "appealed"
    UPHELD = "upheld"
    OVERTURNED = "overturned"
    FINAL = "final"


VERDICT_STEPS: Transitions[VerdictState] = {
    VerdictState.GIVEN: frozenset({VerdictState.APPEALED, VerdictState.FINAL}),
    VerdictState.FINAL: frozenset({VerdictState.GIVEN}),  # a dispute makes it another one, with a window of its own
    VerdictState.APPEALED: frozenset({VerdictState.UPHELD, VerdictState.OVERTURNED}),
}


class AppealState(StrEnum):
    """Where an appeal stands."""

    OPEN = "open"
    UPHELD = "upheld"
    OVERTURNED = "overturned"


APPEAL_STEPS: Transitions[AppealState] = {
    AppealState.OPEN: frozenset({AppealState.UPHELD, AppealState.OVERTURNED}),
}
