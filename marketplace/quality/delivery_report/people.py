"""Workers' figures: gold, agreement with the labels, time; and how they are spread."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from marketplace.quality.delivery_report.evidence import NONE, Bools, Evidence, Floats
from marketplace.quality.delivery_report.golden import GoldAnswers
from marketplace.quality.delivery_report.schemas import HistogramBin, WorkerDistribution, WorkerFigures
from marketplace.quality.policy import jeffreys
from marketplace.quality.similarity import same

LISTED: Final = 200
"""How many workers a report lists, those with the most answers; its histogram counts all."""
BINS: Final = 10
_COMPARABLE: Final = 2


def says_the_label(evidence: Evidence) -> tuple[NDArray[np.intp], Bools]:
    """Return the places of counted answers to tasks with two such answers or more, and whether each says the label."""
    answers, labels = evidence.answers, evidence.items.label
    item = answers.item[evidence.counted]
    comparable = (evidence.count_per_item(evidence.counted)[item] >= _COMPARABLE) & (labels[item] != NONE)
    places = evidence.counted[comparable]
    pairs, of = np.unique(
        np.column_stack([labels[answers.item[places]], answers.value[places]]), axis=0, return_inverse=True
    )
    spec, values = evidence.spec, evidence.values
    hits = [same(spec, spec.main(values[value]), spec.main(values[label])) for label, value in pairs]
    return places, np.asarray(hits, dtype=bool)[of.reshape(-1)]


def worker_distribution(evidence: Evidence, gold: GoldAnswers) -> WorkerDistribution:
    """Return the figures of the workers whose answers the labels are made of."""
    answers, count = evidence.answers, len(evidence.workers)
    given = np.bincount(answers.worker[evidence.counted], minlength=count)
    right, seen = gold.by_worker()
    places, hits = says_the_label(evidence)
    compared = np.bincount(answers.worker[places], minlength=count)
    agreed = np.bincount(answers.worker[places[hits]], minlength=count)
    seconds = _medians(evidence, count)
    order = [at for at in np.lexsort((np.arange(count), -given)).tolist() if given[at]]
    listed = []
    for at in order[:LISTED]:
        low, high = jeffreys(int(right[at]), int(seen[at])) if seen[at] else (None, None)
        listed.append(WorkerFigures(
            worker=evidence.workers[at], answers=int(given[at]), gold_right=int(right[at]), gold_seen=int(seen[at]),
            accuracy=float(right[at] / seen[at]) if seen[at] else None, accuracy_low=low, accuracy_high=high,
            agreed=int(agreed[at]), compared=int(compared[at]), median_seconds=seconds[at],
        ))  # fmt: skip
    working = np.array(order, dtype=np.intp)
    by_gold = bool(seen[working].any())
    part, whole = (right, seen) if by_gold else (agreed, compared)
    shares = part[working][whole[working] > 0] / whole[working][whole[working] > 0]
    return WorkerDistribution(
        measure="gold" if by_gold else "agreement", workers=len(order), listed=listed, histogram=_histogram(shares)
    )


def _medians(evidence: Evidence, count: int) -> list[float | None]:
    """Return each worker's median seconds over the counted answers."""
    worker, seconds = evidence.answers.worker[evidence.counted], evidence.answers.seconds[evidence.counted]
    order = np.argsort(worker, kind="stable")
    cuts = np.searchsorted(worker[order], np.arange(count + 1))
    return [
        float(np.median(seconds[order[low:high]])) if high > low else None
        for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)
    ]


def _histogram(shares: Floats) -> list[HistogramBin]:
    counts = np.bincount(np.minimum((shares * BINS).astype(int), BINS - 1), minlength=BINS)
    return [HistogramBin(low=at / BINS, high=(at + 1) / BINS, workers=int(counts[at])) for at in range(BINS)]
