"""The labels computed anew from the evidence, and labels of gold items that never saw their own truth.

A fit sees workers as numbers in the order of the evidence, which is the order in which the server's fit saw them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec
import numpy as np

from marketplace.quality.consensus.answers import AnswerTable
from marketplace.quality.consensus.engine import AnswerRow, Learned, TaskConsensus
from marketplace.quality.consensus.registry import MODELS
from marketplace.quality.consensus.version import engine_version
from marketplace.quality.delivery_report.evidence import NONE, Bools, Evidence, Floats
from marketplace.quality.delivery_report.golden import GoldAnswers, Places
from marketplace.quality.delivery_report.schemas import MethodFigures, RefitFigures
from marketplace.quality.similarity import same

FOLDS: Final = 5
"""Into how many parts gold is cut; each part is labeled by a fit that does not know its truth."""
FEW_FOLDS: Final = 2
MANY_ANSWERS: Final = 200_000
"""Above so many answers gold is cut into `FEW_FOLDS`: a fit takes long, and gold is plenty."""
_AT_ONCE: Final = 20_000
_CLOSE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class GoldLabels:
    """The labels of gold items: the confidence of each, and whether it is right."""

    confidence: Floats
    right: Bools


class Relabeler:
    """Fits the kind's model to the answers of the evidence, knowing the truth of all gold items or of some."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._workers = [UUID(int=place + 1) for place in range(len(evidence.workers))]
        self._table = AnswerTable()
        texts = [msgspec.json.encode(value).decode() for value in evidence.values]
        for item, worker, value in self._columns(np.flatnonzero(evidence.answers.counts | evidence.by_model)):
            self._table.append(evidence.items.ids[item], self._workers[worker], texts[value])

    def fit(self, known: Bools) -> Learned:
        """Fit to all answers with the truths of these items."""
        evidence = self._evidence
        truths = {evidence.items.ids[at]: _value(evidence, evidence.items.truth[at]) for at in np.flatnonzero(known)}
        return MODELS[evidence.spec.kind].fit(evidence.spec, self._table, truths, evidence.header.seed)

    def labels(self, places: Places, learned: Learned) -> Iterator[TaskConsensus]:
        """Yield the labels of the items that these answers are to, what models say of them included.

        Some thousand answers are taken at a time.
        """
        places = self._with_models(places)
        items = self._evidence.answers.item[places]
        model, spec, seed = MODELS[self._evidence.spec.kind], self._evidence.spec, self._evidence.header.seed
        start = 0
        while start < len(places):
            last = items[min(start + _AT_ONCE, len(places)) - 1]
            end = int(np.searchsorted(items, last, side="right"))  # all answers of an item together
            yield from model.consolidate(spec, self._rows(places[start:end]), learned, seed)
            start = end

    def _with_models(self, places: Places) -> Places:
        asked = np.zeros(len(self._evidence.items.ids), dtype=bool)
        asked[self._evidence.answers.item[places]] = True
        said = np.flatnonzero(self._evidence.by_model & asked[self._evidence.answers.item])
        return np.sort(np.concatenate([places, said]))

    def _rows(self, places: Places) -> list[AnswerRow]:
        ids, values = self._evidence.items.ids, self._evidence.values
        return [AnswerRow(ids[item], self._workers[who], values[said]) for item, who, said in self._columns(places)]

    def _columns(self, places: Places) -> Iterator[tuple[int, int, int]]:
        answers = self._evidence.answers
        columns = (answers.item[places], answers.worker[places], answers.value[places])
        return zip(*(column.tolist() for column in columns), strict=True)


def relabel(evidence: Evidence, relabeler: Relabeler) -> tuple[MethodFigures, RefitFigures]:
    """Fit and compute every label anew: what the model says of itself, and how the labels compare with the evidence."""
    learned = relabeler.fit(evidence.is_gold)
    place = {item: at for at, item in enumerate(evidence.items.ids)}
    equal, largest = 0, 0.0
    for made in relabeler.labels(evidence.counted, learned):
        at = place[made.task]
        if evidence.items.label[at] == NONE:
            continue
        equal += made.value == _value(evidence, evidence.items.label[at])
        largest = max(largest, abs(made.confidence - float(evidence.items.confidence[at])))
    tasks = int((evidence.items.label != NONE).sum())
    refit = RefitFigures(
        tasks=tasks, same=equal, largest_difference=_settled(largest), same_model=_same_model(evidence, learned)
    )
    return _method(learned, evidence.header.seed), refit


def _settled(difference: float) -> float:
    """Return a difference without the noise of sums that were taken in another order."""
    return difference if difference > _CLOSE else 0.0


def _method(learned: Learned, seed: int) -> MethodFigures:
    record, calibration = learned.record, learned.calibration
    return MethodFigures(
        engine=engine_version(),
        model=record.model, iterations=record.iterations, converged=record.converged,
        log_likelihood=record.log_likelihood[-1] if record.log_likelihood else None,
        calibration=calibration.method, calibration_samples=calibration.samples, seed=seed,
    )  # fmt: skip


def _same_model(evidence: Evidence, learned: Learned) -> bool | None:
    """Return whether the stored record tells of the same fit; None when none is stored."""
    stored = evidence.model
    if stored is None:
        return None
    parameters = learned.calibration.parameters
    return (
        (stored.model, stored.iterations, stored.converged, stored.calibration)
        == (learned.record.model, learned.record.iterations, learned.record.converged, learned.calibration.method)
        and len(stored.calibration_parameters) == len(parameters)
        and bool(np.allclose(stored.calibration_parameters, parameters, rtol=_CLOSE, atol=_CLOSE))
    )


def gold_labels(evidence: Evidence, gold: GoldAnswers, relabeler: Relabeler) -> GoldLabels:
    """Label the gold items that stand for ordinary ones (`GoldAnswers.like_ordinary`), part by part.

    Each part is labeled by a fit on all answers and the other parts' truths (cross-fitting: V. Chernozhukov et al.,
    "Double/debiased machine learning", 2018, §1), so that no label rests on its own truth.
    """
    sample = gold.like_ordinary()
    items = np.unique(evidence.answers.item[sample])
    spec, confidence, right = evidence.spec, [], []
    folds = FOLDS if len(evidence.counted) <= MANY_ANSWERS else FEW_FOLDS
    for fold in range(min(folds, len(items))):
        held = np.zeros(len(evidence.items.ids), dtype=bool)
        held[items[fold::folds]] = True
        truth_of = {evidence.items.ids[at]: _value(evidence, evidence.items.truth[at]) for at in np.flatnonzero(held)}
        learned = relabeler.fit(evidence.is_gold & ~held)
        for made in relabeler.labels(sample[held[evidence.answers.item[sample]]], learned):
            confidence.append(made.confidence)
            right.append(same(spec, spec.main(made.value), spec.main(truth_of[made.task])))
    return GoldLabels(np.array(confidence, dtype=np.float64), np.array(right, dtype=bool))


def _value(evidence: Evidence, number: np.int32) -> Any:
    return evidence.values[number]
