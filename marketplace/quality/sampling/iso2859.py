"""Single sampling plans by attributes: ISO 2859-1:1999, general inspection level II, and its switching rules.

The tables are those of the standard (and of MIL-STD-105E before it, a public document): code letters by lot size
(table 1), sample sizes and acceptance numbers for normal (2-A) and tightened (2-B) inspection. In both master tables
the acceptance numbers of one AQL run down one diagonal, so that a table is its diagonal and the letter where it begins;
where the standard has an arrow, the plan that it points to is used, sample size included.

Simplified: reduced inspection takes the normal plan two letters earlier, whose samples have the sizes of table 2-C
(two fifths of the normal ones), with that letter's own acceptance number. The switching score of 9.3.3 is replaced by
its older form, ten accepted lots in a row.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LETTERS: Final = "ABCDEFGHJKLMNPQ"
AQLS: Final = (0.65, 1.0, 1.5, 2.5, 4.0, 6.5)
"""The acceptance quality limits that can be chosen, in per cent of wrong items."""
_SIZES: Final = (2, 3, 5, 8, 13, 20, 32, 50, 80, 125, 200, 315, 500, 800, 1250)
_LOTS_UP_TO: Final = (8, 15, 25, 50, 90, 150, 280, 500, 1200, 3200, 10_000, 35_000, 150_000, 500_000)
# Offset from the letter of the plan that accepts none -> (offset of the plan used, its acceptance number).
_NORMAL: Final[tuple[tuple[int, int], ...]] = (
    (0, 0),
    (0, 0),
    (3, 1),
    (3, 1),
    (4, 2),
    (5, 3),
    (6, 5),
    (7, 7),
    (8, 10),
    (9, 14),
    (10, 21),
)
_TIGHTENED: Final[tuple[tuple[int, int], ...]] = (
    (0, 0),
    (3, 1),
    (3, 1),
    (3, 1),
    (4, 2),
    (5, 3),
    (6, 5),
    (7, 8),
    (8, 12),
    (9, 18),
)
_FIRST_LETTER: Final = dict(zip(AQLS, (5, 4, 3, 2, 1, 0), strict=True))
_REDUCED_BY: Final = 2
_WINDOW: Final = 5
_TO_REDUCED: Final = 10


class Inspection(StrEnum):
    """How strictly lots are inspected, by what the lots before showed."""

    NORMAL = "normal"
    TIGHTENED = "tightened"
    REDUCED = "reduced"
    DISCONTINUED = "discontinued"


@dataclass(frozen=True, slots=True)
class SinglePlan:
    """A sample of `size` items that accepts with at most `accept` wrong ones."""

    letter: str
    size: int
    accept: int


def code_letter(lot_size: int) -> str:
    """Return the code letter of a lot at level II.

    Raises:
        ValueError: the lot has less than two items.
    """
    if lot_size < 2:
        raise ValueError("a lot has at least two items")
    return LETTERS[bisect_left(_LOTS_UP_TO, lot_size)]


def single_plan(lot_size: int, aql: float, inspection: Inspection = Inspection.NORMAL) -> SinglePlan:
    """Return the plan for a lot and an AQL (in per cent); a sample as large as the lot looks at all of it.

    Raises:
        ValueError: the lot has less than two items, the AQL is none of `AQLS`, or inspection is discontinued.
    """
    if aql not in _FIRST_LETTER:
        raise ValueError(f"the AQL must be one of {AQLS}")
    if inspection is Inspection.DISCONTINUED:
        raise ValueError("inspection is discontinued until the causes are mended")
    letter, first, diagonal = LETTERS.index(code_letter(lot_size)), _FIRST_LETTER[aql], _NORMAL
    if inspection is Inspection.TIGHTENED:
        first, diagonal = first + 1, _TIGHTENED
    if inspection is Inspection.REDUCED:
        letter = max(0, letter - _REDUCED_BY)
    offset, accept = diagonal[min(max(letter - first, 0), len(diagonal) - 1)]
    used = min(first + offset, len(LETTERS) - 1)
    return SinglePlan(LETTERS[used], min(_SIZES[used], lot_size), accept)


def inspection_after(lots: Sequence[bool]) -> Inspection:
    """Return how the next lot is inspected after lots (True: accepted), the oldest first: ISO 2859-1, clause 9.3.

    Normal becomes tightened when two of five successive lots are rejected, and normal again after five accepted in a
    row; a fifth rejection under tightened inspection discontinues it. Normal becomes reduced after ten accepted in a
    row, and normal again with the first rejection.
    """
    state, since, rejected_tightened = Inspection.NORMAL, 0, 0
    for index, accepted in enumerate(lots, 1):
        held = lots[since:index]
        if state is Inspection.NORMAL and held[-_WINDOW:].count(False) >= 2:
            state, since, rejected_tightened = Inspection.TIGHTENED, index, 0
        elif state is Inspection.NORMAL and len(held) >= _TO_REDUCED and all(held[-_TO_REDUCED:]):
            state, since = Inspection.REDUCED, index
        elif state is Inspection.REDUCED and not accepted:
            state, since = Inspection.NORMAL, index
        elif state is Inspection.TIGHTENED:
            rejected_tightened += not accepted
            if rejected_tightened == _WINDOW:
                return Inspection.DISCONTINUED
            if len(held) >= _WINDOW and all(held[-_WINDOW:]):
                state, since = Inspection.NORMAL, index
    return state
