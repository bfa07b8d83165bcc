"""Who said what of which task as counts, from which every coefficient follows without a list of pairs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Counts:
    """Answers by codes, and how often each value was given to each task.

    `table` is sparse, tasks × values; `values` are the numbers that stand for its columns (a class's own code), `given`
    the answers of each task. `task`, `worker` and `column` are parallel, one entry an answer.
    """

    task: Ints
    worker: Ints
    column: Ints
    workers: Ints
    table: sparse.csr_array
    values: Floats
    given: Floats

    @property
    def tasks(self) -> int:
        """How many tasks have answers."""
        return int(self.given.shape[0])

    @property
    def pairable(self) -> npt.NDArray[np.bool_]:
        """Which tasks have two answers or more, so that there is something to compare."""
        return np.asarray(self.given >= 2, dtype=bool)


def count_answers(
    task: npt.ArrayLike, worker: npt.ArrayLike, label: npt.ArrayLike, *, classes: int | None, numeric: bool
) -> Counts:
    """Count answers; of several by one worker to one task the last counts.

    With `numeric` labels are numbers, and the columns are the distinct ones; else they are codes 0 … classes − 1 (None:
    as many as occur). Raises ValueError for arrays of unequal length, numbers that are not finite, and codes out of
    range.
    """
    tasks, task_code = np.unique(np.asarray(task).reshape(-1), return_inverse=True)
    workers, worker_code = np.unique(np.asarray(worker).reshape(-1), return_inverse=True)
    said = np.asarray(label).reshape(-1)
    if not len(task_code) == len(worker_code) == len(said):
        raise ValueError("task, worker and label must have the same length")
    last = _last_of_each(task_code * max(len(workers), 1) + worker_code)
    task_code, worker_code, said = task_code[last], worker_code[last], said[last]
    values, column = _numbers(said) if numeric else _codes(said, classes)
    shape = (len(tasks), len(values))
    table = sparse.csr_array((np.ones(len(said)), (task_code, column)), shape=shape)
    given = np.bincount(task_code, minlength=len(tasks)).astype(np.float64)
    return Counts(
        task_code.astype(np.int64), worker_code.astype(np.int64), column, workers.astype(np.int64), table, values, given
    )


def _last_of_each(key: Ints) -> Ints:
    _, first = np.unique(key[::-1], return_index=True)
    return np.asarray(np.sort(len(key) - 1 - first), dtype=np.int64)


def _numbers(said: npt.NDArray[np.generic]) -> tuple[Floats, Ints]:
    numbers = said.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("a number is not finite")
    values, column = np.unique(numbers, return_inverse=True)
    return values, column.astype(np.int64)


def _codes(said: npt.NDArray[np.generic], classes: int | None) -> tuple[Floats, Ints]:
    codes = said.astype(np.int64)
    if (codes != said).any():
        raise ValueError("classes must be given as whole numbers")
    most = int(codes.max(initial=-1)) + 1
    count = most if classes is None else classes
    if codes.min(initial=0) < 0 or most > count:
        raise ValueError(f"classes must be from 0 to {count - 1}")
    return np.arange(count, dtype=np.float64), codes
