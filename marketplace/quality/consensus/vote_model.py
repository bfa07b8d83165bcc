"""The accuracy-weighted vote as the model of a kind that has none of its own yet."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from scipy.special import betaincinv

from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.choices import choose_one
from marketplace.quality.consensus.engine import (
    AnswerRow,
    Convergence,
    GoldRecord,
    Learned,
    TaskConsensus,
    WorkerSkill,
)
from marketplace.quality.consensus.learning import encode, learn_accuracies
from marketplace.quality.consensus.open_kinds import nearest_to_all
from marketplace.quality.policy import smoothed_accuracy
from marketplace.quality.similarity import same
from marketplace.quality.spec import CHOICE_KINDS, LabelSpec

_DECIDE: Final = {
    LabelKind.SINGLE_CHOICE: choose_one,
    LabelKind.IMAGE_SHAPES: nearest_to_all,
}
_PRIOR_ANSWERS: Final = 4.0


class VoteModel:
    """Votes weighted by accuracy; accuracies of choices come from gold and the others, those of other kinds from gold.

    The interval of a worker's accuracy is that of a Beta with this mean and as many answers as it rests on.
    """

    def fit(self, spec: LabelSpec, answers: Sequence[AnswerRow], gold: Mapping[UUID, Any], seed: int) -> Learned:
        """Learn each worker's accuracy; see `learning`. Nothing in it is random."""
        del seed
        records, given = _gold_records(spec, answers, gold)
        if spec.kind in CHOICE_KINDS:
            named = ((row, str(spec.main(row.value))) for row in answers if row.task not in gold)
            accuracy = learn_accuracies(encode(named, len(spec.classes)), records)
        else:
            accuracy = {}
        workers = {
            worker: _skill(
                accuracy.get(worker, smoothed_accuracy(records[worker].right, records[worker].seen)), count,
                records[worker].seen, measured=count if worker in accuracy else records[worker].seen,
            )
            for worker, count in given.items()
        }  # fmt: skip
        return Learned(workers, {}, Convergence("weighted_vote", 1, converged=True, log_likelihood=()))

    def consolidate(
        self, spec: LabelSpec, answers: Sequence[AnswerRow], learned: Learned, seed: int
    ) -> list[TaskConsensus]:
        """Return the consensus of each task that has answers, in the order of their ids."""
        del seed
        decide = _DECIDE[spec.kind]
        weights = {worker: skill.accuracy for worker, skill in learned.workers.items()}
        ordered = sorted(answers, key=lambda answer: (answer.task, answer.worker))
        return [decide(spec, task, list(rows), weights) for task, rows in groupby(ordered, key=lambda row: row.task)]


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


def _skill(accuracy: float, answers: int, gold: int, *, measured: int) -> WorkerSkill:
    weight = measured + _PRIOR_ANSWERS
    low, high = betaincinv(accuracy * weight, (1 - accuracy) * weight, (0.025, 0.975))
    return WorkerSkill(accuracy, float(low), float(high), answers, gold)
