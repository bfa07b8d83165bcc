"""The model of image shapes: objects grouped, judged to be there or not, and drawn in the middle of who saw them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import numpy as np

from marketplace.quality.consensus.engine import AnswerRow, Convergence, Learned, TaskConsensus, WorkerSkill
from marketplace.quality.consensus.numbered import skill_of
from marketplace.quality.consensus.posterior import cluster_confidence
from marketplace.quality.consensus.shapes.existence import (
    FALSE_MARK,
    RECALL,
    THERE,
    Existence,
    Sightings,
    fit_existence,
    log_odds,
)
from marketplace.quality.consensus.shapes.middle import middle_shape
from marketplace.quality.geometry import Shape, read_shapes
from marketplace.quality.matching_shapes import group
from marketplace.quality.policy import PRIOR_ACCURACY, PRIOR_STRENGTH
from marketplace.quality.similarity import same
from marketplace.quality.spec import LabelSpec

_TRUTH: Final = -1


@dataclass(frozen=True, slots=True)
class _Marked:
    """One group of shapes on a task: who marked the object, with which shape; `true` when the gold has it."""

    workers: tuple[UUID, ...]
    shapes: tuple[Shape, ...]
    true: bool


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A task with who answered it and the objects that they marked."""

    task: UUID
    rows: list[AnswerRow]
    objects: list[_Marked]
    is_known: bool


class ShapesModel:
    """Objects on images (boxes, polygons, key points, masks), with two error rates a worker."""

    def fit(self, spec: LabelSpec, answers: Sequence[AnswerRow], gold: Mapping[UUID, Any], seed: int) -> Learned:  # noqa: ARG002  # nothing is drawn
        """Learn each worker's recall and false marks by EM, and how often their whole answer is the consensus."""
        sheets = [_read(spec, task, rows, gold.get(task)) for task, rows in _by_task(answers)]
        workers = sorted({row.worker for row in answers})
        place = {worker: index for index, worker in enumerate(workers)}
        found = fit_existence(_sightings(sheets, place))
        parameters = {
            "there": found.there,
            "rates": {str(worker): [float(found.recall[i]), float(found.false_mark[i])] for worker, i in place.items()},
        }
        record = Convergence("two_coin_objects", len(found.objective), found.converged, found.objective)
        return Learned(_skills(spec, sheets, found, gold), parameters, record)

    def consolidate(
        self,
        spec: LabelSpec,
        answers: Sequence[AnswerRow],
        learned: Learned,
        seed: int,  # noqa: ARG002  # as above
    ) -> list[TaskConsensus]:
        """Return of each task the objects that are more probably there than not, each in the middle of its shapes.

        `distribution` holds the probability of each object that was kept ("object 0", in the order of the value), of
        the likeliest that was not ("left_out"), and the share of weight whose whole answer is the same ("agreeing").
        """
        return [_judge(spec, _read(spec, task, rows, None), learned) for task, rows in _by_task(answers)]


def _by_task(answers: Iterable[AnswerRow]) -> Iterable[tuple[UUID, list[AnswerRow]]]:
    ordered = sorted(answers, key=lambda answer: (answer.task, answer.worker))
    for task, rows in groupby(ordered, key=lambda row: row.task):
        yield task, list(rows)


def _read(spec: LabelSpec, task: UUID, rows: list[AnswerRow], truth: Any) -> _Sheet:
    shapes: list[Shape] = []
    owners: list[int] = []
    for owner, row in enumerate(rows):
        drawn = read_shapes(spec.main(row.value))
        shapes += drawn
        owners += [owner] * len(drawn)
    if truth is not None:
        drawn = read_shapes(spec.main(truth))
        shapes += drawn
        owners += [_TRUTH] * len(drawn)
    objects = []
    for members in group(shapes, owners):
        seen = [index for index in members if owners[index] != _TRUTH]
        objects.append(
            _Marked(
                tuple(rows[owners[index]].worker for index in seen),
                tuple(shapes[index] for index in seen),
                len(seen) < len(members),
            )
        )
    return _Sheet(task, rows, objects, truth is not None)


