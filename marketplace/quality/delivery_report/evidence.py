"""All that a delivery's report is computed from, in columns: some tens of bytes an answer, for a million of them.

Workers stand under the names that hold in the request only (browse.worker_alias). Pure.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from marketplace.catalog.label_schemas import read_definition
from marketplace.catalog.schemas import QualityPlan
from marketplace.quality.spec import LabelSpec, read_spec

VERSION: Final = 1
"""Of the evidence file's form."""
NONE: Final = -1

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Header(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="request"):
    """What was asked, by which rules; `made_at` is when the report was made, `seed` the request's own."""

    version: int = VERSION
    request_id: UUID
    made_at: str
    label_kind: str
    label_definition: dict[str, Any]
    label_schema_version: int
    guideline_version: int
    quality_plan: dict[str, Any]
    gate_set_version: str | None
    gate_set: dict[str, Any] | None
    seed: int


class Verdict(msgspec.Struct, frozen=True, tag_field="line", tag="verdict"):
    """What was decided on one revision of a claim; `gates` holds [gate, outcome it asked for] of each that ran."""

    claim: int
    revision: int
    worker: str
    outcome: str
    reason: str
    gates: list[list[str]]


class Appeal(msgspec.Struct, frozen=True, tag_field="line", tag="appeal"):
    """What became of an appeal against the verdict on a claim's revision."""

    claim: int
    revision: int
    state: str


class Review(msgspec.Struct, frozen=True, tag_field="line", tag="review"):
    """A reviewer's finding on the label of an item of a random sample: `right`, or not."""

    item: UUID
    right: bool


class Sampling(msgspec.Struct, frozen=True, tag_field="line", tag="sample"):
    """The plan by which labels were sampled for review, and its result ("accepted", "rejected", "open")."""

    plan: dict[str, Any]
    result: str


class Model(msgspec.Struct, frozen=True, tag_field="line", tag="model"):
    """The record of the fit that made the labels: model, course of the log-likelihood, calibration, parameters."""

    model: str
    iterations: int
    converged: bool
    log_likelihood: list[float]
    calibration: str
    calibration_parameters: list[float]
    calibration_samples: int


