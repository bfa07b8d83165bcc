"""From a row as it was written to what is stored of it, or to what is wrong with it."""

from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from marketplace.catalog.answers import AnswerValidator, answer_of_text, full_answer
from marketplace.catalog.imports.rows import BadRow, Row
from marketplace.catalog.label_schemas import ImageShapes
from marketplace.core.ids import new_id


class Staged(NamedTuple):
    """A good row, in the order of the columns of the staging table; `data` and `gold` are JSON text."""

    line: int
    id: UUID
    external_id: str
    data: str
    media_key: str | None
    gold: str | None
    note: str


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks rows against a request's label schema (None: it has none yet, so that no gold can be taken)."""

    validator: AnswerValidator | None

    def check(self, row: Row) -> Staged | BadRow:
        """Return what is stored of the row, or what is wrong with it."""
        lacking = self._lacking(row)
        if lacking:
            return lacking
        gold = self._gold(row)
        if isinstance(gold, BadRow):
            return gold
        made = new_id()
        return Staged(
            row.line, made, row.external_id or str(made), _json(row.data), row.media_key, gold, row.note
        )  # fmt: skip

    def _lacking(self, row: Row) -> BadRow | None:
        if self.validator is None:
            return None
        definition = self.validator.definition
        for name in definition.needed_fields():
            if not isinstance(row.data.get(name), str):
                return BadRow(row.line, name, "is missing: the label schema needs it, as a text")
        if isinstance(definition, ImageShapes) and definition.image_field is None and row.media_key is None:
            return BadRow(row.line, "", "has no image file; upload a ZIP, or name an `image_field` in the label schema")
        return None

    def _gold(self, row: Row) -> str | BadRow | None:
        """Return the gold truth as JSON text, None when the row has none."""
        if row.gold is None and row.gold_text is None:
            return None
        if self.validator is None:
            return BadRow(row.line, "gold", "cannot be checked: set the label schema before you upload gold")
        truth = self._truth(self.validator, row)
        problems = self.validator.problems(truth, row.data)
        if problems:
            first = problems[0]
            return BadRow(row.line, f"gold.{first.field}".rstrip("."), first.reason)
        return _json(truth)

    @staticmethod
    def _truth(validator: AnswerValidator, row: Row) -> Any:
        if row.gold_text is not None:
            return answer_of_text(validator.definition, row.gold_text, msgspec.json.decode)
        return full_answer(validator.definition, row.gold)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
