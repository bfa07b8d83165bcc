"""Label Studio's words for a label schema, a task and a result. Pure.

Source: Label Studio's documentation of its labeling configuration and of the ML backend's `/predict`. One control tag
named `label` stands for the answer; results are recognised by their type, so that a backend may name things otherwise.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID
from xml.etree.ElementTree import Element, SubElement, tostring

from marketplace.catalog.label_schemas import (
    MAIN_MEMBER,
    Definition,
    FreeText,
    ImageShapes,
    MultipleChoice,
    NumericScale,
    PairwisePreference,
    ShapeType,
    SingleChoice,
    TextSpans,
)
from marketplace.quality.annotators.errors import BackendAnswerInvalid

CONTROL: Final = "label"
MEDIA: Final = "media"
"""The member of a task's data that holds the address of the item's own file."""
_SHAPE_TAGS: Final = {
    ShapeType.BOX: "RectangleLabels",
    ShapeType.POLYGON: "PolygonLabels",
    ShapeType.KEYPOINT: "KeyPointLabels",
}


def labeling_config(definition: Definition, field: str) -> str:
    """Return the labeling configuration (XML); `field` is the member of the data that is labeled where none is named.

    A field of `MEDIA` is shown as an image, all others as text.
    """
    view = Element("View")
    if isinstance(definition, PairwisePreference):
        for side, source in (("left", definition.left_field), ("right", definition.right_field)):
            SubElement(view, "Text", name=side, value=f"${source}")
        SubElement(view, "Pairwise", name=CONTROL, toName="left,right")
        return tostring(view, encoding="unicode")
    source = source_of(definition, field)
    is_image = isinstance(definition, ImageShapes) or source == MEDIA
    SubElement(view, "Image" if is_image else "Text", name="source", value=f"${source}")
    for tag, attributes, values in _controls(definition):
        control = SubElement(view, tag, {"name": CONTROL, "toName": "source", **attributes})
        for value in values:
            SubElement(control, "Choice" if tag == "Choices" else "Label", value=value)
    return tostring(view, encoding="unicode")


def source_of(definition: Definition, field: str) -> str:
    """Return the member of the data that a label schema is about."""
    if isinstance(definition, TextSpans):
        return definition.source_field
    if isinstance(definition, ImageShapes):
        return definition.image_field or MEDIA
    return field


def _controls(definition: Definition) -> list[tuple[str, dict[str, str], Sequence[str]]]:
    if isinstance(definition, SingleChoice):
        return [("Choices", {"choice": "single"}, [choice.value for choice in definition.choices])]
    if isinstance(definition, MultipleChoice):
        return [("Choices", {"choice": "multiple"}, [choice.value for choice in definition.choices])]
    if isinstance(definition, NumericScale):
        bounds = {"min": f"{definition.minimum:g}", "max": f"{definition.maximum:g}"}
        return [("Number", bounds | ({"step": f"{definition.step:g}"} if definition.step else {}), ())]
    if isinstance(definition, TextSpans):
        return [("Labels", {}, [label.value for label in definition.labels])]
    if isinstance(definition, ImageShapes):
        names = [label.value for label in definition.labels]
        return [(_SHAPE_TAGS[shape], {}, names) for shape in definition.shapes if shape in _SHAPE_TAGS]
    return [("TextArea", {}, ())]


def task_of(task_id: UUID, data: Mapping[str, Any], media_url: str | None) -> dict[str, Any]:
    """Return an item as a task of Label Studio."""
    return {"id": str(task_id), "data": {**data, **({MEDIA: media_url} if media_url else {})}}


def answer_of(definition: Definition, regions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the answer object that a prediction's regions say; no region is an empty answer where there are such.

    Raises:
        BackendAnswerInvalid: the regions do not say an answer of this kind.
    """
    try:
        main = _READERS[type(definition)](regions)
    except (StopIteration, KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"the result does not say a {definition.kind}: {type(error).__name__} {error}"
        raise BackendAnswerInvalid(reason[:300]) from error
    return {MAIN_MEMBER[definition.kind]: main}


def _choice(regions: Sequence[Mapping[str, Any]]) -> Any:
    return _choices(regions)[0]


def _choices(regions: Sequence[Mapping[str, Any]]) -> list[Any]:
    return list(dict.fromkeys(each for region in regions if region["type"] == "choices"
                              for each in region["value"]["choices"]))  # fmt: skip


def _number(regions: Sequence[Mapping[str, Any]]) -> float:
    value = next(region["value"] for region in regions if region["type"] in {"number", "rating"})
    return float(value["number"] if "number" in value else value["rating"])


def _text(regions: Sequence[Mapping[str, Any]]) -> str:
    value = next(region["value"]["text"] for region in regions if region["type"] == "textarea")
    return value if isinstance(value, str) else "\n".join(value)


def _preference(regions: Sequence[Mapping[str, Any]]) -> Any:
    return next(region["value"]["selected"] for region in regions if region["type"] == "pairwise")


def _spans(regions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"start": int(value["start"]), "end": int(value["end"]), "label": value["labels"][0]}
        for value in (region["value"] for region in regions if region["type"] == "labels")
    ]


def _shapes(regions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [_SHAPE_READERS[region["type"]](region) for region in regions if region["type"] in _SHAPE_READERS]


def _box(region: Mapping[str, Any]) -> dict[str, Any]:
    value = region["value"]
    x, y = _pixels(region, value["x"], value["y"])
    width, height = _pixels(region, value["width"], value["height"])
    return {"type": "box", "label": value["rectanglelabels"][0], "x": x, "y": y, "width": width, "height": height}


def _polygon(region: Mapping[str, Any]) -> dict[str, Any]:
    points = [list(_pixels(region, x, y)) for x, y in region["value"]["points"]]
    return {"type": "polygon", "label": region["value"]["polygonlabels"][0], "points": points}


def _keypoint(region: Mapping[str, Any]) -> dict[str, Any]:
    x, y = _pixels(region, region["value"]["x"], region["value"]["y"])
    return {"type": "keypoint", "label": region["value"]["keypointlabels"][0], "x": x, "y": y}


def _pixels(region: Mapping[str, Any], x: float, y: float) -> tuple[float, float]:
    """Label Studio counts in hundredths of the image's sides."""
    return float(x) * region["original_width"] / 100, float(y) * region["original_height"] / 100


_SHAPE_READERS: Final[dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "rectanglelabels": _box,
    "polygonlabels": _polygon,
    "keypointlabels": _keypoint,
}
_READERS: Final[dict[type[Any], Callable[[Sequence[Mapping[str, Any]]], Any]]] = {
    SingleChoice: _choice,
    MultipleChoice: _choices,
    NumericScale: _number,
    FreeText: _text,
    PairwisePreference: _preference,
    TextSpans: _spans,
    ImageShapes: _shapes,
}
