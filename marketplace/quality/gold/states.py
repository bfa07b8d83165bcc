"""The ways of a gold item and of a candidate."""

from enum import StrEnum
from typing import Final

from marketplace.core.states import Transitions

DISAGREEMENT: Final = "good_workers_disagree"
EXPOSURE: Final = "over_exposed"


class GoldState(StrEnum):
    """Where a gold item stands; in doubt and retired are dealt to nobody.

    `kept` and `corrected`: a person looked at a doubt; the rule raises no other about what a person found right.
    """

    ACTIVE = "active"
    IN_DOUBT = "in_doubt"
    KEPT = "kept"
    CORRECTED = "corrected"
    RETIRED = "retired"


GOLD_STEPS: Transitions[GoldState] = {
    GoldState.ACTIVE: frozenset({GoldState.IN_DOUBT, GoldState.RETIRED}),
    GoldState.IN_DOUBT: frozenset({GoldState.KEPT, GoldState.CORRECTED, GoldState.RETIRED}),
    GoldState.KEPT: frozenset({GoldState.RETIRED}),
    GoldState.CORRECTED: frozenset({GoldState.IN_DOUBT, GoldState.RETIRED}),
}


class CandidateState(StrEnum):
    """Where a candidate for gold stands: proposed by rule, then confirmed or declined by its enterprise."""

    PROPOSED = "proposed"
    CONFIRMED = "confirmed"
    DECLINED = "declined"


class CandidateSource(StrEnum):
    """Why a task is proposed: its label is nearly sure, or a person found the work on it right on appeal."""

    CONFIDENT = "confident"
    ADJUDICATED = "adjudicated"
