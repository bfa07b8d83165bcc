"""Answers as codes, tasks and workers in the order of their ids, whatever order the answers come in."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from marketplace.quality.consensus.engine import AnswerRow

Ints = npt.NDArray[np.int64]


class CodedRows(NamedTuple):
    """`task` and `worker` are parallel to `rows`, and index `tasks` and `workers`."""

    rows: list[AnswerRow]
    tasks: list[UUID]
    workers: list[UUID]
    task: Ints
    worker: Ints

    def by_task(self, weights: npt.NDArray[np.generic] | None = None) -> npt.NDArray[np.float64]:
        """Return the sum of weights (none: the count) of each task's answers."""
        return np.bincount(self.task, weights, minlength=len(self.tasks)).astype(np.float64)

    def by_worker(self, weights: npt.NDArray[np.generic] | None = None) -> npt.NDArray[np.float64]:
        """Return the sum of weights (none: the count) of each worker's answers."""
        return np.bincount(self.worker, weights, minlength=len(self.workers)).astype(np.float64)


def code_rows(answers: Sequence[AnswerRow]) -> CodedRows:
    """Sort answers by task and worker, and code both."""
    rows = sorted(answers, key=lambda row: (row.task, row.worker))
    tasks = sorted({row.task for row in rows})
    workers = sorted({row.worker for row in rows})
    task_at = {task: index for index, task in enumerate(tasks)}
    worker_at = {worker: index for index, worker in enumerate(workers)}
    return CodedRows(
        rows,
        tasks,
        workers,
        np.array([task_at[row.task] for row in rows], dtype=np.int64),
        np.array([worker_at[row.worker] for row in rows], dtype=np.int64),
    )
