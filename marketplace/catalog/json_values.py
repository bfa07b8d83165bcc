"""Which JSON values can be kept: PostgreSQL refuses U+0000 in text, UTF-8 has no lone surrogates, JSON no NaN."""

import math
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import AfterValidator

MAX_DEPTH: Final = 64
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def text_problem(text: str) -> str | None:
    """Return why this text cannot be kept, or None when it can."""
    if "\x00" in text:
        return "contains the character U+0000; remove it"
    if not text.isascii() and _SURROGATE.search(text):
        return "contains half of a surrogate pair, which is no character; encode the text as UTF-8"
    return None


def json_problem(value: Any) -> str | None:
    """Return why this decoded JSON value cannot be kept, or None when it can."""
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        current, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return f"is nested more than {MAX_DEPTH} levels deep"
        problem = _scalar_problem(current)
        if problem:
            return problem
        waiting += [(child, depth + 1) for child in _children(current)]
    return None


def _scalar_problem(value: Any) -> str | None:
    if isinstance(value, str):
        return text_problem(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "contains a number that is not finite"
    return None


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _kept_text(text: str) -> str:
    problem = text_problem(text)
    if problem:
        raise ValueError(problem)
    return text


def _kept_json(value: Any) -> Any:
    problem = json_problem(value)
    if problem:
        raise ValueError(problem)
    return value


# put behind the other constraints of a field: those that follow a validator are no longer part of the OpenAPI schema
KEPT: Final = AfterValidator(_kept_text)
KeptText = Annotated[str, KEPT]
KEPT_JSON: Final = AfterValidator(_kept_json)
