"""Answers by number instead of id: tasks in the order of their ids, workers likewise; and intervals of skills."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from marketplace.quality.consensus.engine import AnswerRow, WorkerSkill
from marketplace.quality.policy import beta_interval
from marketplace.quality.spec import LabelSpec


class Numbered(NamedTuple):
    """What a fit reads: per task its (worker number, main member) pairs, and what the numbers stand for."""

    tasks: tuple[UUID, ...]
    workers: tuple[UUID, ...]
    rows: list[list[tuple[int, Any]]]

    def known(self, spec: LabelSpec, gold: Mapping[UUID, Any]) -> dict[int, Any]:
        """Return the true main members of those tasks whose truth is known, by task number."""
        return {number: spec.main(gold[task]) for number, task in enumerate(self.tasks) if task in gold}

    def counts(self, known: Mapping[int, Any]) -> tuple[list[int], list[int]]:
        """Return how many answers each worker gave, and how many of them to tasks whose truth is known."""
        given, gold = [0] * len(self.workers), [0] * len(self.workers)
        for number, row in enumerate(self.rows):
            for worker, _ in row:
                given[worker] += 1
                gold[worker] += number in known
        return given, gold


def number_rows(spec: LabelSpec, answers: Sequence[AnswerRow]) -> Numbered:
    """Return answers by number, the same whatever their order."""
    workers = tuple(sorted({row.worker for row in answers}))
    numbers = {worker: number for number, worker in enumerate(workers)}
    ordered = sorted(answers, key=lambda row: (row.task, row.worker))
    grouped = [(task, list(rows)) for task, rows in groupby(ordered, key=lambda row: row.task)]
    return Numbered(
        tuple(task for task, _ in grouped),
        workers,
        [[(numbers[row.worker], spec.main(row.value)) for row in rows] for _, rows in grouped],
    )


def skill_of(right: float, wrong: float, answers: int, gold: int) -> WorkerSkill:
    """Return a worker's skill from the counts of its Beta posterior, prior included."""
    low, high = beta_interval(right, wrong).tolist()
    return WorkerSkill(right / (right + wrong), low, high, answers, gold)
