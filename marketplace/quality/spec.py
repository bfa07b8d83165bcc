"""What quality must know of a label schema: its kind, its classes, and when two answers say the same.

Answers are objects with one main member (catalog.label_schemas); everything here and below compares main members.
"""

from dataclasses import dataclass
from typing import Any, Final

from marketplace.catalog.label_schemas import (
    MAIN_MEMBER,
    Definition,
    ImageShapes,
    MultipleChoice,
    NumericScale,
    PairwisePreference,
    SingleChoice,
    TextSpans,
)
from marketplace.catalog.states import LabelKind

CHOICE_KINDS: Final = frozenset({LabelKind.SINGLE_CHOICE, LabelKind.PAIRWISE_PREFERENCE})
SAME_FROM: Final[dict[LabelKind, float]] = {
    LabelKind.SINGLE_CHOICE: 1.0,
    LabelKind.PAIRWISE_PREFERENCE: 1.0,
    LabelKind.MULTIPLE_CHOICE: 1.0,
    LabelKind.NUMERIC_SCALE: 1.0,
    LabelKind.TEXT_SPANS: 0.8,
    LabelKind.FREE_TEXT: 0.8,
    LabelKind.IMAGE_SHAPES: 0.7,
}
"""From which similarity on an answer counts as the same as another: all of it, or for open kinds most of it."""
_TOLERANCE_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """A label schema as quality reads it.

    `classes` are the possible labels (choices, or labels of spans and shapes). `tolerance` is the difference up to
    which two numbers are the same, `low` and `high` the ends of the scale, `step` the distance of neighbours
    on it, counted from `low` (none: any number). `same_from` is a similarity, 0 to 1.
    """

    kind: LabelKind
    classes: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    tolerance: float = 0.0
    same_from: float = 1.0
    step: float | None = None

    @property
    def member(self) -> str:
        """The main member of an answer of this kind."""
        return MAIN_MEMBER[self.kind]

    def main(self, answer: Any) -> Any:
        """Return what an answer says, without its note."""
        return answer[self.member]

    def answer(self, main: Any) -> dict[str, Any]:
        """Return the answer object that says this."""
        return {self.member: main}


def read_spec(definition: Definition) -> LabelSpec:
    """Read a label schema's definition; without a tolerance of its own a scale has a tenth of its length."""
    low, high, tolerance, step = 0.0, 1.0, 0.0, None
    if isinstance(definition, NumericScale):
        low, high, step = definition.minimum, definition.maximum, definition.step
        own = definition.tolerance
        tolerance = _TOLERANCE_SHARE * (high - low) if own is None else own
    return LabelSpec(definition.kind, _classes(definition), low, high, tolerance, SAME_FROM[definition.kind], step)


def _classes(definition: Definition) -> tuple[str, ...]:
    if isinstance(definition, PairwisePreference):
        return ("left", "right", "tie") if definition.ties_allowed else ("left", "right")
    if isinstance(definition, SingleChoice | MultipleChoice):
        return tuple(choice.value for choice in definition.choices)
    if isinstance(definition, TextSpans | ImageShapes):
        return tuple(label.value for label in definition.labels)
    return ()
