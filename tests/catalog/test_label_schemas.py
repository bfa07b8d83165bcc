"""What each kind of label schema takes as an answer, and what it refuses."""

from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from marketplace.catalog.answers import (
    AnswerValidator,
    answer_of_text,
    full_answer,
    make_validator,
    remember_validator,
    remembered_validator,
)
from marketplace.catalog.errors import LabelSchemaInvalid
from marketplace.catalog.label_schemas import MAIN_MEMBER, read_definition
from marketplace.catalog.states import LabelKind


def choices(*values: str) -> list[dict[str, Any]]:
    return [{"value": value, "label": {"en": value}} for value in values]


DEFINITIONS: dict[str, dict[str, Any]] = {
    "single_choice": {"choices": choices("cat", "dog")},
    "multiple_choice": {"choices": choices("cat", "dog", "cow"), "min_choices": 1, "max_choices": 2},
    "text_spans": {"labels": choices("person", "place"), "source_field": "text"},
    "free_text": {"target_language": "zh-CN", "max_chars": 10},
    "numeric_scale": {"minimum": 1, "maximum": 5, "step": 0.5},
    "pairwise_preference": {"ties_allowed": False, "reasons": choices("fluency")},
    "image_shapes": {"shapes": ["box", "polygon", "keypoint"], "labels": choices("car")},
}
DATA = {"text": "桂林 𠀀 Guilin", "left": "a", "right": "b", "width": 100, "height": 80}
RIGHT = [
    ("single_choice", {"choice": "cat"}),
    ("single_choice", {"choice": "cat", "note": "看不清"}),
    ("multiple_choice", {"choices": ["dog", "cat"]}),
    ("text_spans", {"spans": []}),
    ("text_spans", {"spans": [{"start": 0, "end": 2, "label": "place"}, {"start": 3, "end": 4, "label": "person"}]}),
    ("text_spans", {"spans": [{"start": 5, "end": 11, "label": "place"}]}),
    ("free_text", {"text": "木棉花"}),
    ("numeric_scale", {"value": 3.5}),
    ("pairwise_preference", {"preference": "left", "reasons": ["fluency"]}),
    ("image_shapes", {"shapes": [{"type": "box", "label": "car", "x": 0, "y": 0, "width": 100, "height": 80}]}),
    ("image_shapes", {"shapes": [{"type": "polygon", "label": "car", "points": [[0, 0], [9.5, 0], [9, 9]]}]}),
    ("image_shapes", {"shapes": [{"type": "keypoint", "label": "car", "x": 3, "y": 4}]}),
]
WRONG = [
    ("single_choice", {"choice": "cow"}, "choice"),
    ("single_choice", {}, ""),
    ("single_choice", "cat", ""),
    ("single_choice", {"choice": "cat", "extra": 1}, ""),
    ("single_choice", {"choice": "cat", "note": "x" * 2001}, "note"),
    ("single_choice", {"choice": "cat", "note": "a\x00b"}, ""),
    ("single_choice", {"choice": "cat", "note": "\ud800"}, ""),
    ("multiple_choice", {"choices": []}, "choices"),
    ("multiple_choice", {"choices": ["cat", "cat"]}, "choices"),
    ("multiple_choice", {"choices": ["cat", "dog", "cow"]}, "choices"),
    ("text_spans", {"spans": [{"start": 2, "end": 2, "label": "place"}]}, "spans.0.end"),
    ("text_spans", {"spans": [{"start": 0, "end": 12, "label": "place"}]}, "spans.0.end"),
    ("text_spans", {"spans": [{"start": 0.5, "end": 2, "label": "place"}]}, "spans.0.start"),
    ("text_spans", {"spans": [{"start": -1, "end": 2, "label": "place"}]}, "spans.0.start"),
    ("text_spans", {"spans": [{"start": 0, "end": 2, "label": "verb"}]}, "spans.0.label"),
    (
        "text_spans",
        {"spans": [{"start": 0, "end": 3, "label": "place"}, {"start": 2, "end": 4, "label": "place"}]},
        "spans.1.start",
    ),
    ("free_text", {"text": "  "}, "text"),
    ("free_text", {"text": "x" * 11}, "text"),
    ("numeric_scale", {"value": 5.5}, "value"),
    ("numeric_scale", {"value": 1.25}, "value"),
    ("numeric_scale", {"value": float("nan")}, ""),
    ("numeric_scale", {"value": "3"}, "value"),
    ("pairwise_preference", {"preference": "tie"}, "preference"),
    ("pairwise_preference", {"preference": "left", "reasons": ["speed"]}, "reasons.0"),
    ("image_shapes", {"shapes": [{"type": "circle", "label": "car"}]}, "shapes.0.type"),
    ("image_shapes", {"shapes": [{"type": "box", "label": "car", "x": 0, "y": 0, "width": 5}]}, "shapes.0"),
    ("image_shapes", {"shapes": [{"type": "box", "label": "car", "x": 0, "y": 0, "width": 0, "height": 5}]},
     "shapes.0.width"),
    ("image_shapes", {"shapes": [{"type": "box", "label": "car", "x": 90, "y": 0, "width": 11, "height": 5}]},
     "shapes.0"),
    ("image_shapes", {"shapes": [{"type": "polygon", "label": "car", "points": [[0, 0], [1, 1]]}]},
     "shapes.0.points"),
    ("image_shapes", {"shapes": [{"type": "keypoint", "label": "car", "x": 3, "y": 4, "width": 1}]}, "shapes.0"),
]  # fmt: skip
UNREACHABLE = [
    {"kind": "single_choice", "choices": choices("cat")},
    {"kind": "single_choice", "choices": choices("cat", "cat")},
    {"kind": "single_choice", "choices": [{"value": "a", "label": {}}, {"value": "b", "label": {"en": "b"}}]},
    {"kind": "multiple_choice", "choices": choices("cat", "dog"), "min_choices": 3},
    {"kind": "multiple_choice", "choices": choices("cat", "dog"), "max_choices": 3},
    {"kind": "text_spans", "labels": []},
    {"kind": "free_text", "target_language": "zh", "min_chars": 5, "max_chars": 4},
    {"kind": "free_text", "target_language": "not a tag"},
    {"kind": "numeric_scale", "minimum": 5, "maximum": 5},
    {"kind": "numeric_scale", "minimum": 1, "maximum": 5, "step": 0},
    {"kind": "numeric_scale", "minimum": 1, "maximum": 5, "anchors": {"7": {"en": "seven"}}},
    {"kind": "numeric_scale", "minimum": 1, "maximum": 5, "anchors": {"good": {"en": "good"}}},
    {"kind": "pairwise_preference", "left_field": "a", "right_field": "a"},
    {"kind": "image_shapes", "shapes": ["circle"], "labels": choices("car")},
    {"kind": "image_shapes", "shapes": [], "labels": choices("car")},
    {"kind": "sculpture"},
    {"kind": "single_choice", "choices": choices("a", "b"), "unknown": 1},
]
UNCOMPILABLE = [
    {"type": "nope"},
    {"properties": []},
    {"minimum": "low"},
    {"$ref": "#/nowhere"},
    {"$ref": "http://169.254.169.254/latest/meta-data"},
    {"$ref": "file:///etc/passwd"},
    {"properties": {"choice": {"pattern": "("}}},
    {"properties": {"choice": {"pattern": "(?=slow)"}}},
]


