"""When a request's rejections look like the rules' fault and not the workers', and how that is counted."""

from dataclasses import dataclass
from typing import Final

LEAST_DECIDED: Final = 20
"""Bundles that must be decided first: of fewer, three bad ones would already look like a mass."""
MOST_DECIDED: Final = 200
"""How many of the newest decided bundles count: the brake judges how it goes now, at a cost that never grows."""
MOST_REJECTED: Final = 0.3
"""Above this share of rejected bundles, rules or gold are more likely wrong than so much of the work."""
MOST_WORKERS_REJECTED: Final = 0.3
"""Above this share of workers with a rejected bundle it is a mass. Few bots with many bundles each stay below it."""
LEAST_WORKERS_REJECTED: Final = 3
"""So many workers must have been rejected: two who do badly are no mass, however small the crew."""
LEAST_APPEALS: Final = 5
"""Appeals that must be decided before their outcome says something of the rules."""
MOST_OVERTURNED: Final = 0.2
"""Above one wrong rejection in five of those looked at again, no further one is made without a person."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was decided since the brake was last opened: the newest bundles (reworks not counted), and all appeals."""

    decided: int
    rejected: int
    workers: int
    workers_rejected: int
    appeals: int
    overturned: int


def reason_to_hold(figures: Figures) -> str | None:
    """Return which bar is passed, "mass_rejection" or "overturned_appeals"; None while neither is."""
    if figures.appeals >= LEAST_APPEALS and figures.overturned > MOST_OVERTURNED * figures.appeals:
        return "overturned_appeals"
    is_many = figures.decided >= LEAST_DECIDED and figures.rejected > MOST_REJECTED * figures.decided
    is_broad = figures.workers_rejected >= max(LEAST_WORKERS_REJECTED, MOST_WORKERS_REJECTED * figures.workers + 1e-9)
    return "mass_rejection" if is_many and is_broad else None
