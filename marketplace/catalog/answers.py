"""Checking answers: the compiled JSON Schema of a label schema, and what JSON Schema cannot say."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from jsonschema_rs import Draft202012Validator, RegexOptions

from marketplace.catalog.errors import LabelSchemaInvalid
from marketplace.catalog.json_values import json_problem
from marketplace.catalog.label_schemas import (
    MAIN_MEMBER,
    Definition,
    FreeText,
    ImageShapes,
    NumericScale,
    PairwisePreference,
    SingleChoice,
    TextSpans,
    compile_schema,
)
from marketplace.core.errors import FieldProblem

MAX_PROBLEMS: Final = 20
CACHED_VALIDATORS: Final = 500
MAX_MASK_PIXELS: Final = 50_000_000
_STEP_TOLERANCE: Final = 1e-9
# Patterns run in linear time (no look-around, no back-references), so that no pattern can hold up a process.
_REGEX: Final = RegexOptions(size_limit=1_000_000, dfa_size_limit=10_000_000)


@dataclass(frozen=True, slots=True)
class AnswerValidator:
    """Checks answers against one version of a label schema; `definition` is its own description of an answer."""

    definition: Definition
    json_schema: dict[str, Any] = field(repr=False)
    compiled: Draft202012Validator = field(repr=False)

    def validate(self, value: Any) -> list[FieldProblem]:
        """Return what is wrong with an answer by the JSON Schema; nothing when it is right."""
        unkept = json_problem(value)
        if unkept:
            return [FieldProblem("", unkept)]
        problems = []
        for error in self.compiled.iter_errors(value):
            problems.append(FieldProblem(".".join(str(part) for part in error.instance_path), error.message))
            if len(problems) == MAX_PROBLEMS:
                break
        return problems

    def problems(self, value: Any, data: dict[str, Any]) -> list[FieldProblem]:
        """Return what is wrong with an answer to an item with these data, by schema and by meaning."""
        return self.validate(value) or check_against_item(self.definition, value, data)


def make_validator(definition: Definition) -> AnswerValidator:
    """Compile the definition.

    Raises:
        LabelSchemaInvalid: the user's own part is no JSON Schema, or refers to something outside of it.
    """
    schema = compile_schema(definition)
    try:
        compiled = Draft202012Validator(schema, offline=True, pattern_options=_REGEX)
    except ValueError as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise LabelSchemaInvalid(reason, fields=[FieldProblem("extra_schema", reason)]) from error
    return AnswerValidator(definition, schema, compiled)


_cache: OrderedDict[tuple[UUID, int], AnswerValidator] = OrderedDict()


def remembered_validator(request_id: UUID, version: int) -> AnswerValidator | None:
    """Return the validator of a version that this process compiled before; versions never change."""
    validator = _cache.get((request_id, version))
    if validator is not None:
        _cache.move_to_end((request_id, version))
    return validator


def remember_validator(request_id: UUID, version: int, validator: AnswerValidator) -> None:
    """Keep a compiled validator; the one that was not used for the longest time makes room."""
    _cache[request_id, version] = validator
    if len(_cache) > CACHED_VALIDATORS:
        _cache.popitem(last=False)


def check_against_item(definition: Definition, value: dict[str, Any], data: dict[str, Any]) -> list[FieldProblem]:
    """Return what is wrong with an answer that satisfies the schema, given the item's data."""
    if isinstance(definition, TextSpans):
        return _span_problems(definition, value["spans"], data.get(definition.source_field))
    if isinstance(definition, ImageShapes):
        return _shape_problems(value["shapes"], data.get("width"), data.get("height"))
    if isinstance(definition, NumericScale):
        return _step_problems(definition, value["value"])
    return []


