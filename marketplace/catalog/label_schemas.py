"""What an answer is: one definition per kind of label, and the JSON Schema (draft 2020-12) made from it.

Every answer is a JSON object with one main member and an optional `note` (the worker's comment):

=====================  =============================================================================================
kind                   answer
=====================  =============================================================================================
single_choice          ``{"choice": "cat"}``
multiple_choice        ``{"choices": ["cat", "dog"]}``
text_spans             ``{"spans": [{"start": 0, "end": 5, "label": "person"}]}``, end exclusive
free_text              ``{"text": "…"}`` (translations and transcriptions too)
numeric_scale          ``{"value": 3.5}``
pairwise_preference    ``{"preference": "left" | "right" | "tie", "reasons": ["fluency"]}``
image_shapes           ``{"shapes": [{"type": "box", "label": "car", "x": 1, "y": 2, "width": 30, "height": 40}]}``,
                       ``{"type": "polygon", "label": …, "points": [[x, y], …]}``,
                       ``{"type": "keypoint", "label": …, "x": …, "y": …}``,
                       ``{"type": "mask", "label": …, "size": [height, width], "counts": [5, 3, …]}``
=====================  =============================================================================================

Offsets of spans count Unicode code points of the source field; coordinates are pixels from the image's upper left.
A mask is COCO's uncompressed run-length code: pixels column by column, how many are out, in, out, … (Lin et al. 2014).
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from marketplace.catalog.json_values import KEPT, KEPT_JSON
from marketplace.catalog.states import LabelKind

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
NOTE_CHARS: Final = 2_000
MAX_SPANS: Final = 5_000
MAX_SHAPES: Final = 2_000
MAX_POINTS: Final = 2_000
MAX_RUNS: Final = 100_000
MAX_SIDE: Final = 20_000
MAX_TEXT_CHARS: Final = 100_000

LocaleTag = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
LocalText = Annotated[dict[LocaleTag, Annotated[str, Field(min_length=1, max_length=500), KEPT]], Field(min_length=1)]
Code = Annotated[str, Field(min_length=1, max_length=100), KEPT]
FieldName = Annotated[str, Field(min_length=1, max_length=100), KEPT]


class ShapeType(StrEnum):
    """What may be drawn on an image."""

    BOX = "box"
    POLYGON = "polygon"
    KEYPOINT = "keypoint"
    MASK = "mask"


class Choice(BaseModel):
    """Something to choose: the value that is stored, and what people read in each language."""

    model_config = ConfigDict(extra="forbid")

    value: Code
    label: LocalText


Choices = Annotated[list[Choice], Field(min_length=1, max_length=1_000)]


class _Definition(BaseModel):
    model_config = ConfigDict(extra="forbid")

    extra_schema: Annotated[
        dict[str, Any] | None,
        Field(description="A JSON Schema (2020-12) of your own that each answer must satisfy too; `$ref` stays inside"),
        KEPT_JSON,
    ] = None

    def body(self) -> dict[str, Any]:
        """Return the JSON Schema of the answer's members, and which of them are required."""
        raise NotImplementedError

    def needed_fields(self) -> tuple[str, ...]:
        """Return the members that each item's data must have as text."""
        return ()


def _distinct(choices: list[Choice]) -> list[str]:
    values = [choice.value for choice in choices]
    if len(set(values)) < len(values):
        raise ValueError("two choices have the same value")
    return values


class SingleChoice(_Definition):
    """One of the choices."""

    kind: Literal[LabelKind.SINGLE_CHOICE]
    choices: Annotated[Choices, Field(min_length=2)]

    @model_validator(mode="after")
    def distinct(self) -> Self:
        """Refuse two choices of one value."""
        _distinct(self.choices)
        return self

    def body(self) -> dict[str, Any]:
        """Allow the values of the choices."""
        return {"choice": {"enum": _distinct(self.choices)}}


class MultipleChoice(_Definition):
    """Some of the choices, from `min_choices` to `max_choices` (none given: all)."""

    kind: Literal[LabelKind.MULTIPLE_CHOICE]
    choices: Choices
    min_choices: Annotated[int, Field(ge=0)] = 0
    max_choices: Annotated[int | None, Field(ge=1)] = None

    @model_validator(mode="after")
    def reachable(self) -> Self:
        """Refuse two choices of one value, and bounds that no answer could keep."""
        count = len(_distinct(self.choices))
        upper = count if self.max_choices is None else self.max_choices
        if not self.min_choices <= upper <= count:
            raise ValueError(f"min_choices ≤ max_choices ≤ {count} (the number of choices) must hold")
        return self

    def body(self) -> dict[str, Any]:
        """Allow distinct values of the choices, as many as wanted."""
        values = _distinct(self.choices)
        return {
            "choices": {
                "type": "array",
                "items": {"enum": values},
                "uniqueItems": True,
                "minItems": self.min_choices,
                "maxItems": len(values) if self.max_choices is None else self.max_choices,
            }
        }


