from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest

from marketplace.catalog.answers import make_validator
from marketplace.catalog.label_schemas import read_definition
from marketplace.quality.annotators.errors import BackendAnswerInvalid
from marketplace.quality.annotators.label_studio import MEDIA, answer_of, labeling_config, task_of


def choices(*values: str) -> list[dict[str, Any]]:
    return [{"value": value, "label": {"en": value}} for value in values]


def region(kind: str, **value: Any) -> dict[str, Any]:
    return {"type": kind, "original_width": 200, "original_height": 100, "value": value}


CASES: list[tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]] = [
    ({"kind": "single_choice", "choices": choices("a", "b")}, [region("choices", choices=["b"])], {"choice": "b"}),
    (
        {"kind": "multiple_choice", "choices": choices("a", "b", "c")},
        [region("choices", choices=["a", "c"]), region("choices", choices=["c"])],
        {"choices": ["a", "c"]},
    ),
    ({"kind": "multiple_choice", "choices": choices("a")}, [], {"choices": []}),
    ({"kind": "numeric_scale", "minimum": 0, "maximum": 9}, [region("number", number=4)], {"value": 4.0}),
    ({"kind": "numeric_scale", "minimum": 0, "maximum": 9}, [region("rating", rating=3)], {"value": 3.0}),
    ({"kind": "free_text", "target_language": "zh"}, [region("textarea", text=["你好", "吗"])], {"text": "你好\n吗"}),
    ({"kind": "pairwise_preference"}, [region("pairwise", selected="left")], {"preference": "left"}),
    (
        {"kind": "text_spans", "labels": choices("person")},
        [region("labels", start=1, end=4, text="ann", labels=["person"])],
        {"spans": [{"start": 1, "end": 4, "label": "person"}]},
    ),
    (
        {"kind": "image_shapes", "shapes": ["box", "polygon", "keypoint"], "labels": choices("car")},
        [
            region("rectanglelabels", x=10, y=20, width=50, height=10, rectanglelabels=["car"]),
            region("polygonlabels", points=[[0, 0], [50, 0], [50, 50]], polygonlabels=["car"]),
            region("keypointlabels", x=5, y=5, width=1, keypointlabels=["car"]),
        ],
        {
            "shapes": [
                {"type": "box", "label": "car", "x": 20.0, "y": 20.0, "width": 100.0, "height": 10.0},
                {"type": "polygon", "label": "car", "points": [[0.0, 0.0], [100.0, 0.0], [100.0, 50.0]]},
                {"type": "keypoint", "label": "car", "x": 10.0, "y": 5.0},
            ]
        },
    ),
]


@pytest.mark.parametrize(("definition", "regions", "answer"), CASES)
def test_result_becomes_an_answer_of_the_kind(
    definition: dict[str, Any], regions: list[dict[str, Any]], answer: dict[str, Any]
) -> None:
    read = read_definition(definition)
    assert answer_of(read, regions) == answer
    assert make_validator(read).validate(answer) == []


@pytest.mark.parametrize(("definition", "regions", "answer"), CASES)
def test_configuration_names_what_is_asked(
    definition: dict[str, Any], regions: list[dict[str, Any]], answer: dict[str, Any]
) -> None:
    view = ET.fromstring(labeling_config(read_definition(definition), "text"))
    assert {each.get("value") for each in view if each.tag in {"Text", "Image"}} <= {
        "$text", "$left", "$right", f"${MEDIA}",
    }  # fmt: skip
    assert all(each.get("name") == "label" for each in view if each.tag not in {"Text", "Image"})


def test_configuration_is_escaped_when_a_label_has_signs() -> None:
    config = labeling_config(read_definition({"kind": "single_choice", "choices": choices('<a>&"', "b")}), "text")
    assert [each.get("value") for each in ET.fromstring(config).iter("Choice")] == ['<a>&"', "b"]


@pytest.mark.parametrize(
    "regions",
    [
        [],
        [region("rating", rating=1)],
        [{"type": "choices"}],
        [{"type": "choices", "value": {"choices": []}}],
        [{"value": {"choices": ["a"]}}],
        [{"type": "choices", "value": None}],
    ],
)
def test_result_is_refused_when_it_says_nothing(regions: list[dict[str, Any]]) -> None:
    with pytest.raises(BackendAnswerInvalid):
        answer_of(read_definition({"kind": "single_choice", "choices": choices("a", "b")}), regions)


def test_task_carries_the_address_of_its_file() -> None:
    assert task_of(UUID(int=1), {"text": "x"}, "https://f") == {
        "id": str(UUID(int=1)), "data": {"text": "x", MEDIA: "https://f"},
    }  # fmt: skip
    assert task_of(UUID(int=1), {"text": "x"}, None)["data"] == {"text": "x"}
