"""Public crowd data, a folder a set: `labels.csv` (task,worker,label[,seconds]), `truth.csv` (task,label), its kind."""

import csv
import math
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from cli.errors import CannotRunError

Codes = npt.NDArray[np.int32]

MAX_FIELD_CHARS: Final = 10_000_000
TAGS: Final = re.compile(r"(?:O|[BI](?:-\S+)?)(?: (?:O|[BI](?:-\S+)?))*")
BARE: Final = "-_"
FEW_CODES: Final = 20
"""So many different whole numbers are codes of classes whatever they are."""
MOST_CLASS_CHARS: Final = 100
SHARED: Final = 0.8
"""Labels are names of classes when so many of them were given to more than one task."""
MOSTLY_NUMBERS: Final = 0.95
"""Labels are numbers when so many rows are; the others count as blank."""
CLOSER: Final = 0.75
"""Numbers are measures when two of one task differ by less than this share of what two of any tasks differ by."""
HEAPED: Final = 0.4
"""Numbers are measures when so many are multiples of five: people round what they estimate, codes are not rounded."""


class DataKind(StrEnum):
    """What the labels of a set are."""

    CHOICE = "choice"
    NUMERIC = "numeric"
    TEXT = "text"
    BIO = "bio"


@dataclass(frozen=True)
class CrowdTable:
    """A set of labels in columns: row i says that worker `worker[i]` gave task `task[i]` the label `label[i]`.

    The codes point into `tasks`, `workers` (both in the order of the file) and `labels` (the distinct ones as they
    stand in the file, sorted). `seconds` is NaN where the file does not tell. `repeated` counts rows that a later row
    of the same task and worker replaced.
    """

    name: str
    tasks: list[str]
    workers: list[str]
    labels: list[str]
    task: Codes
    worker: Codes
    label: Codes
    seconds: npt.NDArray[np.float64]
    repeated: int

    def __len__(self) -> int:
        return len(self.task)

    def given(self) -> Iterator[tuple[int, list[tuple[int, str]]]]:
        """Yield each task with its (worker, label) pairs, in the order of the tasks."""
        order = np.argsort(self.task, kind="stable")
        bounds = np.searchsorted(self.task[order], np.arange(len(self.tasks) + 1))
        for task in range(len(self.tasks)):
            rows = order[bounds[task] : bounds[task + 1]]
            yield task, [(int(self.worker[row]), self.labels[self.label[row]]) for row in rows]

    def without_blanks(self) -> "CrowdTable":
        """Return the table without blank labels, which are no answers where a class or a number was asked for.

        Labels that differ in blanks at their ends only, and numbers of one value (1 and 1.0) when all are numbers, are
        one label then, in the spelling that most rows have.

        Raises:
            CannotRunError: there are no others.
        """
        said = np.array([bool(label.strip()) for label in self.labels])
        rows = said[self.label]
        if rows.all():
            return _one_spelling(self)
        if not rows.any():
            raise CannotRunError(f"All labels of {self.name} are blank.", "Give a file with labels.")
        code = (np.cumsum(said) - 1).astype(np.int32)[self.label[rows]]
        labels = [label for label in self.labels if label.strip()]
        kept = self.of_rows(np.flatnonzero(rows))
        return _one_spelling(replace(kept, labels=labels, label=code))

    def only_numbers(self) -> "CrowdTable":
        """Return the table without labels that are no numbers, which are taken as blank when they are few.

        Raises:
            CannotRunError: fewer than `MOSTLY_NUMBERS` of the rows with a label are numbers.
        """
        table = self.without_blanks()
        if _share_of_numbers(table) < MOSTLY_NUMBERS:
            bad = next(label for label in table.labels if number(label) is None)
            raise CannotRunError(f"{self.name} has the label {bad[:60]!r}, which is no number.", "Another --kind?")
        return replace(table, labels=["" if number(one) is None else one for one in table.labels]).without_blanks()

    def numbers_given(self) -> list[float]:
        """Return the number of each label that is one."""
        return [value for label in self.labels if (value := number(label)) is not None]

    @cached_property
    def begins(self) -> bool:
        """Whether any tag of its sequences is a B."""
        return any(tag[0] == "B" for label in self.labels for tag in label.split())

    def of_rows(self, rows: npt.NDArray[np.intp]) -> "CrowdTable":
        """Return the table of some rows only, with all its tasks, workers and labels."""
        return replace(
            self, task=self.task[rows], worker=self.worker[rows], label=self.label[rows], seconds=self.seconds[rows]
        )

    def numbers(self) -> npt.NDArray[np.float64]:
        """Return each row's label as a number.

        Raises:
            CannotRunError: a label is none.
        """
        values = [number(label) for label in self.labels]
        if None in values:
            bad = self.labels[values.index(None)]
            raise CannotRunError(f"{self.name} has the label {bad[:60]!r}, which is no number.", "Another --kind?")
        return np.array(values, dtype=np.float64)[self.label]


