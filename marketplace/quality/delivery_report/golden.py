"""Answers to gold items: which of them were judged, which are right, and which stand for ordinary work.

Which answers may tell how good labels are is a matter of bias. Only accepted bundles make labels, but a bundle is
accepted because its gold is right, and a rework sees the same gold twice: gold of accepted newest revisions flatters.
So the sample is made of every worker's first try, of those workers whose answers the labels are made of. And gold is
met by more workers than an ordinary item: each gold item is cut to as many answers as an ordinary label rests on.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from marketplace.catalog.answers import make_validator
from marketplace.catalog.label_schemas import read_definition
from marketplace.quality.delivery_report.evidence import Bools, Evidence, Ints
from marketplace.quality.similarity import same

Places = NDArray[np.intp]


class GoldAnswers:
    """The judged answers to gold items of one request, each in columns of the same length."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        answers = evidence.answers
        gold = np.flatnonzero(evidence.is_gold[answers.item])
        self._valid = _valid_values(evidence, np.unique(answers.value[gold]))
        judged = _judged(evidence, gold)
        self.places: Places = gold[judged & self._valid[answers.value[gold]]]
        """Where in `Evidence.answers` they are; answers that the label schema refuses were never compared."""

    @cached_property
    def right(self) -> Bools:
        """Of each, whether it says the same as the truth."""
        evidence, spec = self._evidence, self._evidence.spec
        truths, given = evidence.items.truth[evidence.answers.item[self.places]], evidence.answers.value[self.places]
        pairs, of = np.unique(np.column_stack([truths, given]), axis=0, return_inverse=True)
        hits = [
            same(spec, spec.main(evidence.values[value]), spec.main(evidence.values[truth])) for truth, value in pairs
        ]
        return np.asarray(hits, dtype=bool)[of.reshape(-1)]

    def by_worker(self) -> tuple[Ints, Ints]:
        """Return how many were right and how many seen, of each worker: every try counts."""
        workers, count = self._evidence.answers.worker[self.places], len(self._evidence.workers)
        right = np.bincount(workers[self.right], minlength=count)
        return right.astype(np.int32), np.bincount(workers, minlength=count).astype(np.int32)

    def like_ordinary(self) -> Places:
        """Return the places of the answers that stand for ordinary work, by the rules above.

        Which answers to a gold item are kept is drawn with the request's seed; an item with fewer answers than the
        plan's least overlap has none.
        """
        evidence, answers = self._evidence, self._evidence.answers
        working = np.zeros(len(evidence.workers), dtype=bool)
        working[answers.worker[evidence.counted]] = True
        first = self.places[answers.counts[self.places] & working[answers.worker[self.places]]]
        enough = evidence.count_per_item(first) >= evidence.plan.overlap_min
        kept = first[enough[answers.item[first]]]
        luck = np.random.default_rng(evidence.header.seed).random(len(kept))
        order = np.lexsort((luck, answers.item[kept]))
        drawn = kept[order]
        starts = np.searchsorted(answers.item[drawn], answers.item[drawn])
        return np.sort(drawn[np.arange(len(drawn)) - starts < usual_overlap(evidence)])


def usual_overlap(evidence: Evidence) -> int:
    """Return how many answers an ordinary label rests on, the rounded mean; at least one."""
    counts = evidence.count_per_item(evidence.counted)
    return max(1, round(float(counts[counts > 0].mean()))) if counts.any() else 1


def _valid_values(evidence: Evidence, wanted: NDArray[np.int32]) -> Bools:
    validator = make_validator(read_definition(evidence.header.label_definition))
    valid = np.zeros(len(evidence.values), dtype=bool)
    for number in wanted:
        valid[number] = not validator.validate(evidence.values[number])
    return valid


def _judged(evidence: Evidence, places: Places) -> Bools:
    """Return which of these answers belong to a revision that has a verdict."""
    answers = evidence.answers
    most = 1 + int(answers.revision.max(initial=0))
    decided = np.array([v.claim * most + v.revision for v in evidence.verdicts if v.revision < most], dtype=np.int64)
    return np.isin(answers.claim[places].astype(np.int64) * most + answers.revision[places], decided)
