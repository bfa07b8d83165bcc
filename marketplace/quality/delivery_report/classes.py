"""Classes: how often each is the label, how answers agree with it, and which are taken for which."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from marketplace.catalog.states import LabelKind
from marketplace.quality.delivery_report.evidence import NONE, Evidence
from marketplace.quality.delivery_report.schemas import ClassFigures, ConfusionFigures
from marketplace.quality.policy import share_of
from marketplace.quality.spec import CHOICE_KINDS, LabelSpec

LISTED: Final = 1_000
CONFUSED: Final = 12
"""How many classes the table of confusions has: the most frequent; more would be no table that a person reads."""

Table = NDArray[np.int64]


def names_of(spec: LabelSpec, answer: Any) -> Sequence[str]:
    """Return the classes that an answer names: a choice, several, those of its spans or shapes; a number, rounded."""
    main = spec.main(answer)
    if spec.kind in CHOICE_KINDS:
        return (str(main),)
    if spec.kind is LabelKind.MULTIPLE_CHOICE:
        return tuple(main)
    if spec.kind in {LabelKind.TEXT_SPANS, LabelKind.IMAGE_SHAPES}:
        return tuple(part["label"] for part in main)
    return (_whole(main),) if spec.kind is LabelKind.NUMERIC_SCALE else ()


def _whole(number: float) -> str:
    """Return a number as a whole one, a half away from zero."""
    return str(int(Decimal(str(number)).to_integral_value(ROUND_HALF_UP)))


def label_counts(evidence: Evidence) -> dict[str, int]:
    """Return how many labels name each class, most frequent first, no more than `LISTED`."""
    given = evidence.items.label[evidence.items.label != NONE]
    counts: dict[str, int] = {}
    for value, often in zip(*(part.tolist() for part in np.unique(given, return_counts=True)), strict=True):
        for name in names_of(evidence.spec, evidence.values[value]):
            counts[name] = counts.get(name, 0) + often
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return dict(ordered[:LISTED])


def class_figures(evidence: Evidence) -> list[ClassFigures]:
    """Return precision and recall of the answers by class against the labels; empty where there are no classes."""
    if evidence.spec.kind not in CHOICE_KINDS | {LabelKind.MULTIPLE_CHOICE}:
        return []
    said: dict[str, int] = {}
    asked: dict[str, int] = {}
    both: dict[str, int] = {}
    for label, value, often in _pairs(evidence).tolist():
        named = set(names_of(evidence.spec, evidence.values[value]))
        right = set(names_of(evidence.spec, evidence.values[label]))
        for table, names in ((said, named), (asked, right), (both, named & right)):
            for each in names:
                table[each] = table.get(each, 0) + often
    labels = label_counts(evidence)
    listed = [*labels, *sorted(said.keys() - labels.keys())]
    return [
        ClassFigures(
            label=name, labels=labels.get(name, 0), answers=said.get(name, 0),
            recall=share_of(both.get(name, 0), asked.get(name, 0)),
            precision=share_of(both.get(name, 0), said.get(name, 0)),
        )
        for name in listed[:LISTED]
    ]  # fmt: skip


def confusion_figures(evidence: Evidence) -> ConfusionFigures | None:
    """Return the pooled table of answers against labels; None for kinds without one class an answer."""
    if evidence.spec.kind not in CHOICE_KINDS:
        return None
    names = list(label_counts(evidence))
    names += [name for name in evidence.spec.classes if name not in names]
    names = names[:CONFUSED]
    place = {name: at for at, name in enumerate(names)}
    counts = [[0] * len(names) for _ in names]
    others = 0
    for label, value, often in _pairs(evidence).tolist():
        row = place.get(names_of(evidence.spec, evidence.values[label])[0])
        column = place.get(names_of(evidence.spec, evidence.values[value])[0])
        if row is None or column is None:
            others += often
        else:
            counts[row][column] += often
    return ConfusionFigures(labels=names, counts=counts, others=others)


def _pairs(evidence: Evidence) -> Table:
    """Return each distinct (label, answer) of the counted answers with how often it stands there, n × 3."""
    labels = evidence.items.label[evidence.answers.item[evidence.counted]]
    table = np.column_stack([labels, evidence.answers.value[evidence.counted]])[labels != NONE]
    pairs, often = np.unique(table, axis=0, return_counts=True)
    return np.column_stack([pairs, often]).astype(np.int64)
