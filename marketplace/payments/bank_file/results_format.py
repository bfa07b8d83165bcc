"""The bank's result file: reading it strictly. Pure.

CSV (RFC 4180, UTF-8, with or without a byte order mark), columns `COLUMNS`. `R` rows say what became of a payment
(result `paid`, `failed` or `returned`), at most one `B` row the closing balance of the account and its day, and one
last `T` row the control totals: how many `R` rows (in `result`) and the sum of their amounts. One currency a file.
"""

import csv
import io
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from marketplace.core.errors import FieldProblem
from marketplace.core.money import EXPONENTS
from marketplace.payments.bank_file.errors import BankResultRefused
from marketplace.payments.bank_file.file_format import major, minor

COLUMNS: Final = ("record", "ref", "result", "amount", "currency", "bank_reference", "date", "reason")
MAX_ROWS: Final = 50_000
_PROBLEMS_NAMED: Final = 100


class ResultRow(BaseModel):
    """What the bank says of one payment."""

    model_config = ConfigDict(frozen=True)

    ref: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    result: Literal["paid", "failed", "returned"]
    bank_reference: Annotated[str, Field(max_length=64)]
    on: Annotated[date, Field(alias="date"), BeforeValidator(date.fromisoformat)]
    reason: Annotated[str, Field(max_length=200)]


@dataclass(frozen=True, slots=True)
class Row:
    """An `R` row: its line in the file, its amount, and what it says; None with `problem` when it cannot be read."""

    line: int
    ref: str
    amount_minor: int
    said: ResultRow | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Balance:
    """The `B` row: the closing balance of a day."""

    line: int
    stated_minor: int
    stated_on: date


@dataclass(frozen=True, slots=True)
class Results:
    """A result file whose control totals fit."""

    currency: str
    rows: list[Row]
    balance: Balance | None


def read(content: bytes) -> Results:
    """Read a result file.

    Raises:
        BankResultRefused: it is not of this form, or its control totals do not fit; each problem names its line.
    """
    numbered = _records(content)
    last_line, last = numbered[-1]
    currency = last[4]
    if last[0] != "T" or currency not in EXPONENTS:
        raise _refused([FieldProblem("record", "the last row must be `T`, with the file's currency", last_line)])
    problems: list[FieldProblem] = []
    read_rows: list[Row | Balance] = []
    for line, cells in numbered[:-1]:
        try:
            read_rows.append(_read_row(line, cells, currency))
        except ValueError as error:
            problems.append(FieldProblem("row", str(error), line))
    rows = [row for row in read_rows if isinstance(row, Row)]
    balances = [row for row in read_rows if isinstance(row, Balance)]
    problems += [FieldProblem("record", "there is a second `B` row", row.line) for row in balances[1:]]
    problems += _totals_problems(last_line, last, rows, currency)
    if problems:
        raise _refused(problems)
    return Results(currency, rows, balances[0] if balances else None)


def _records(content: bytes) -> list[tuple[int, list[str]]]:
    """Return the rows behind the names with their lines, all of the right width."""
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig", errors="replace"), newline=""), strict=True)
    found: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if any("\ufffd" in cell for cell in cells):
                raise _refused([FieldProblem("file", "the text is not UTF-8", reader.line_num)])
            if len(cells) != len(COLUMNS):
                raise _refused([FieldProblem("row", f"there must be {len(COLUMNS)} columns", reader.line_num)])
            found.append((reader.line_num, cells))
            if len(found) > MAX_ROWS + 3:
                raise _refused([FieldProblem("file", f"there are more than {MAX_ROWS} rows", reader.line_num)])
    except csv.Error as error:
        raise _refused([FieldProblem("file", f"this is no CSV: {error}", reader.line_num)]) from error
    if len(found) < 2 or tuple(found[0][1]) != COLUMNS:
        raise _refused([FieldProblem("file", f"the first row must read {','.join(COLUMNS)}", 1)])
    return found[1:]


def _read_row(line: int, cells: list[str], currency: str) -> Row | Balance:
    """Read a row of which the control totals need the amount; raise `ValueError` when that cannot be read."""
    amount = minor(cells[3], currency)
    if cells[4] != currency:
        raise ValueError(f"{cells[4]!r} stands in a file of {currency}")
    if cells[0] == "B":
        return Balance(line, amount, date.fromisoformat(cells[6]))
    if cells[0] != "R" or amount <= 0:
        raise ValueError("a row must be `R` with an amount above zero, or the one `B`")
    try:
        said = ResultRow.model_validate(dict(zip(COLUMNS, cells, strict=True)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return Row(line, cells[1][:64], amount, None, f"{first['loc'][0]}: {first['msg']}")
    return Row(line, said.ref, amount, said)


def _totals_problems(line: int, last: list[str], rows: list[Row], currency: str) -> list[FieldProblem]:
    total = major(sum(row.amount_minor for row in rows), currency)
    problems = []
    if last[2] != str(len(rows)):
        problems.append(FieldProblem("result", f"{last[2]!r} rows by the totals, {len(rows)} in the file", line))
    if last[3] != total:
        problems.append(FieldProblem("amount", f"{last[3]!r} by the totals, {total} in the file", line))
    return problems


def _refused(problems: list[FieldProblem]) -> BankResultRefused:
    first = problems[0]
    return BankResultRefused(f"Line {first.line}: {first.reason}", fields=problems[:_PROBLEMS_NAMED])