def _span_problems(definition: TextSpans, spans: Sequence[dict[str, Any]], text: Any) -> list[FieldProblem]:
    length = len(text) if isinstance(text, str) else 0
    problems = []
    for index, span in enumerate(spans):
        if span["end"] <= span["start"]:
            problems.append(FieldProblem(f"spans.{index}.end", f"must be greater than start ({span['start']})"))
        elif span["end"] > length:
            reason = f"the text has {length} characters (Unicode code points), {span['end']} is beyond its end"
            problems.append(FieldProblem(f"spans.{index}.end", reason))
    if not problems and not definition.overlap_allowed:
        problems += _overlap_problems(spans)
    return problems[:MAX_PROBLEMS]


def _overlap_problems(spans: Sequence[dict[str, Any]]) -> list[FieldProblem]:
    ordered = sorted(enumerate(spans), key=lambda pair: (pair[1]["start"], pair[1]["end"]))
    problems, reached = [], 0
    for index, span in ordered:
        if span["start"] < reached:
            problems.append(FieldProblem(f"spans.{index}.start", "overlaps another span, which is not allowed here"))
        reached = max(reached, span["end"])
    return problems


def _shape_problems(shapes: Sequence[dict[str, Any]], width: Any, height: Any) -> list[FieldProblem]:
    """Check masks, and the image's edges when its size is known (uploaded files have `width` and `height`)."""
    problems = [
        FieldProblem(f"shapes.{index}.{member}", reason)
        for index, shape in enumerate(shapes)
        if shape["type"] == "mask"
        for member, reason in _mask_problems(shape, width, height)
    ]
    if not isinstance(width, int) or not isinstance(height, int):
        return problems[:MAX_PROBLEMS]
    for index, shape in enumerate(shapes):
        points = _corners(shape)
        if any(x > width or y > height for x, y in points):
            reason = f"lies beyond the image, which is {width} × {height} pixels"
            problems.append(FieldProblem(f"shapes.{index}", reason))
    return problems[:MAX_PROBLEMS]


def _mask_problems(shape: dict[str, Any], width: Any, height: Any) -> Iterator[tuple[str, str]]:
    """Say what is wrong with a mask's run-length code: its runs must fill its size, and mark something."""
    rows, columns = shape["size"]
    if rows * columns > MAX_MASK_PIXELS:
        yield "size", f"has {rows * columns:,} pixels; at most {MAX_MASK_PIXELS:,} are taken"
    elif sum(shape["counts"]) != rows * columns:
        yield "counts", f"add up to {sum(shape['counts'])}, but the size has {rows * columns} pixels"
    elif not any(shape["counts"][1::2]):
        yield "counts", "mark no pixel"
    if isinstance(width, int) and isinstance(height, int) and (rows, columns) != (height, width):
        yield "size", f"is not the image's: {height} rows and {width} columns"


def _corners(shape: dict[str, Any]) -> list[Sequence[float]]:
    if shape["type"] == "mask":
        return []
    if shape["type"] == "polygon":
        return list(shape["points"])
    return [(shape["x"] + shape.get("width", 0), shape["y"] + shape.get("height", 0))]


def _step_problems(definition: NumericScale, value: float) -> list[FieldProblem]:
    if definition.step is None:
        return []
    steps = (value - definition.minimum) / definition.step
    if abs(steps - round(steps)) <= _STEP_TOLERANCE * max(1.0, abs(steps)):
        return []
    return [FieldProblem("value", f"must be {definition.minimum:g} plus a multiple of {definition.step:g}")]


def full_answer(definition: Definition, value: Any) -> Any:
    """Return the answer object for a bare main value ("cat" → ``{"choice": "cat"}``); objects stay as they are."""
    return value if isinstance(value, dict) else {MAIN_MEMBER[definition.kind]: value}


def answer_of_text(definition: Definition, text: str, parse: Callable[[str], Any]) -> Any:
    """Return the answer that a CSV cell holds: JSON where it parses, else a text.

    Where the main member is a text itself, a cell such as ``1.0`` stays the text that it is.
    """
    by_text = isinstance(definition, SingleChoice | FreeText | PairwisePreference)
    if by_text and not text.lstrip().startswith("{"):
        return full_answer(definition, text)
    try:
        return full_answer(definition, parse(text))
    except ValueError:
        return full_answer(definition, text)
