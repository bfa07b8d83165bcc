"""The engine in use: votes weighted by accuracy, for every kind of label."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final
from uuid import UUID

from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.choices import choose_one, choose_some
from marketplace.quality.consensus.engine import AnswerRow, ConsensusEngine, GoldRecord, TaskConsensus, Weights
from marketplace.quality.consensus.learning import encode, gold_accuracies, learn_accuracies
from marketplace.quality.consensus.open_kinds import common_spans, middle_number, nearest_to_all
from marketplace.quality.spec import CHOICE_KINDS, LabelSpec

_BY_KIND: Final[dict[LabelKind, Callable[[LabelSpec, UUID, Sequence[AnswerRow], Weights], TaskConsensus]]] = {
    LabelKind.SINGLE_CHOICE: choose_one,
    LabelKind.PAIRWISE_PREFERENCE: choose_one,
    LabelKind.MULTIPLE_CHOICE: choose_some,
    LabelKind.NUMERIC_SCALE: middle_number,
    LabelKind.TEXT_SPANS: common_spans,
    LabelKind.FREE_TEXT: nearest_to_all,
    LabelKind.IMAGE_SHAPES: nearest_to_all,
}


class WeightedVote:
    """Majority vote weighted by accuracy. Accuracies of choices are learned; those of other kinds come from gold."""

    def learn_weights(
        self, spec: LabelSpec, answers: Iterable[AnswerRow], gold: Mapping[UUID, GoldRecord]
    ) -> dict[UUID, float]:
        """Return each worker's accuracy; see `learning`."""
        if spec.kind not in CHOICE_KINDS:
            return gold_accuracies(gold)
        named = ((answer, str(spec.main(answer.value))) for answer in answers)
        return learn_accuracies(encode(named, len(spec.classes)), gold)

    def consolidate(self, spec: LabelSpec, answers: Sequence[AnswerRow], weights: Weights) -> list[TaskConsensus]:
        """Return the consensus of each task that has answers, in the order of their ids."""
        decide = _BY_KIND[spec.kind]
        ordered = sorted(answers, key=lambda answer: (answer.task, answer.worker))
        return [decide(spec, task, list(rows), weights) for task, rows in groupby(ordered, key=lambda row: row.task)]


ENGINE: Final[ConsensusEngine] = WeightedVote()
