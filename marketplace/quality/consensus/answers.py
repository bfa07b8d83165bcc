"""A request's answers as codes: what a fit of millions of answers keeps in memory instead of an object for each."""

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, overload
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from marketplace.quality.consensus.engine import AnswerRow

_UUID_BYTES = 16


class AnswerTable(Sequence[AnswerRow]):
    """Answers in the order of their tasks, 12 bytes each and 16 a task; every different value is kept once.

    It reads as a sequence of `AnswerRow`, made when asked for; models that compute on codes take `codes` instead.
    """

    def __init__(self) -> None:
        self._tasks = bytearray()
        self._workers: dict[UUID, int] = {}
        self._worker_ids: list[UUID] = []
        self._value_codes: dict[str, int] = {}
        self._task, self._worker, self._value = array("I"), array("I"), array("I")
        self.values: list[Any] = []

    def append(self, task: UUID, worker: UUID, value: str) -> None:
        """Add an answer whose value is JSON text; all answers of a task must come one after the other."""
        if self._tasks[-_UUID_BYTES:] != task.bytes:
            self._tasks += task.bytes
        code = self._workers.setdefault(worker, len(self._worker_ids))
        if code == len(self._worker_ids):
            self._worker_ids.append(worker)
        label = self._value_codes.setdefault(value, len(self.values))
        if label == len(self.values):
            self.values.append(msgspec.json.decode(value))
        self._task.append(len(self._tasks) // _UUID_BYTES - 1)
        self._worker.append(code)
        self._value.append(label)

    @property
    def workers(self) -> Sequence[UUID]:
        """The workers by their codes."""
        return self._worker_ids

    def task_id(self, code: int) -> UUID:
        """Return the task that has this code."""
        return UUID(bytes=bytes(self._tasks[code * _UUID_BYTES : (code + 1) * _UUID_BYTES]))

    @property
    def codes(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """The columns task, worker and value (an index of `values`), one entry an answer, without a copy."""
        task, worker, value = (np.frombuffer(column, np.uint32) for column in (self._task, self._worker, self._value))
        return task, worker, value

    def __len__(self) -> int:
        return len(self._task)

    @overload
    def __getitem__(self, index: int) -> AnswerRow: ...
    @overload
    def __getitem__(self, index: slice) -> list[AnswerRow]: ...
    def __getitem__(self, index: int | slice) -> AnswerRow | list[AnswerRow]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        worker, value = self._worker_ids[self._worker[index]], self.values[self._value[index]]
        return AnswerRow(self.task_id(self._task[index]), worker, value)

    def __iter__(self) -> Iterator[AnswerRow]:
        last, task = -1, UUID(int=0)
        for code, worker, value in zip(self._task, self._worker, self._value, strict=True):
            if code != last:
                last, task = code, self.task_id(code)
            yield AnswerRow(task, self._worker_ids[worker], self.values[value])
