"""The accuracy-weighted vote as the model of a kind that has none of its own yet."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from scipy.special import betaincinv

from marketplace.quality.consensus.engine import (
    AnswerRow,
    Convergence,
    GoldRecord,
    Learned,
    TaskConsensus,
    WorkerSkill,
)
from marketplace.quality.consensus.open_kinds import nearest_to_all
from marketplace.quality.policy import smoothed_accuracy
from marketplace.quality.similarity import same
from marketplace.quality.spec import LabelSpec

_PRIOR_ANSWERS: Final = 4.0


class VoteModel:
    """The answer nearest to all, weighted by accuracies that come from gold.

    The interval of a worker's accuracy is that of a Beta with this mean and as many answers as it rests on.
    """

    def fit(self, spec: LabelSpec, answers: Sequence[AnswerRow], gold: Mapping[UUID, Any], seed: int) -> Learned:
        """Learn each worker's accuracy. Nothing in it is random."""
        del seed
        records, given = _gold_records(spec, answers, gold)
        workers = {worker: _skill(records[worker], count) for worker, count in given.items()}
        return Learned(workers, {}, Convergence("weighted_vote", 1, converged=True, log_likelihood=()))

    def consolidate(
        self, spec: LabelSpec, answers: Sequence[AnswerRow], learned: Learned, seed: int
    ) -> list[TaskConsensus]:
        """Return the consensus of each task that has answers, in the order of their ids."""
        del seed
        weights = {worker: skill.accuracy for worker, skill in learned.workers.items()}
        ordered = sorted(answers, key=lambda answer: (answer.task, answer.worker))
        return [
            nearest_to_all(spec, task, list(rows), weights) for task, rows in groupby(ordered, key=lambda row: row.task)
        ]


def _gold_records(
    spec: LabelSpec, answers: Sequence[AnswerRow], gold: Mapping[UUID, Any]
) -> tuple[dict[UUID, GoldRecord], dict[UUID, int]]:
    """Return each worker's gold record, and how many answers they gave."""
    right: dict[UUID, int] = {}
    seen: dict[UUID, int] = {}
    given: dict[UUID, int] = {}
    for row in answers:
        given[row.worker] = given.get(row.worker, 0) + 1
        if row.task in gold:
            seen[row.worker] = seen.get(row.worker, 0) + 1
            hit = same(spec, spec.main(row.value), spec.main(gold[row.task]))
            right[row.worker] = right.get(row.worker, 0) + int(hit)
    records = {worker: GoldRecord(right.get(worker, 0), seen.get(worker, 0)) for worker in given}
    return records, given


def _skill(record: GoldRecord, answers: int) -> WorkerSkill:
    accuracy, weight = smoothed_accuracy(record.right, record.seen), record.seen + _PRIOR_ANSWERS
    low, high = betaincinv(accuracy * weight, (1 - accuracy) * weight, (0.025, 0.975))
    return WorkerSkill(accuracy, float(low), float(high), answers, record.seen)