class TextSpans(_Definition):
    """Labeled stretches of a text; offsets count Unicode code points, the end is exclusive."""

    kind: Literal[LabelKind.TEXT_SPANS]
    labels: Choices
    source_field: FieldName = "text"
    overlap_allowed: bool = False

    @model_validator(mode="after")
    def distinct(self) -> Self:
        """Refuse two labels of one value."""
        _distinct(self.labels)
        return self

    def body(self) -> dict[str, Any]:
        """Allow spans with a known label; whether they lie inside the text is checked against the item."""
        span = {
            "type": "object",
            "properties": {
                "start": {"type": "integer", "minimum": 0},
                "end": {"type": "integer", "minimum": 1},
                "label": {"enum": _distinct(self.labels)},
            },
            "required": ["start", "end", "label"],
            "additionalProperties": False,
        }
        return {"spans": {"type": "array", "items": span, "maxItems": MAX_SPANS}}

    def needed_fields(self) -> tuple[str, ...]:
        """Name the text that is marked."""
        return (self.source_field,)


class FreeText(_Definition):
    """A text in the worker's words: a translation into, or a transcription in, `target_language`."""

    kind: Literal[LabelKind.FREE_TEXT]
    target_language: LocaleTag
    min_chars: Annotated[int, Field(ge=0, le=MAX_TEXT_CHARS)] = 1
    max_chars: Annotated[int, Field(ge=1, le=MAX_TEXT_CHARS)] = 5_000
    placeholder: LocalText | None = None

    @model_validator(mode="after")
    def reachable(self) -> Self:
        """Refuse a length that no text could have."""
        if self.max_chars < self.min_chars:
            raise ValueError("max_chars must be at least min_chars")
        return self

    def body(self) -> dict[str, Any]:
        """Allow texts of the wanted length; where a text is wanted, white space alone is none."""
        text: dict[str, Any] = {"type": "string", "minLength": self.min_chars, "maxLength": self.max_chars}
        if self.min_chars:
            text["pattern"] = r"\S"
        return {"text": text}


class NumericScale(_Definition):
    """A number from `minimum` to `maximum` in steps of `step` (none: any); `anchors` say what some of them mean.

    Two numbers that differ by no more than `tolerance` count as the same (none: the quality rules' own share).
    """

    kind: Literal[LabelKind.NUMERIC_SCALE]
    minimum: Annotated[float, Field(allow_inf_nan=False)]
    maximum: Annotated[float, Field(allow_inf_nan=False)]
    step: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    tolerance: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None
    anchors: dict[str, LocalText] = {}

    @model_validator(mode="after")
    def reachable(self) -> Self:
        """Refuse an empty scale, a step wider than it, and anchors that are not on it."""
        if self.maximum <= self.minimum:
            raise ValueError("maximum must be greater than minimum")
        if self.step is not None and self.step > self.maximum - self.minimum:
            raise ValueError("step must not be wider than the scale")
        for anchor in self.anchors:
            if not self.minimum <= float(anchor) <= self.maximum:
                raise ValueError(f"the anchor {anchor} is not on the scale")
        return self

    def body(self) -> dict[str, Any]:
        """Allow numbers of the scale; the step counts from `minimum`, which JSON Schema cannot say."""
        return {"value": {"type": "number", "minimum": self.minimum, "maximum": self.maximum}}


class PairwisePreference(_Definition):
    """Which of two is better; `reasons` are codes a worker may give."""

    kind: Literal[LabelKind.PAIRWISE_PREFERENCE]
    left_field: FieldName = "left"
    right_field: FieldName = "right"
    ties_allowed: bool = True
    reasons: Annotated[list[Choice], Field(max_length=100)] = []

    @model_validator(mode="after")
    def distinct(self) -> Self:
        """Refuse to compare a field with itself, and two reasons of one value."""
        _distinct(self.reasons)
        if self.left_field == self.right_field:
            raise ValueError("left_field and right_field must differ")
        return self

    def body(self) -> dict[str, Any]:
        """Allow left, right, and tie where ties are allowed."""
        body: dict[str, Any] = {"preference": {"enum": ["left", "right", *(["tie"] if self.ties_allowed else [])]}}
        if self.reasons:
            body["reasons"] = {"type": "array", "items": {"enum": _distinct(self.reasons)}, "uniqueItems": True}
        return body

    def needed_fields(self) -> tuple[str, ...]:
        """Name the two that are compared."""
        return (self.left_field, self.right_field)