def _sightings(sheets: Sequence[_Sheet], place: Mapping[UUID, int]) -> Sightings:
    number: list[int] = []
    worker: list[int] = []
    marked: list[bool] = []
    known: list[int] = []
    for sheet in sheets:
        for each in sheet.objects:
            for row in sheet.rows:
                number.append(len(known))
                worker.append(place[row.worker])
                marked.append(row.worker in each.workers)
            known.append(int(each.true) if sheet.is_known else -1)
    return Sightings(
        np.array(number, dtype=np.int64),
        np.array(worker, dtype=np.int64),
        np.array(marked, dtype=bool),
        np.array(known, dtype=np.int64),
        len(place),
    )


def _rates(learned: Learned, worker: UUID) -> tuple[float, float]:
    recall, false_mark = learned.parameters["rates"].get(str(worker), (RECALL, FALSE_MARK))
    return float(recall), float(false_mark)


def _probability(sheet: _Sheet, each: _Marked, learned: Learned) -> float:
    rates = np.array([_rates(learned, row.worker) for row in sheet.rows])
    marks = np.array([row.worker in each.workers for row in sheet.rows])
    there = float(learned.parameters.get("there", THERE))
    odds = np.log(there / (1 - there)) + log_odds(rates[:, 0], rates[:, 1], marks).sum()
    return float(1 / (1 + np.exp(-odds)))


def _judge(spec: LabelSpec, sheet: _Sheet, learned: Learned) -> TaskConsensus:
    chances = [_probability(sheet, each, learned) for each in sheet.objects]
    kept = [index for index, chance in enumerate(chances) if chance >= 0.5]
    value = [_drawn(sheet.objects[index], learned) for index in kept]
    agrees = [same(spec, spec.main(row.value), value) for row in sheet.rows]
    accuracy = [_accuracy(learned, row.worker) for row in sheet.rows]
    agreeing = sum(weight for weight, agreed in zip(accuracy, agrees, strict=True) if agreed) / sum(accuracy)
    distribution = {"agreeing": agreeing, **{f"object {n}": chances[index] for n, index in enumerate(kept)}}
    if left := [chance for chance in chances if chance < 0.5]:
        distribution["left_out"] = max(left)
    confidence = cluster_confidence(agrees, accuracy)
    return TaskConsensus(sheet.task, spec.answer(value), confidence, distribution, len(sheet.rows))


def _drawn(each: _Marked, learned: Learned) -> dict[str, Any]:
    return dict(middle_shape(each.shapes, [_rates(learned, worker)[0] for worker in each.workers]))


def _accuracy(learned: Learned, worker: UUID) -> float:
    skill = learned.workers.get(worker)
    return PRIOR_ACCURACY if skill is None else skill.accuracy


def _skills(
    spec: LabelSpec, sheets: Sequence[_Sheet], found: Existence, gold: Mapping[UUID, Any]
) -> dict[UUID, WorkerSkill]:
    """Count how often each worker's whole answer is the consensus (or the truth where it is known), with a prior."""
    tally: dict[UUID, list[int]] = {}
    start = 0
    for sheet in sheets:
        chances = found.probability[start : start + len(sheet.objects)]
        start += len(sheet.objects)
        if sheet.is_known:
            right = spec.main(gold[sheet.task])
        else:
            kept = [each for each, chance in zip(sheet.objects, chances, strict=True) if chance >= 0.5]
            right = [dict(middle_shape(each.shapes, [1.0] * len(each.shapes))) for each in kept]
        for row in sheet.rows:
            counts = tally.setdefault(row.worker, [0, 0, 0])
            counts[0] += same(spec, spec.main(row.value), right)
            counts[1] += 1
            counts[2] += sheet.is_known
    prior, missed = PRIOR_STRENGTH * PRIOR_ACCURACY, PRIOR_STRENGTH * (1 - PRIOR_ACCURACY)
    return {
        worker: skill_of(good + prior, given - good + missed, given, known)
        for worker, (good, given, known) in tally.items()
    }
