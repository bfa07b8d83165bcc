"""The labels computed anew from the evidence, and labels of gold items that never saw their own truth.

A fit sees workers as numbers in the order of the evidence, which is the order in which the server's fit saw them.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np

from marketplace.quality.consensus.engine import AnswerRow, GoldRecord, TaskConsensus
from marketplace.quality.consensus.vote import ENGINE
from marketplace.quality.delivery_report.evidence import NONE, Bools, Evidence, Floats
from marketplace.quality.delivery_report.golden import GoldAnswers, Places
from marketplace.quality.delivery_report.schemas import RefitFigures
from marketplace.quality.similarity import same

FOLDS: Final = 5
"""Into how many parts gold is cut; each part is labeled by a fit that does not know its truth."""


@dataclass(frozen=True, slots=True)
class GoldLabels:
    """The labels of gold items: the confidence of each, and whether it is right."""

    confidence: Floats
    right: Bools


def refit(evidence: Evidence, gold: GoldAnswers) -> RefitFigures:
    """Compute every label anew, and compare it with the one in the evidence."""
    everything = _rows(evidence, evidence.counted)
    found = _labels(evidence, gold, everything, everything, np.ones(len(evidence.items.ids), dtype=bool))
    place = {item: at for at, item in enumerate(evidence.items.ids)}
    equal, largest = 0, 0.0
    for made in found:
        at = place[made.task]
        if evidence.items.label[at] == NONE:
            continue
        equal += made.value == evidence.values[evidence.items.label[at]]
        largest = max(largest, abs(made.confidence - float(evidence.items.confidence[at])))
    labeled = int((evidence.items.label != NONE).sum())
    return RefitFigures(tasks=labeled, same=equal, largest_difference=largest)


def gold_labels(evidence: Evidence, gold: GoldAnswers) -> GoldLabels:
    """Label the gold items that stand for ordinary ones (`GoldAnswers.like_ordinary`), part by part.

    Each part is labeled by a fit on all ordinary answers and the other parts' truths (cross-fitting: V. Chernozhukov
    et al., "Double/debiased machine learning", 2018, §1), so that no label rests on its own truth.
    """
    sample = gold.like_ordinary()
    items = np.unique(evidence.answers.item[sample])
    everything = _rows(evidence, evidence.counted)
    spec, confidence, right = evidence.spec, [], []
    for fold in range(min(FOLDS, len(items))):
        held = np.zeros(len(evidence.items.ids), dtype=bool)
        held[items[fold::FOLDS]] = True
        asked = _rows(evidence, sample[held[evidence.answers.item[sample]]])
        truth_of = {evidence.items.ids[at]: evidence.values[evidence.items.truth[at]] for at in np.flatnonzero(held)}
        for made in _labels(evidence, gold, everything, asked, ~held):
            confidence.append(made.confidence)
            right.append(same(spec, spec.main(made.value), spec.main(truth_of[made.task])))
    return GoldLabels(np.array(confidence, dtype=np.float64), np.array(right, dtype=bool))


def _labels(
    evidence: Evidence,
    gold: GoldAnswers,
    learned_from: list[AnswerRow],
    asked: list[AnswerRow],
    known: Bools,
) -> list[TaskConsensus]:
    """Fit on `learned_from` and on the gold items that are `known`, and label the items that `asked` answers."""
    used = known[evidence.answers.item[gold.places]]
    workers = evidence.answers.worker[gold.places]
    count = len(evidence.workers)
    right = np.bincount(workers[used & gold.right], minlength=count)
    seen = np.bincount(workers[used], minlength=count)
    records = {_worker(at): GoldRecord(int(right[at]), int(seen[at])) for at in np.flatnonzero(seen).tolist()}
    return ENGINE.consolidate(evidence.spec, asked, ENGINE.learn_weights(evidence.spec, learned_from, records))


def _worker(place: int) -> UUID:
    return UUID(int=place + 1)


def _rows(evidence: Evidence, places: Places) -> list[AnswerRow]:
    answers, ids, values = evidence.answers, evidence.items.ids, evidence.values
    names = [_worker(at) for at in range(len(evidence.workers))]
    columns = (answers.item[places].tolist(), answers.worker[places].tolist(), answers.value[places].tolist())
    return [AnswerRow(ids[item], names[worker], values[value]) for item, worker, value in zip(*columns, strict=True)]
