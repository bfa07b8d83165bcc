"""The answer nearest to all, and when two answers of a kind say the same."""

from typing import Any

import pytest

from marketplace.catalog.states import LabelKind
from marketplace.quality.similarity import same, similarity
from marketplace.quality.spec import SAME_FROM, LabelSpec


def span(start: int, end: int, label: str = "person") -> dict[str, Any]:
    return {"start": start, "end": end, "label": label}


def box(x: float, y: float, width: float, height: float, label: str = "car") -> dict[str, Any]:
    return {"type": "box", "label": label, "x": x, "y": y, "width": width, "height": height}


SQUARE = {"type": "polygon", "label": "car", "points": [[0, 0], [10, 0], [10, 10], [0, 10]]}


@pytest.mark.parametrize(
    ("kind", "one", "other", "expected"),
    [
        (LabelKind.SINGLE_CHOICE, "a", "a", 1.0),
        (LabelKind.SINGLE_CHOICE, "a", "b", 0.0),
        (LabelKind.MULTIPLE_CHOICE, ["a", "b"], ["b", "a"], 1.0),
        (LabelKind.MULTIPLE_CHOICE, ["a", "b"], ["b", "c"], 1 / 3),
        (LabelKind.MULTIPLE_CHOICE, [], [], 1.0),
        (LabelKind.TEXT_SPANS, [], [], 1.0),
        (LabelKind.TEXT_SPANS, [span(0, 10)], [span(5, 15)], 0.5),
        (LabelKind.TEXT_SPANS, [span(0, 10)], [span(0, 10, "place")], 0.0),
        (LabelKind.FREE_TEXT, "Ｈello  world", "hello world", 1.0),
        (LabelKind.FREE_TEXT, "abcd", "abcx", 0.75),
        (LabelKind.IMAGE_SHAPES, [box(0, 0, 10, 10)], [box(5, 0, 10, 10)], 1 / 3),
        (LabelKind.IMAGE_SHAPES, [box(0, 0, 10, 10)], [box(0, 0, 10, 10), box(50, 50, 5, 5)], 2 / 3),
        (LabelKind.IMAGE_SHAPES, [box(0, 0, 10, 10)], [box(0, 0, 10, 10, "bus")], 0.0),
        (LabelKind.IMAGE_SHAPES, [SQUARE], [SQUARE], 1.0),
        (LabelKind.IMAGE_SHAPES, [SQUARE], [box(0, 0, 10, 10)], 1.0),
    ],
)
def test_similarity_when_known(kind: LabelKind, one: Any, other: Any, expected: float) -> None:
    spec = LabelSpec(kind, same_from=SAME_FROM[kind])
    assert similarity(spec, one, other) == pytest.approx(expected, abs=0.01)
    assert similarity(spec, other, one) == pytest.approx(similarity(spec, one, other))


def test_triangle_overlaps_its_square_by_half_when_rasterised() -> None:
    triangle = {"type": "polygon", "label": "car", "points": [[0, 0], [10, 0], [0, 10]]}
    spec = LabelSpec(LabelKind.IMAGE_SHAPES)
    assert similarity(spec, [SQUARE], [triangle]) == pytest.approx(0.5, abs=0.01)


def test_key_points_are_the_same_when_near() -> None:
    spec = LabelSpec(LabelKind.IMAGE_SHAPES, same_from=0.7)
    here, near, far = ([{"type": "keypoint", "label": "nose", "x": x, "y": 5}] for x in (5, 12, 40))
    assert same(spec, here, near)
    assert not same(spec, here, far)


def test_number_is_the_same_when_within_tolerance() -> None:
    spec = LabelSpec(LabelKind.NUMERIC_SCALE, low=0, high=10, tolerance=1)
    assert same(spec, 4, 5)
    assert not same(spec, 4, 5.1)