@dataclass(frozen=True, slots=True)
class Items:
    """Items in the order of their ids. `label` and `truth` are indices of `Evidence.values`, -1 for none.

    An item with a `truth` is gold.
    """

    ids: list[UUID]
    truth: Ints
    label: Ints
    confidence: Floats
    done: Bools


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers in the order of item, worker and revision: indices of items, workers and values; seconds spent.

    `counts` says that a fit rests on the answer: the accepted labels, and of gold what a worker first said in work
    that was accepted or rejected (tasks.queries.stream_answers).
    `claim` numbers the claims of the request; a model's answer has none (-1), and is counted nowhere.
    """

    item: Ints
    worker: Ints
    claim: Ints
    revision: Ints
    value: Ints
    seconds: Floats
    counts: Bools


@dataclass(frozen=True)
class Evidence:
    """Everything; `values` holds each distinct answer object once, `workers` the names in the order of a fit."""

    header: Header
    workers: list[str]
    values: list[Any]
    items: Items
    answers: Answers
    verdicts: list[Verdict] = field(default_factory=list)
    appeals: list[Appeal] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    sampling: Sampling | None = None
    model: Model | None = None

    @cached_property
    def spec(self) -> LabelSpec:
        """The label schema as quality reads it."""
        return read_spec(read_definition(self.header.label_definition))

    @cached_property
    def plan(self) -> QualityPlan:
        """The request's quality plan."""
        return QualityPlan.model_validate(self.header.quality_plan)

    @cached_property
    def is_gold(self) -> Bools:
        """Of each item, whether its truth is known."""
        return np.not_equal(self.items.truth, NONE)

    @cached_property
    def counted(self) -> NDArray[np.intp]:
        """The places of the answers that the labels are made of: accepted ones to items that are not gold."""
        return np.flatnonzero(self.answers.counts & ~self.is_gold[self.answers.item])

    @cached_property
    def by_model(self) -> Bools:
        """Of each answer, whether a model gave it: fits and labels rest on it too."""
        return np.equal(self.answers.claim, NONE)

    def count_per_item(self, places: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return how many of these answers each item has."""
        return np.bincount(self.answers.item[places], minlength=len(self.items.ids))


class Interned:
    """Numbers equal JSON texts alike, and keeps each one's value once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._known: dict[bytes, int] = {}

    def number(self, value: Any) -> int:
        """Return the number of a value; of none, -1."""
        if value is None:
            return NONE
        key = msgspec.json.encode(value, order="sorted")
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = len(self.values)
            self.values.append(value)
        return found


class Builder:
    """Takes rows in any order and makes the evidence of them, with items and answers in their fixed order."""

    def __init__(self) -> None:
        self.header: Header | None = None
        self.workers: list[str] = []
        self.verdicts: list[Verdict] = []
        self.appeals: list[Appeal] = []
        self.reviews: list[Review] = []
        self.sampling: Sampling | None = None
        self.model: Model | None = None
        self._values = Interned()
        self._items: dict[UUID, tuple[int, int, float, bool]] = {}
        self._numbers: dict[UUID, int] = {}
        self._worker_numbers: dict[str, int] = {}
        self._answers: list[array[Any]] = [array(kind) for kind in "iiiiidb"]

    def add_worker(self, name: str) -> None:
        """Name a worker; the order of the calls is the order of a fit."""
        self._worker_numbers[name] = len(self.workers)
        self.workers.append(name)

    def add_item(self, item: UUID, row: Mapping[str, Any]) -> None:
        """Add an item: `truth`, `label`, `confidence`, `done`, each of which may be missing."""
        confidence = row.get("confidence")
        self._numbers[item] = len(self._items)
        self._items[item] = (
            self._values.number(row.get("truth")),
            self._values.number(row.get("label")),
            float("nan") if confidence is None else float(confidence),
            bool(row.get("done")),
        )

    def add_answer(self, item: UUID, worker: str, row: Mapping[str, Any]) -> None:
        """Add an answer to an item that has been added: `claim`, `revision`, `value`, `seconds`, `counts`."""
        cells = (
            self._numbers[item], self._worker_numbers[worker], int(row["claim"]), int(row["revision"]),
            self._values.number(row["value"]), float(row["seconds"]), bool(row["counts"]),
        )  # fmt: skip
        for column, cell in zip(self._answers, cells, strict=True):
            column.append(cell)

    def build(self) -> Evidence:
        """Return the evidence; raises ValueError when it has no header."""
        if self.header is None:
            raise ValueError("the evidence has no line on the request")
        ids = sorted(self._items)
        place = np.empty(len(ids), dtype=np.int32)
        place[[self._numbers[each] for each in ids]] = np.arange(len(ids), dtype=np.int32)
        return Evidence(
            self.header, self.workers, self._values.values, self._item_columns(ids), self._answer_columns(place),
            self.verdicts, self.appeals, self.reviews, self.sampling, self.model,
        )  # fmt: skip

    def _item_columns(self, ids: list[UUID]) -> Items:
        rows = [self._items[each] for each in ids]
        truth, label, confidence, done = zip(*rows, strict=True) if rows else ((),) * 4
        return Items(
            ids, np.array(truth, dtype=np.int32), np.array(label, dtype=np.int32),
            np.array(confidence, dtype=np.float64), np.array(done, dtype=bool),
        )  # fmt: skip

    def _answer_columns(self, place: Ints) -> Answers:
        columns = [np.array(column) for column in self._answers]
        columns[0] = place[columns[0]]
        order = np.lexsort((columns[3], columns[1], columns[0]))
        item, worker, claim, revision, value, seconds, counts = (column[order] for column in columns)
        return Answers(item, worker, claim, revision, value, seconds, counts.astype(bool))
