"""How long personal records are kept: the operator's table. Kapok ships no figure (money.md §7)."""

from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from marketplace.core.settings import Settings
from marketplace.settlement.errors import RetentionTableInvalid


class RecordClass(StrEnum):
    """Personal records of people with a closed account; rows of the ledger and the audit trail are in no class."""

    IDENTITY_PAPERS = "identity_papers"
    PAYEE_NAMES = "payee_names"
    PAYOUT_METHODS = "payout_methods"
    TAX_FORMS = "tax_forms"


class RetentionRule(BaseModel):
    """A class is kept for so many years after its account was closed, by this source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    record_class: RecordClass
    years: Annotated[int, Field(ge=0, le=100)]
    source: Annotated[str, Field(min_length=3)]


class RetentionTable(BaseModel):
    """The operator's rules, at most one a class; a class without a rule is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    classes: Annotated[tuple[RetentionRule, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_a_class(self) -> Self:
        if len({rule.record_class for rule in self.classes}) != len(self.classes):
            raise ValueError("a class has two rules")
        return self

    def absent(self) -> list[RecordClass]:
        """Return the classes that have no rule."""
        ruled = {rule.record_class for rule in self.classes}
        return [name for name in RecordClass if name not in ruled]


@lru_cache(maxsize=4)
def load_retention(path: Path) -> RetentionTable:
    """Return the table in a file.

    Raises:
        RetentionTableInvalid: the file cannot be read, or is no such table.
    """
    try:
        return RetentionTable.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise RetentionTableInvalid(f"RETENTION_TABLE_FILE {path} cannot be used: {error}") from error


def retention_table(settings: Settings) -> RetentionTable | None:
    """Return the operator's table, None when there is none.

    Raises:
        RetentionTableInvalid: the file cannot be used.
    """
    return load_retention(settings.retention_table_file) if settings.retention_table_file else None