class ImageShapes(_Definition):
    """Boxes, polygons, key points and masks on an image: the item's own file, or the address in `image_field`."""

    kind: Literal[LabelKind.IMAGE_SHAPES]
    shapes: Annotated[list[ShapeType], Field(min_length=1, max_length=4)]
    labels: Choices
    image_field: FieldName | None = None

    @model_validator(mode="after")
    def distinct(self) -> Self:
        """Refuse two labels of one value."""
        _distinct(self.labels)
        return self

    def body(self) -> dict[str, Any]:
        """Allow shapes of the wanted types; whether they lie on the image is checked against the item."""
        shape = {
            "type": "object",
            "properties": {"type": {"enum": sorted(set(self.shapes))}, "label": {"enum": _distinct(self.labels)}},
            "required": ["type", "label"],
            "allOf": [_SHAPES[shape] for shape in sorted(set(self.shapes))],
            "unevaluatedProperties": False,
        }
        return {"shapes": {"type": "array", "items": shape, "maxItems": MAX_SHAPES}}

    def needed_fields(self) -> tuple[str, ...]:
        """Name the field with the image's address, when it is not the item's own file."""
        return (self.image_field,) if self.image_field else ()


def _shape(kind: ShapeType, **members: Any) -> dict[str, Any]:
    """The members of one type of shape, asked for only when a shape says that it is of this type."""
    return {
        "if": {"properties": {"type": {"const": kind.value}}, "required": ["type"]},
        "then": {"properties": members, "required": sorted(members)},
    }


_COORDINATE: Final = {"type": "number", "minimum": 0}
_SIZE: Final = {"type": "number", "exclusiveMinimum": 0}
_POINT: Final = {"type": "array", "prefixItems": [_COORDINATE, _COORDINATE], "minItems": 2, "maxItems": 2}
_RUN: Final = {"type": "integer", "minimum": 0}
_SIDE: Final = {"type": "integer", "minimum": 1, "maximum": MAX_SIDE}
_SHAPES: Final = {
    ShapeType.BOX: _shape(ShapeType.BOX, x=_COORDINATE, y=_COORDINATE, width=_SIZE, height=_SIZE),
    ShapeType.POLYGON: _shape(
        ShapeType.POLYGON, points={"type": "array", "items": _POINT, "minItems": 3, "maxItems": MAX_POINTS}
    ),
    ShapeType.KEYPOINT: _shape(ShapeType.KEYPOINT, x=_COORDINATE, y=_COORDINATE),
    ShapeType.MASK: _shape(
        ShapeType.MASK,
        size={"type": "array", "items": _SIDE, "minItems": 2, "maxItems": 2},
        counts={"type": "array", "items": _RUN, "minItems": 2, "maxItems": MAX_RUNS},
    ),
}

Definition = Annotated[
    SingleChoice | MultipleChoice | TextSpans | FreeText | NumericScale | PairwisePreference | ImageShapes,
    Field(discriminator="kind"),
]
_DEFINITION: TypeAdapter[Definition] = TypeAdapter(Definition)
MAIN_MEMBER: Final[dict[LabelKind, str]] = {
    LabelKind.SINGLE_CHOICE: "choice",
    LabelKind.MULTIPLE_CHOICE: "choices",
    LabelKind.TEXT_SPANS: "spans",
    LabelKind.FREE_TEXT: "text",
    LabelKind.NUMERIC_SCALE: "value",
    LabelKind.PAIRWISE_PREFERENCE: "preference",
    LabelKind.IMAGE_SHAPES: "shapes",
}


def read_definition(stored: dict[str, Any]) -> Definition:
    """Return the definition that was stored as JSON."""
    return _DEFINITION.validate_python(stored)


def compile_schema(definition: Definition) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that each answer must satisfy.

    A schema of the user's own is embedded as a resource with an `$id` of its own, so that its `#/…` references keep
    meaning its own parts.
    """
    schema: dict[str, Any] = {
        "$schema": DRAFT,
        "type": "object",
        "properties": {**definition.body(), "note": {"type": "string", "maxLength": NOTE_CHARS}},
        "required": [MAIN_MEMBER[definition.kind]],
        "additionalProperties": False,
    }
    if definition.extra_schema is not None:
        own = {name: value for name, value in definition.extra_schema.items() if name not in {"$schema", "$id"}}
        schema["allOf"] = [{"$id": "urn:kapok:extra-schema", **own}]
    return schema
