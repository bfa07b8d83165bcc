"""How long personal records are kept: the operator's table. Kapok ships no figure (money.md §7)."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from marketplace.core.operator_tables import read_table
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


def retention_table(settings: Settings) -> RetentionTable | None:
    """Return the operator's table, None when there is none.

    Raises:
        RetentionTableInvalid: the file cannot be used.
    """
    path = settings.retention_table_file
    return read_table(RetentionTable, path, "RETENTION_TABLE_FILE", RetentionTableInvalid) if path else None
