"""Choices as codes, and their layout for the passes over them."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from marketplace.quality.consensus.choice.errors import VotesInvalid

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

_CODES: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Votes:
    """Vote `i` is by worker `worker[i]` on task `task[i]` for class `label[i]`: 32-bit codes from 0.

    `tasks`, `workers` and `classes` count what there may be, also what nobody voted on or for.
    """

    task: Ints
    worker: Ints
    label: Ints
    tasks: int
    workers: int
    classes: int

    def __post_init__(self) -> None:
        """Raise VotesInvalid unless all arrays are of one length and all codes are below their counts."""
        if not len(self.task) == len(self.worker) == len(self.label):
            raise VotesInvalid("arrays of different lengths")
        for name, count in (("task", self.tasks), ("worker", self.workers), ("label", self.classes)):
            object.__setattr__(self, name, _codes(name, getattr(self, name), count))
        if self.workers * self.classes > _CODES:
            raise VotesInvalid("too many workers times classes")

    def __len__(self) -> int:
        """Return the number of votes."""
        return len(self.task)


def _codes(name: str, values: npt.NDArray[Any], count: int) -> Ints:
    array = np.asarray(values)
    if array.ndim != 1:
        raise VotesInvalid(f"{name} is no list")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or (array != np.trunc(array)).any():
            raise VotesInvalid(f"{name} holds NaN or fractions")
    elif array.dtype.kind not in "iu" and len(array):
        raise VotesInvalid(f"{name} holds no numbers")
    if len(array) and not (array.min() >= 0 and array.max() < count):
        raise VotesInvalid(f"{name} holds codes outside 0..{count - 1}")
    return array.astype(np.int32, copy=False)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Votes with the names behind their codes, each list sorted."""

    votes: Votes
    tasks: tuple[Hashable, ...]
    workers: tuple[Hashable, ...]
    classes: tuple[str, ...]


def encode(rows: Iterable[tuple[Any, Any, str]], classes: Iterable[str] = ()) -> Encoded:
    """Turn (task, worker, class) rows into codes, the same whatever order the rows come in.

    `classes` are those of the schema, in its order; classes that only rows name come after them, sorted.
    """
    ordered = sorted(rows)
    known = list(dict.fromkeys(classes))
    names = (*known, *sorted({row[2] for row in ordered} - set(known)))
    tasks = {name: code for code, name in enumerate(sorted({row[0] for row in ordered}))}
    workers = {name: code for code, name in enumerate(sorted({row[1] for row in ordered}))}
    labels = {name: code for code, name in enumerate(names)}
    table = np.array([(tasks[a], workers[b], labels[c]) for a, b, c in ordered], dtype=np.int32).reshape(-1, 3)
    columns = (np.ascontiguousarray(table[:, column]) for column in range(3))
    return Encoded(Votes(*columns, len(tasks), len(workers), len(names)), tuple(tasks), tuple(workers), names)


@dataclass(frozen=True, slots=True)
class Layout:
    """Votes by task: those of task `i` are `code[start[i]:start[i + 1]]`, a code being worker · classes + label."""

    start: Ints
    code: Ints
    tasks: int
    workers: int
    classes: int

    def chunks(self, judgments: int) -> list[tuple[int, int]]:
        """Return ranges of tasks that hold about so many judgments each, and no more tasks than that."""
        found, first = [], 0
        while first < self.tasks:
            end = int(np.searchsorted(self.start, int(self.start[first]) + judgments, side="right")) - 1
            last = min(max(end, first + 1), first + judgments, self.tasks)
            found.append((first, last))
            first = last
        return found


def layout(votes: Votes) -> Layout:
    """Sort votes by task, then by worker and label, so that the order in which they came does not matter.

    Linear: a sparse matrix of votes × tasks is turned from rows to columns, which is a counting sort.
    """
    code = votes.worker * np.int32(votes.classes) + votes.label
    start, code = _by_key(votes.task, code, votes.tasks)
    shape = (votes.tasks, max(votes.workers * votes.classes, 1))
    by_task = sparse.csr_matrix((np.ones(len(code), dtype=np.int8), code, start), shape=shape, copy=False)
    del code
    by_task.sort_indices()
    return Layout(by_task.indptr, by_task.indices, votes.tasks, votes.workers, votes.classes)


def _by_key(key: Ints, code: Ints, count: int) -> tuple[Ints, Ints]:
    start = np.zeros(count + 1, dtype=np.int32)
    np.cumsum(np.bincount(key, minlength=count), out=start[1:])
    if len(key) < 2 or bool((key[1:] >= key[:-1]).all()):
        return start, code
    rows = sparse.csr_matrix((code, key, np.arange(len(key) + 1, dtype=np.int32)), shape=(len(key), count))
    return start, rows.tocsc().data
