"""What a reader yields: a row, or what is wrong with it."""

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from marketplace.catalog.json_values import json_problem, text_problem

MAX_ROW_BYTES: Final = 1024 * 1024
MAX_ID_CHARS: Final = 200
MAX_NOTE_CHARS: Final = 2_000
_CONTROL: Final = ("id", "data", "gold", "gold_note")
_LINE_BREAKS: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it was written. `gold` is an answer or a bare main value; `gold_text` one that came as a CSV cell."""

    line: int
    external_id: str | None
    data: dict[str, Any]
    gold: Any = None
    gold_text: str | None = None
    note: str = ""
    media_key: str | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot become an item: where it stands, in which field, and why."""

    line: int | None
    field: str
    reason: str


def row_of_object(line: int, value: Any) -> Row | BadRow:
    """Read a row of the form ``{"id", "data": {…}, "gold", "gold_note"}``, or a flat one (all else is data)."""
    if not isinstance(value, dict):
        return BadRow(line, "", f"is not a JSON object but {_kind(value)}")
    problem = json_problem(value)
    if problem:
        return BadRow(line, "", problem)
    data = value.get("data")
    if isinstance(data, dict):
        unknown = sorted(value.keys() - set(_CONTROL))
        if unknown:
            return BadRow(line, unknown[0], "stands beside `data`; put it inside, or leave `data` out and stay flat")
    else:
        data = {name: member for name, member in value.items() if name not in ("id", "gold", "gold_note")}
    if not data:
        return BadRow(line, "data", "is missing: the row has nothing to label")
    return _with_identity(Row(line, None, data, value.get("gold")), value.get("id"), value.get("gold_note"))


def row_of_cells(line: int, cells: dict[str, str]) -> Row | BadRow:
    """Read a CSV row by its header; the `gold` cell is read once the label schema is known."""
    problems = ((name, text_problem(cell)) for name, cell in cells.items())
    for name, problem in problems:
        if problem:
            return BadRow(line, name, problem if "U+0000" in problem else "is not UTF-8")
    data: dict[str, Any] = {name: cell for name, cell in cells.items() if name not in ("id", "gold", "gold_note")}
    if not any(data.values()):
        return BadRow(line, "", "is empty: the row has nothing to label")
    row = Row(line, None, data, gold_text=cells.get("gold") or None)
    return _with_identity(row, cells.get("id") or None, cells.get("gold_note"))


def _with_identity(row: Row, identity: Any, note: Any) -> Row | BadRow:
    if isinstance(identity, int) and not isinstance(identity, bool):
        identity = str(identity)
    if identity is not None and not _is_id(identity):
        reason = f"must be a text of 1 to {MAX_ID_CHARS} characters without line breaks, or a whole number"
        return BadRow(row.line, "id", reason)
    if note is not None and (not isinstance(note, str) or len(note) > MAX_NOTE_CHARS):
        return BadRow(row.line, "gold_note", f"must be a text of at most {MAX_NOTE_CHARS:,} characters")
    return replace(row, external_id=identity, note=note or "")


def _is_id(identity: Any) -> bool:
    return (
        isinstance(identity, str)
        and 0 < len(identity.strip()) <= len(identity) <= MAX_ID_CHARS
        and not _LINE_BREAKS.search(identity)
    )


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    return names[type(value)]
