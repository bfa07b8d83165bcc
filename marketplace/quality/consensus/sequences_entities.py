"""A second look at whole entities: where workers' spans meet, one of the readings given there is true, or none is.

Tags of one entity are no independent evidence: who overlooks it, misnames it or cuts it short does so once. So the
chain's posterior of each reading is the start, from it follow each worker's habits (false alarms; finding, by label;
edges, by the entity's length; names given to each label), all shrunk to everyone's, and from these the posterior of
each reading by Bayes' rule: one round of EM of the model of Dawid and Skene (1979) over readings instead of tags.
The mean of both posteriors is nearer to the truth than either alone (they err in different places).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

import numpy as np

from marketplace.quality.consensus.sequences_tags import Answers, Floats, Ints, Span, spans_of

SHRINK: Final = 6.0
EDGE_SHRINK: Final = 10.0
_NONE: Final = -1
_SAME, _SHORTER, _LONGER, _OTHER = range(4)
Reading = tuple[Span, ...]
Marks = Sequence[tuple[int, Reading]]


@dataclass(frozen=True, slots=True)
class Habits:
    """What workers do, as expected counts; the last row is everyone together.

    `alarm[w]` (nothing, something) where nothing is; `found[w, label]` (missed, marked); `edge[w, single or longer]`
    (same, shorter, longer, other) of what was marked; `named[w, label, name given]`; `label` how many readings have
    each label, at the end none.
    """

    alarm: Floats
    found: Floats
    edge: Floats
    named: Floats
    label: Floats


class _Pairs(NamedTuple):
    """One row for each worker and reading of a meeting: what the worker did against what would be true."""

    worker: Ints
    reading: Ints
    marked: Ints
    name: Ints
    edge: Ints
    size: Ints


class Readings:
    """All meetings of spans in the answers, their readings, and the pairs of workers and readings."""

    def __init__(self, answers: Sequence[Answers], labels: Sequence[str]) -> None:
        self.labels = labels
        self._number = {label: number for number, label in enumerate(labels)}
        self.readings: list[tuple[int, Reading]] = []
        meeting: list[int] = []
        ways: list[int] = []
        rows: list[tuple[int, int, int, int, int, int]] = []
        meetings = 0
        for sentence, given in enumerate(answers):
            for marks in _meetings([(worker, tuple(spans_of(tags))) for worker, tags in given]):
                found, edges = _readings(marks)
                for reading in found:
                    rows += [self._pair(worker, len(self.readings), mark, reading) for worker, mark in marks]
                    self.readings.append((sentence, reading))
                meeting += [meetings] * len(found)
                ways += [edges] * len(found)
                meetings += 1
        table = np.array(rows, dtype=np.int64).reshape(-1, 6).T
        self.pairs = _Pairs(*table)
        self.label = np.array([self._label(reading) for _, reading in self.readings], dtype=np.int64)
        self.meeting = np.array(meeting, dtype=np.int64)
        self.ways = np.array(ways, dtype=np.int64)
        self._starts = np.flatnonzero(np.diff(self.meeting, prepend=-1))

    def start(self, probability: Mapping[tuple[int, Span], float]) -> Floats:
        """Return the probability of each reading from those of spans; what is left is that of none."""
        each = [
            min((probability.get((sentence, span), 0.0) for span in reading), default=0.0)
            for sentence, reading in self.readings
        ]
        if not each:
            return np.zeros(0)
        found = np.array(each)
        total = np.add.reduceat(found, self._starts)[self.meeting]
        found = np.where(self.label == _NONE, np.maximum(0.0, 1.0 - total), found / np.maximum(total, 1.0)) + 1e-6
        return self._normalized(found)

    def habits(self, probability: Floats, workers: int) -> Habits:
        """Return what each worker did, in expectation."""
        pairs, count = self.pairs, len(self.labels)
        weight, label = probability[pairs.reading], self.label[pairs.reading]
        none, marked = label == _NONE, pairs.marked == 1

        def table(rows: Ints, shape: tuple[int, ...], *places: Ints) -> Floats:
            if not rows.any():
                return np.zeros((workers + 1, *shape))
            flat = np.ravel_multi_index([part[rows] for part in (pairs.worker, *places)], (workers, *shape))
            found = np.bincount(flat, weight[rows], workers * int(np.prod(shape))).reshape(workers, *shape)
            return np.concatenate([found, found.sum(axis=0, keepdims=True)])

        some = ~none & marked
        return Habits(
            table(none, (2,), pairs.marked),
            table(~none, (count, 2), label, pairs.marked),
            table(some, (2, 4), pairs.size, pairs.edge),
            table(some, (count, count), label, pairs.name),
            np.asarray(
                np.bincount(np.where(self.label == _NONE, count, self.label), probability, count + 1), np.float64
            ),
        )

    def judged(self, habits: Habits) -> Floats:
        """Return the posterior of each reading for workers of such habits."""
        pairs = self.pairs
        label, ways = self.label[pairs.reading], self.ways[pairs.reading]
        none, marked = label == _NONE, pairs.marked == 1
        alarm, found, edge, named, name = _rates(habits)
        at = np.maximum(label, 0)
        false = np.where(marked, alarm[pairs.worker] * name[pairs.name] / ways, 1 - alarm[pairs.worker])
        share = np.where(pairs.edge == _SAME, 1, np.maximum(ways - 1, 1))
        right = edge[pairs.worker, pairs.size, pairs.edge] * named[pairs.worker, at, pairs.name] / share
        seen = found[pairs.worker, at]
        log = np.log(np.where(none, false, np.where(marked, seen * right, 1 - seen)))
        prior = (habits.label + 1) / (habits.label + 1).sum()
        own = np.where(self.label == _NONE, prior[-1], prior[self.label] / self.ways)
        score = np.bincount(pairs.reading, log, len(self.readings)) + np.log(own)
        top = np.maximum.reduceat(score, self._starts)[self.meeting]
        return self._normalized(np.exp(score - top))

    def spans(self, probability: Floats) -> dict[tuple[int, Span], float]:
        """Return the probability of each span that some reading has, by sentence."""
        found: dict[tuple[int, Span], float] = {}
        for (sentence, reading), value in zip(self.readings, probability, strict=True):
            for span in reading:
                found[sentence, span] = found.get((sentence, span), 0.0) + float(value)
        return found

    def _normalized(self, values: Floats) -> Floats:
        return np.asarray(values / np.add.reduceat(values, self._starts)[self.meeting], dtype=np.float64)

    def _label(self, reading: Reading) -> int:
        return self._number[reading[0][2]] if reading else _NONE

    def _pair(self, worker: int, number: int, mark: Reading, reading: Reading) -> tuple[int, int, int, int, int, int]:
        longer = int(not reading or reading[0][1] - reading[0][0] > 1)
        return worker, number, int(bool(mark)), max(self._label(mark), 0), _edge(mark, reading), longer


def _rates(habits: Habits) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return P(alarm), P(found), P(edge), P(name | label), P(name | alarm): each worker's shrunk to everyone's."""
    alarm, found, edge, named = habits.alarm, habits.found, habits.edge, habits.named
    of_all = (alarm[-1, 1] + 1) / (alarm[-1].sum() + 4)
    false = (alarm[:-1, 1] + SHRINK * of_all) / (alarm[:-1].sum(axis=1) + SHRINK)
    usual = (found[-1, :, 1].sum() + 2) / (found[-1].sum() + 3)
    by_label = (found[-1, :, 1] + 10 * usual) / (found[-1].sum(axis=1) + 10)
    own = found[:-1].sum(axis=1)
    by_worker = (own[:, 1] + SHRINK * usual) / (own.sum(axis=1) + SHRINK)
    base = 1 / (1 + np.exp(_logit(usual) - _logit(by_worker)[:, None] - _logit(by_label)[None]))
    seen = (found[:-1, :, 1] + SHRINK * base) / (found[:-1].sum(axis=2) + SHRINK)
    edge_all = _shares(edge[-1] + np.array([4.0, 0.5, 0.5, 0.2]))
    named_all = _shares(named[-1] + 2 * np.eye(named.shape[1]) + 0.2)
    spread = _shares(named[-1].sum(axis=0) + 1)
    return false, seen, _shares(edge[:-1] + EDGE_SHRINK * edge_all), _shares(named[:-1] + SHRINK * named_all), spread