def validator(kind: str, **more: Any) -> AnswerValidator:
    return make_validator(read_definition({"kind": kind, **DEFINITIONS[kind], **more}))


def test_every_kind_is_covered_when_answers_are_tested() -> None:
    assert set(DEFINITIONS) == {str(kind) for kind in LabelKind} == {kind for kind, _ in RIGHT}
    assert set(MAIN_MEMBER) == set(LabelKind)


@pytest.mark.parametrize(("kind", "value"), RIGHT)
def test_answer_is_taken_when_it_fits(kind: str, value: Any) -> None:
    assert validator(kind).problems(value, DATA) == []


@pytest.mark.parametrize(("kind", "value", "field"), WRONG)
def test_answer_is_refused_with_its_field_when_it_does_not_fit(kind: str, value: Any, field: str) -> None:
    problems = validator(kind).problems(value, DATA)
    assert field in {problem.field for problem in problems}
    assert all(problem.reason for problem in problems)


@pytest.mark.parametrize("definition", UNREACHABLE)
def test_definition_is_refused_when_no_answer_could_keep_it(definition: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read_definition(definition)


@pytest.mark.parametrize("extra", UNCOMPILABLE)
def test_own_schema_is_refused_when_it_does_not_compile(extra: dict[str, Any]) -> None:
    with pytest.raises(LabelSchemaInvalid) as caught:
        validator("single_choice", extra_schema=extra)
    assert caught.value.fields[0].field == "extra_schema"
    assert caught.value.fields[0].reason


def test_own_schema_narrows_answers_when_its_references_are_its_own() -> None:
    extra = {"$defs": {"short": {"maxLength": 3}}, "properties": {"note": {"$ref": "#/$defs/short"}}}
    checked = validator("single_choice", extra_schema=extra)
    assert checked.validate({"choice": "cat", "note": "abc"}) == []
    assert [p.field for p in checked.validate({"choice": "cat", "note": "abcd"})] == ["note"]


@pytest.mark.parametrize(
    "extra",
    [{"$ref": "#"}, {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}],
)
def test_validation_ends_when_an_own_schema_refers_to_itself(extra: dict[str, Any]) -> None:
    assert validator("single_choice", extra_schema=extra).validate({"choice": "cat"}) == []


def test_validation_is_fast_when_a_pattern_would_backtrack() -> None:
    extra = {"properties": {"note": {"pattern": "^(a+)+$"}}}
    problems = validator("single_choice", extra_schema=extra).validate({"choice": "cat", "note": "a" * 1_900 + "!"})
    assert [problem.field for problem in problems] == ["note"]


def test_answer_is_refused_when_it_is_nested_beyond_measure() -> None:
    deep: Any = []
    for _ in range(10_000):
        deep = [deep]
    assert "deep" in validator("single_choice").validate({"choice": deep})[0].reason


def test_validator_is_remembered_when_it_was_compiled() -> None:
    request_id, made = uuid4(), validator("free_text")
    assert remembered_validator(request_id, 1) is None
    remember_validator(request_id, 1, made)
    assert remembered_validator(request_id, 1) is made


@pytest.mark.parametrize(
    ("kind", "cell", "answer"),
    [
        ("single_choice", "cat", {"choice": "cat"}),
        ("single_choice", '{"choice": "cat"}', None),
        ("free_text", "1.0", {"text": "1.0"}),
        ("numeric_scale", "3.5", {"value": 3.5}),
        ("numeric_scale", "high", {"value": "high"}),
        ("multiple_choice", '["cat"]', {"choices": ["cat"]}),
        ("pairwise_preference", "left", {"preference": "left"}),
    ],
)
def test_gold_cell_becomes_an_answer_when_it_is_bare_or_json(kind: str, cell: str, answer: Any) -> None:
    import_json = {'{"choice": "cat"}': {"choice": "cat"}, "3.5": 3.5, '["cat"]': ["cat"]}

    def parse(text: str) -> Any:
        if text not in import_json:
            raise ValueError(text)
        return import_json[text]

    definition = validator(kind).definition
    assert answer_of_text(definition, cell, parse) == (answer or {"choice": "cat"})
    assert full_answer(definition, {"as": "it is"}) == {"as": "it is"}