def read_table(path: Path, name: str = "", limit: int | None = None) -> CrowdTable:
    """Read a file of labels; with `limit`, only those of the first so many tasks. Of repeated rows the last counts.

    Raises:
        CannotRunError: the file cannot be read, lacks a column or a value, or holds no labels.
    """
    tasks: dict[str, int] = {}
    workers: dict[str, int] = {}
    labels: dict[str, int] = {}
    columns, seconds = (array("i"), array("i"), array("i")), array("d")
    for one, who, said, took in _rows(path, ("task", "worker", "label"), "seconds"):
        if one not in tasks and limit is not None and len(tasks) >= limit:
            continue
        columns[0].append(tasks.setdefault(one, len(tasks)))
        columns[1].append(workers.setdefault(who, len(workers)))
        columns[2].append(labels.setdefault(said, len(labels)))
        seconds.append((number(took) if took else None) or math.nan)
    if not tasks:
        raise CannotRunError(f"{path} holds no labels.", "Give a file with the columns task,worker,label.")
    rows = _last_rows(*(_codes(column) for column in columns[:2]))
    names = sorted(labels)
    ranks = np.empty(len(names), dtype=np.int32)
    ranks[[labels[one] for one in names]] = np.arange(len(names))
    task, worker, label = (_codes(column)[rows] for column in columns)
    return CrowdTable(
        name=name or path.absolute().parent.name,
        tasks=list(tasks),
        workers=list(workers),
        labels=names,
        task=task,
        worker=worker,
        label=ranks[label],
        seconds=np.frombuffer(seconds, dtype=np.float64)[rows],
        repeated=len(seconds) - len(rows),
    )


def read_truth(path: Path) -> dict[str, str]:
    """Read a file of known truths, by task; raises CannotRunError as `read_table`."""
    return {task: label for task, label, _ in _rows(path, ("task", "label"), "")}


def folders_of(places: Sequence[Path], *, truth: bool) -> list[Path]:
    """Return the folders that hold a set: those given, and for a folder of sets those in it, by name.

    Raises:
        CannotRunError: a place holds no `labels.csv` (and `truth.csv` when `truth`), nor does any folder in it; or two
            folders have one name.
    """
    needed = ("labels.csv", "truth.csv") if truth else ("labels.csv",)
    found: dict[Path, None] = {}
    for place in places:
        inner = sorted(path.parent for path in place.glob("*/labels.csv")) if place.is_dir() else []
        sets = [one for one in (place, *inner) if all((one / name).is_file() for name in needed)]
        if not sets:
            raise CannotRunError(
                f"{place} holds no {' and '.join(needed)}.", "Give a folder with them, or a folder of such folders."
            )
        found |= dict.fromkeys(sets)
    names: dict[str, Path] = {}
    for one in found:
        name = one.absolute().name
        if name in names:
            raise CannotRunError(
                f"{names[name]} and {one} are both named {name}.", "Sets are told apart by the names of their folders."
            )
        names[name] = one
    return list(found)


def recognise(table: CrowdTable) -> DataKind:
    """Return what the labels are, from the labels alone.

    BIO when all are sequences of tags. Numbers are codes of classes when few are different or nothing tells that they
    measure: that some are not whole or below zero, that they are rounded, that people who differ on a task come close.
    Other labels name classes when few are different or most were given to several tasks; else they are texts. Blank
    labels tell nothing.
    """
    if not any(label.strip() for label in table.labels):
        return DataKind.TEXT
    table = table.without_blanks()
    values = table.labels
    if all(map(is_tags, values)) and any(len(value.split()) > 1 for value in values):
        return DataKind.BIO
    if _share_of_numbers(table) >= MOSTLY_NUMBERS:
        few_others = table.only_numbers()
        kind = _numbers_are(few_others, few_others.numbers_given())
        if kind is DataKind.NUMERIC or len(few_others) == len(table):
            return kind
    few = len(values) <= max(2, min(FEW_CODES, len(table) // 2)) or (
        len(values) <= len(table) // 4 and _shared(table) >= SHARED
    )
    short = max(map(len, values)) <= MOST_CLASS_CHARS
    return DataKind.CHOICE if few and short else DataKind.TEXT


def is_tags(label: str) -> bool:
    """Return whether a label is a sequence of BIO tags, whatever blanks part them."""
    return TAGS.fullmatch(" ".join(label.split())) is not None


def tags_of(label: str) -> list[str]:
    """Return the tags of a sequence; bare B and I get a label, as spans have one."""
    return [f"{tag}{BARE}" if tag in {"B", "I"} else tag for tag in label.split()]


def number(label: str) -> float | None:
    """Return a label as a finite number; None when it is none."""
    try:
        value = float(label)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _rows(path: Path, columns: tuple[str, ...], extra: str) -> Iterator[list[str]]:
    """Yield of each row the values of the columns and of the extra column, "" without it."""
    csv.field_size_limit(MAX_FIELD_CHARS)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            missing = sorted(set(columns) - set(header))
            if missing:
                raise CannotRunError(
                    f"{path} lacks the columns {', '.join(missing)}.", f"Its first line must name them: {path}"
                )
            places = [header.index(one) for one in columns]
            other = header.index(extra) if extra in header else -1
            for row in reader:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) <= max(places):
                    raise CannotRunError(
                        f"{path} has too few values in line {reader.line_num}.", f"It needs {','.join(columns)}."
                    )
                yield [*(row[place] for place in places), row[other] if 0 <= other < len(row) else ""]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CannotRunError(f"{path} cannot be read: {error}", "Give a CSV file in UTF-8.") from error


