"""Public crowd data as a replay takes it: each worker's labels, the label schema that takes them, and scores."""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rapidfuzz.distance import Levenshtein

from cli.scenario.crowd_data import CrowdTable, DataKind, read_table, recognise
from marketplace.catalog.label_schemas import MAIN_MEMBER
from marketplace.catalog.states import LabelKind

MAX_CHOICE_CHARS: Final = 100
NOT_SPOKEN: Final = re.compile(r"[^\w']+")


@dataclass(frozen=True, slots=True)
class Given:
    """One label as a worker gave it; `seconds` when the file tells."""

    label: str
    seconds: float | None


@dataclass(frozen=True)
class CrowdLabels:
    """A data set: each worker's labels by task; `repeated` counts rows that a later row of the file replaced."""

    table: CrowdTable
    by_worker: dict[str, dict[str, Given]]
    tasks: list[str]
    repeated: int

    @property
    def count(self) -> int:
        """How many labels there are."""
        return sum(map(len, self.by_worker.values()))

    @property
    def most_per_task(self) -> int:
        """How many labels the most labeled task has."""
        return max(Counter(task for given in self.by_worker.values() for task in given).values())

    def values(self) -> set[str]:
        """Return the distinct labels."""
        return {one.label for given in self.by_worker.values() for one in given.values()}


def read_labels(path: Path, limit: int | None = None) -> CrowdLabels:
    """Read a file of labels; with `limit`, only those of the first so many tasks. Of repeated rows the last counts.

    Raises:
        CannotRunError: the file cannot be read, or holds no labels.
    """
    table = read_table(path, limit=limit)
    by_worker: dict[str, dict[str, Given]] = {}
    columns = (column.tolist() for column in (table.task, table.worker, table.label, table.seconds))
    for task, worker, label, seconds in zip(*columns, strict=True):
        given = Given(table.labels[label], None if math.isnan(seconds) else seconds)
        by_worker.setdefault(table.workers[worker], {})[table.tasks[task]] = given
    return CrowdLabels(table, by_worker, table.tasks, table.repeated)


def kind_of(labels: CrowdLabels) -> LabelKind:
    """Return as which kind of label the set goes through Kapok: choices, numbers, else texts."""
    kind = recognise(labels.table)
    if kind is DataKind.CHOICE and all(0 < len(value) <= MAX_CHOICE_CHARS for value in labels.values()):
        return LabelKind.SINGLE_CHOICE
    return LabelKind.NUMERIC_SCALE if kind is DataKind.NUMERIC else LabelKind.FREE_TEXT


def label_schema(kind: LabelKind, labels: CrowdLabels, language: str) -> dict[str, Any]:
    """Return the label schema that takes exactly such labels."""
    values = labels.values()
    if kind is LabelKind.NUMERIC_SCALE:
        numbers = [float(value) for value in values]
        return {"kind": kind, "minimum": min(numbers), "maximum": max(numbers)}
    if kind is LabelKind.FREE_TEXT:
        lengths = [len(value) for value in values]
        shortest = int(all(value.strip() for value in values))
        return {"kind": kind, "target_language": language, "min_chars": shortest, "max_chars": max(1, *lengths)}
    choices = values if len(values) > 1 else values | {"none of these"}
    return {"kind": kind, "choices": [{"value": value, "label": {"en": value}} for value in sorted(choices)]}


def answer_of(kind: LabelKind, label: str) -> dict[str, Any]:
    """Return a label as an answer's value."""
    return {MAIN_MEMBER[kind]: float(label) if kind is LabelKind.NUMERIC_SCALE else label}


def words_of(text: str) -> list[str]:
    """Return the words of a transcript: without case and punctuation, as word error rates are compared."""
    return [word for word in NOT_SPOKEN.split(text.casefold()) if word]


def scores(kind: LabelKind, found: Mapping[str, Any], truth: Mapping[str, str]) -> dict[str, float]:
    """Return how far the consensus is from the truth, over the tasks that have both.

    Choices: accuracy. Numbers: mean absolute and root mean square error. Texts: word error rate, the edit distance of
    all words over the number of true words.
    """
    pairs = [(found[task], value) for task, value in truth.items() if found.get(task) is not None]
    if not pairs:
        return {}
    if kind is LabelKind.NUMERIC_SCALE:
        errors = [float(label) - float(value) for label, value in pairs]
        mean_square = sum(error * error for error in errors) / len(errors)
        return {"mae": round(sum(map(abs, errors)) / len(errors), 4), "rmse": round(math.sqrt(mean_square), 4)}
    if kind is LabelKind.FREE_TEXT:
        spoken = [(words_of(label), words_of(value)) for label, value in pairs]
        wrong = sum(Levenshtein.distance(said, meant) for said, meant in spoken)
        return {"word_error_rate": round(wrong / max(sum(len(meant) for _, meant in spoken), 1), 4)}
    return {"accuracy": round(sum(label == value for label, value in pairs) / len(pairs), 4)}
