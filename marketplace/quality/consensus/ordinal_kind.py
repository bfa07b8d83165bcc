"""Scales of few steps as a kind of label: the posterior over steps of `ordinal`, its confidence set by gold."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.coded_rows import CodedRows, code_rows
from marketplace.quality.consensus.engine import AnswerRow, Calibration, Learned, TaskConsensus
from marketplace.quality.consensus.ordinal import (
    Grid,
    OrdinalParameters,
    StepAnswers,
    fit_ordinal,
    ordinal_grid,
    place_steps,
)
from marketplace.quality.consensus.posterior import pick
from marketplace.quality.consensus.tempering import FACTORS, LEAST_GOLD, calibrate, factor_of, tempered
from marketplace.quality.consensus.worker_skill import skills_of
from marketplace.quality.spec import LabelSpec

Floats = npt.NDArray[np.float64]

_MOST_STEPS: Final = 11


def is_ordinal(spec: LabelSpec) -> bool:
    """Return whether a scale has so few steps that each is a class of its own."""
    return spec.kind is LabelKind.NUMERIC_SCALE and spec.step is not None and len(steps_of(spec)) <= _MOST_STEPS


def steps_of(spec: LabelSpec) -> Floats:
    """Return the numbers of a scale with steps, the first of them `low`; at most one more than an ordinal scale has."""
    step = spec.step or (spec.high - spec.low)
    count = min(int((spec.high - spec.low) / step + 1e-9), _MOST_STEPS) + 1
    # twelve digits: a step of 0.1 must not show as 0.30000000000000004
    return np.round(spec.low + step * np.arange(count), 12)


class OrdinalModel:
    """Labels of scales with at most eleven steps; `grid` gives the kinds of worker there may be, by number of steps."""

    def __init__(self, grid: Callable[[int], Grid] = ordinal_grid) -> None:
        self._grid = grid

    def fit(self, spec: LabelSpec, answers: Sequence[AnswerRow], gold: Mapping[UUID, Any], seed: int) -> Learned:
        """Learn each worker's shift and blur; with gold, also how honest the posterior is.

        Raises ValueError for numbers that are not finite.
        """
        del seed
        rows = code_rows(answers)
        steps = steps_of(spec)
        coded = _step_answers(spec, rows)
        known = {
            index: int(_nearest(spec, np.array([float(spec.main(gold[task]))]))[0])
            for index, task in enumerate(rows.tasks)
            if task in gold
        }
        kinds = self._grid(len(steps))
        fit = fit_ordinal(coded, known, kinds)
        calibration = Calibration()
        if len(known) >= LEAST_GOLD:
            free = fit_ordinal(coded, {}, kinds).posterior[list(known)]
            calibration = _calibrate(free, np.array(list(known.values())), near(steps, spec.tolerance))
        # a task's posterior already believes its own answers: the tempered one says less
        belief = tempered(fit.posterior, factor_of(calibration)) if rows.tasks else fit.posterior
        right = (belief @ near(steps, spec.tolerance))[coded.task, coded.label]
        on_gold = np.isin(coded.task, list(known))
        skills = skills_of(rows.workers, rows.by_worker(right), rows.by_worker(), rows.by_worker(on_gold))
        found = fit.parameters
        table = {str(worker): row for worker, row in zip(rows.workers, found.worker.tolist(), strict=True)}
        parameters = {"prior": found.prior.tolist(), "grid": found.grid.tolist(), "workers": table}
        return Learned(skills, parameters, fit.record, calibration)

    def consolidate(
        self, spec: LabelSpec, answers: Sequence[AnswerRow], learned: Learned, seed: int
    ) -> list[TaskConsensus]:
        """Return the step of each task that the truth is most probably near, and how probably it is."""
        del seed
        rows = code_rows(answers)
        if not rows.tasks:
            return []
        coded, known = _step_answers(spec, rows), learned.parameters["workers"]
        grid = learned.parameters["grid"]
        crowd = np.array([known.get(str(worker), grid) for worker in rows.workers])
        model = OrdinalParameters(np.array(learned.parameters["prior"]), np.array(grid), crowd)
        steps = steps_of(spec)
        raw = place_steps(coded, model.worker @ self._grid(len(steps)).logs, model.prior)
        sure = tempered(raw, factor_of(learned.calibration))
        names = [repr(float(step)) for step in steps]
        reached, given = sure @ near(steps, spec.tolerance), rows.by_task()
        score = _score(sure, steps, spec.tolerance)
        chosen = [pick(task, score[index], names) for index, task in enumerate(rows.tasks)]
        return [
            TaskConsensus(
                task,
                spec.answer(float(steps[best])),
                float(min(reached[index, best], 1.0)),
                dict(zip(names, sure[index].tolist(), strict=True)),
                int(given[index]),
            )
            for index, (task, best) in enumerate(zip(rows.tasks, chosen, strict=True))
        ]


def near(steps: Floats, tolerance: float) -> Floats:
    """Return which steps count as the same, steps × steps."""
    return np.asarray(np.abs(steps[:, None] - steps) <= tolerance + 1e-9, dtype=np.float64)


def _score(sure: Floats, steps: Floats, tolerance: float) -> Floats:
    """Return the probability of being within the tolerance; among equals the nearer step is a little better."""
    apart = np.abs(steps[:, None] - steps) / (steps[-1] - steps[0])
    return np.asarray(sure @ near(steps, tolerance) - 1e-6 * (sure @ apart), dtype=np.float64)


def _calibrate(free: Floats, truth: npt.NDArray[np.int64], same: Floats) -> Calibration:
    """Choose the temperature on a fit that has not seen the gold."""
    best = (free @ same).argmax(axis=1)
    place = np.arange(len(best))
    said = np.array([(tempered(free, factor) @ same)[place, best] for factor in FACTORS])
    return calibrate("temperature", said, same[best, truth] > 0)


def _step_answers(spec: LabelSpec, rows: CodedRows) -> StepAnswers:
    label = _nearest(spec, np.array([float(spec.main(row.value)) for row in rows.rows]))
    return StepAnswers(rows.task, rows.worker, label, len(rows.tasks), len(rows.workers), len(steps_of(spec)))


def _nearest(spec: LabelSpec, numbers: Floats) -> npt.NDArray[np.int64]:
    if not np.isfinite(numbers).all():
        raise ValueError("a number on the scale is not finite")
    steps = steps_of(spec)
    place = np.rint((numbers - spec.low) / (spec.step or 1.0))
    return np.clip(place, 0, len(steps) - 1).astype(np.int64)