def _codes(column: "array[int]") -> Codes:
    return np.frombuffer(column, dtype=np.int32)


def _last_rows(task: Codes, worker: Codes) -> npt.NDArray[np.intp]:
    """Return of each pair of task and worker its last row, in the order of the rows."""
    pairs = task.astype(np.int64) * (int(worker.max()) + 1) + worker
    _, first_from_end = np.unique(pairs[::-1], return_index=True)
    return np.sort(len(pairs) - 1 - first_from_end)


def _shared(table: CrowdTable) -> float:
    """Return the share of labels that were given to more than one task."""
    pairs = np.unique(table.label.astype(np.int64) * len(table.tasks) + table.task)
    tasks_of_label = np.bincount(pairs // len(table.tasks), minlength=len(table.labels))
    return float((tasks_of_label[table.label] > 1).mean())


def _one_spelling(table: CrowdTable) -> CrowdTable:
    """Return the table with each class spelled as most of its rows spell it (ties: the first by order)."""
    values = [number(label) for label in table.labels]
    keys = [label.strip() for label in table.labels] if None in values else values
    if len(set(keys)) == len(keys):
        return table
    given = np.bincount(table.label, minlength=len(table.labels)).tolist()
    spelled: dict[object, int] = {}
    for place, key in enumerate(keys):
        if key not in spelled or given[place] > given[spelled[key]]:
            spelled[key] = place
    places = sorted(spelled.values())
    rank = {place: code for code, place in enumerate(places)}
    codes = np.array([rank[spelled[key]] for key in keys], dtype=np.int32)
    return replace(table, labels=[table.labels[place].strip() for place in places], label=codes[table.label])


def _share_of_numbers(table: CrowdTable) -> float:
    return float(np.array([number(label) is not None for label in table.labels])[table.label].mean())


def _numbers_are(table: CrowdTable, values: list[float]) -> DataKind:
    whole = all(value.is_integer() for value in values)
    if not whole:
        return DataKind.NUMERIC
    if len(values) <= FEW_CODES and (len(values) <= len(table) // 2 or _are_small(values)):
        return DataKind.CHOICE
    if len(values) > len(table) // 2:
        return DataKind.NUMERIC
    if min(values) < 0:
        return DataKind.NUMERIC
    heaped, apart = _rounded_and_apart(table)
    return DataKind.NUMERIC if heaped > HEAPED or apart < CLOSER else DataKind.CHOICE


def _are_small(values: list[float]) -> bool:
    """Return whether the numbers fill a row like 0, 1, 2, … as codes do."""
    return 0 <= min(values) <= 1 and max(values) < 2 * len(values) + 1


def _rounded_and_apart(table: CrowdTable) -> tuple[float, float]:
    """Return the share of multiples of five, and how far two neighbouring rows of a task that differ are apart.

    The most frequent number does not count for the first: it may be a zero that says "nothing". The distance is a share
    of the mean distance of two rows of any tasks.
    """
    blank = np.array([not label.strip() for label in table.labels])[table.label]
    numbers = np.array([number(label) or 0.0 for label in table.labels])[table.label][~blank]
    found, counts = np.unique(numbers, return_counts=True)
    others = numbers[numbers != found[counts.argmax()]]
    order = np.argsort(table.task[~blank], kind="stable")
    task, numbers = table.task[~blank][order], numbers[order]
    steps = np.abs(np.diff(numbers))[task[1:] == task[:-1]]
    any_steps = np.abs(np.diff(np.random.default_rng(0).permutation(numbers)))
    heaped = float((others % 5 == 0).mean())
    if not (steps > 0).any() or not (any_steps > 0).any():
        return heaped, 1.0
    return heaped, float(steps[steps > 0].mean() / any_steps[any_steps > 0].mean())
