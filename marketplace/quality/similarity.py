"""How much two answers of a kind say the same, from 0 to 1: symmetric, and 1 for an answer and itself.

Arguments are main members: "cat", ["cat", "dog"], a list of spans, a text, a number, a list of shapes.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

from rapidfuzz.distance import Levenshtein

from marketplace.catalog.states import LabelKind
from marketplace.quality.geometry import read_shapes
from marketplace.quality.matching_shapes import paired_overlap
from marketplace.quality.spec import LabelSpec

Spans = dict[str, list[tuple[int, int]]]


def similarity(spec: LabelSpec, one: Any, other: Any) -> float:
    """Return how much two valid answers say the same."""
    return _MEASURES[spec.kind](spec, one, other)


def same(spec: LabelSpec, one: Any, other: Any) -> bool:
    """Return whether two valid answers count as the same."""
    return similarity(spec, one, other) >= spec.same_from


def plain_text(text: str) -> str:
    """Return a text without what nobody means: case, width variants, and runs of spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def read_spans(value: list[Mapping[str, Any]]) -> Spans:
    """Return the covered stretches of text by label, merged and in order."""
    stretches: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for span in value:
        stretches[span["label"]].append((span["start"], span["end"]))
    return {label: _merged(sorted(found)) for label, found in stretches.items()}


def _merged(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in stretches:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _equal(_spec: LabelSpec, one: Any, other: Any) -> float:
    return float(one == other)


def _jaccard(_spec: LabelSpec, one: Any, other: Any) -> float:
    a, b = set(one), set(other)
    return len(a & b) / len(a | b) if a | b else 1.0


def _near(spec: LabelSpec, one: Any, other: Any) -> float:
    """1 within the tolerance, then falling with the distance in shares of the scale."""
    distance = abs(float(one) - float(other))
    if distance <= spec.tolerance:
        return 1.0
    return max(0.0, 1.0 - distance / (spec.high - spec.low)) if spec.high > spec.low else 0.0


def _edit(_spec: LabelSpec, one: Any, other: Any) -> float:
    return Levenshtein.normalized_similarity(plain_text(one), plain_text(other))


def _span_f1(_spec: LabelSpec, one: Any, other: Any) -> float:
    """F1 over labelled characters, so that a boundary that is off by a space costs little."""
    a, b = read_spans(one), read_spans(other)
    total = sum(end - start for spans in (*a.values(), *b.values()) for start, end in spans)
    common = sum(_common(a[label], b[label]) for label in a.keys() & b.keys())
    return 2 * common / total if total else 1.0


def _common(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> int:
    i = j = length = 0
    while i < len(one) and j < len(other):
        length += max(0, min(one[i][1], other[j][1]) - max(one[i][0], other[j][0]))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return length


def _shapes(_spec: LabelSpec, one: Any, other: Any) -> float:
    """F1 weighted by overlap: shapes of one label are paired so that the overlap is greatest."""
    a, b = read_shapes(one), read_shapes(other)
    if not a and not b:
        return 1.0
    return 2 * paired_overlap(a, b) / (len(a) + len(b))


_MEASURES: Final[dict[LabelKind, Callable[[LabelSpec, Any, Any], float]]] = {
    LabelKind.SINGLE_CHOICE: _equal,
    LabelKind.PAIRWISE_PREFERENCE: _equal,
    LabelKind.MULTIPLE_CHOICE: _jaccard,
    LabelKind.NUMERIC_SCALE: _near,
    LabelKind.TEXT_SPANS: _span_f1,
    LabelKind.FREE_TEXT: _edit,
    LabelKind.IMAGE_SHAPES: _shapes,
}
