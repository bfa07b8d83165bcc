"""When gold has been seen too often, when its truth is in doubt, and which tasks may become gold: bars with reasons."""

from dataclasses import dataclass
from typing import Final

MOST_WORKERS: Final = 300
"""Workers who may have answered a gold item: each is one who can pass it on, and answers get shared in groups."""
LEAST_ACTIVE: Final = 20
"""So much gold stays in use however often it was seen: seen gold measures better than none."""
GOOD_FROM: Final = 0.8
"""A good worker: the 95 % interval of their accuracy lies wholly above this."""
LEAST_GOOD: Final = 5
MOST_AGAINST: Final = 0.7
"""Five good workers or more, and seven in ten against the truth: were the truth right and each of them right in four
of five, 4 or 5 of 5 would be wrong in 1 of 150 items; were it wrong, nearly always."""
CONFIDENT_FROM: Final = 0.99
CONFIDENT_ANSWERS: Final = 5
"""A label may become gold from so much calibrated confidence on, resting on so many answers."""
ADJUDICATED_ANSWERS: Final = 3
"""An answer that a person found right on appeal may, once so many answers have a label that says the same."""
MOST_PROPOSED: Final = 200
"""Candidates that wait for their enterprise at once."""

KNOWN_WIDTH: Final = 0.2
"""A worker whose 95 % interval of accuracy is at least so wide (known to 10 points or worse) gets the plan's gold."""
LEAST_SCALE: Final = 0.25
"""However well a worker is known, a quarter of the plan's gold stays: people tire, and accounts change hands."""


@dataclass(frozen=True, slots=True)
class GoldTally:
    """How many workers answered a gold item, how many of them rightly, and the same of good workers."""

    workers: int = 0
    right: int = 0
    good_workers: int = 0
    good_right: int = 0


def is_doubtful(tally: GoldTally) -> bool:
    """Return whether good workers agree against the truth of an item."""
    against = tally.good_workers - tally.good_right
    return tally.good_workers >= LEAST_GOOD and against >= MOST_AGAINST * tally.good_workers


def is_overexposed(tally: GoldTally) -> bool:
    """Return whether more workers than `MOST_WORKERS` have met an item."""
    return tally.workers > MOST_WORKERS