def _logit(share: Floats) -> Floats:
    return np.asarray(np.log(share / (1 - share)), dtype=np.float64)


def _shares(counts: Floats) -> Floats:
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True), dtype=np.float64)


def _meetings(marks: Marks) -> list[Marks]:
    """Return, for each stretch of tokens where spans meet, what every worker of the sentence marked there."""
    edges = sorted({(start, end) for _, spans in marks for start, end, _ in spans})
    stretches: list[tuple[int, int]] = []
    for start, end in edges:
        if stretches and start < stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], max(end, stretches[-1][1]))
        else:
            stretches.append((start, end))
    return [
        [(worker, tuple(span for span in spans if low <= span[0] < high)) for worker, spans in marks]
        for low, high in stretches
    ]


def _readings(marks: Marks) -> tuple[list[Reading], int]:
    """Return what may be true where spans meet (none, what was marked, each span under each label), and the edges."""
    given = {mark for _, mark in marks if mark}
    spans = set(chain.from_iterable(given))
    labels = {label for _, _, label in spans}
    single: set[Reading] = {((start, end, label),) for start, end, _ in spans for label in labels}
    edges = {tuple((start, end) for start, end, _ in reading) for reading in given | single}
    return [(), *sorted(given | single)], len(edges)


def _edge(mark: Reading, reading: Reading) -> int:
    """Return how the edges of what was marked lie to those of a reading."""
    if not mark or not reading or [span[:2] for span in mark] == [span[:2] for span in reading]:
        return _SAME
    if len(mark) > 1 or len(reading) > 1:
        return _OTHER
    if mark[0][0] >= reading[0][0] and mark[0][1] <= reading[0][1]:
        return _SHORTER
    return _LONGER if mark[0][0] <= reading[0][0] and mark[0][1] >= reading[0][1] else _OTHER
