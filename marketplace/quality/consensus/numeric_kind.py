"""Numbers on a scale as a kind of label: the fit of `numeric`, held inside the scale, its confidence set by gold."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from marketplace.quality.consensus.coded_rows import CodedRows, code_rows
from marketplace.quality.consensus.engine import AnswerRow, Calibration, Learned, TaskConsensus
from marketplace.quality.consensus.numeric import fit_numeric
from marketplace.quality.consensus.numeric_model import (
    Answers,
    Crowd,
    Frame,
    NumericParameters,
    Pool,
    fresh_crowd,
    place_tasks,
    standardise,
    within,
)
from marketplace.quality.consensus.ordinal_kind import OrdinalModel, is_ordinal
from marketplace.quality.consensus.tempering import calibrate_line, on_line
from marketplace.quality.consensus.worker_skill import skills_of
from marketplace.quality.spec import LabelSpec

Floats = npt.NDArray[np.float64]

_LEAST_REACH: Final = 0.005
"""Without a tolerance and a step, numbers are the same up to this share of the scale."""


class NumericModel:
    """Values of numeric scales; see `numeric` for the model, and `ordinal` for that of scales of few steps."""

    def fit(self, spec: LabelSpec, answers: Sequence[AnswerRow], gold: Mapping[UUID, Any], seed: int) -> Learned:
        """Learn biases, scales and variances; with gold, also how honest the confidence is.

        Raises ValueError for numbers that are not finite.
        """
        if is_ordinal(spec):
            return OrdinalModel().fit(spec, answers, gold, seed)
        rows = code_rows(answers)
        numbers = _numbers(spec, rows)
        known = {index: float(spec.main(gold[task])) for index, task in enumerate(rows.tasks) if task in gold}
        fit = fit_numeric(rows.task, rows.worker, numbers, gold=known, seed=seed, scale=(spec.low, spec.high))
        blind = place_tasks(fit.model, _as_answers(rows, numbers, fit.model.frame))
        calibration = _calibrate(blind, known, reach_of(spec))
        right = within(numbers - fit.value[rows.task], fit.spread[rows.task], reach_of(spec))
        on_gold = np.isin(rows.task, list(known))
        skills = skills_of(rows.workers, rows.by_worker(right), rows.by_worker(), rows.by_worker(on_gold))
        return Learned(skills, _to_json(rows.workers, fit.model), fit.record, calibration)

    def consolidate(
        self, spec: LabelSpec, answers: Sequence[AnswerRow], learned: Learned, seed: int
    ) -> list[TaskConsensus]:
        """Return the value of each task inside the scale and on its steps, and how probably the truth is near it."""
        if is_ordinal(spec):
            return OrdinalModel().consolidate(spec, answers, learned, seed)
        rows = code_rows(answers)
        if not rows.tasks:
            return []
        numbers = _numbers(spec, rows)
        model = _from_json(learned.parameters, rows.workers)
        middle, spread = place_tasks(model, _as_answers(rows, numbers, model.frame))
        shown = on_scale(spec, middle)
        sure = on_line(within(shown - middle, spread, reach_of(spec)), learned.calibration)
        given = rows.by_task()
        agreeing = rows.by_task(np.abs(numbers - shown[rows.task]) <= reach_of(spec)) / given
        return [
            TaskConsensus(
                task,
                spec.answer(float(shown[index])),
                float(sure[index]),
                {"agreeing": float(agreeing[index]), "spread": float(spread[index])},
                int(given[index]),
            )
            for index, task in enumerate(rows.tasks)
        ]


def reach_of(spec: LabelSpec) -> float:
    """Return the difference up to which two numbers are the same: the tolerance, and at least half a step."""
    least = _LEAST_REACH * (spec.high - spec.low) if spec.step is None else spec.step / 2
    return max(spec.tolerance, least)


def on_scale(spec: LabelSpec, numbers: Floats) -> Floats:
    """Return the nearest numbers that the scale has."""
    held = np.clip(numbers, spec.low, spec.high)
    if spec.step is None:
        return np.asarray(held, dtype=np.float64)
    last = np.floor((spec.high - spec.low) / spec.step + 1e-9)
    steps = np.minimum(np.rint((held - spec.low) / spec.step), last)
    # twelve digits: a step of 0.1 must not show as 0.30000000000000004
    return np.asarray(np.round(spec.low + steps * spec.step, 12), dtype=np.float64)


def _calibrate(blind: tuple[Floats, Floats], known: Mapping[int, float], reach: float) -> Calibration:
    """Choose how confidences are corrected, from values that are placed without it."""
    index = np.array(sorted(known), dtype=np.int64)
    off = np.array([known[one] for one in index.tolist()]) - blind[0][index]
    return calibrate_line(within(0.0, blind[1][index], reach), np.abs(off) <= reach)


def _numbers(spec: LabelSpec, rows: CodedRows) -> Floats:
    numbers = np.array([float(spec.main(row.value)) for row in rows.rows], dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("a number on the scale is not finite")
    return numbers


def _as_answers(rows: CodedRows, numbers: Floats, frame: Frame) -> Answers:
    count = len(rows.tasks)
    blank = np.zeros(count)
    return Answers(
        rows.task, rows.worker, standardise(frame, numbers), count, len(rows.workers), blank.astype(bool), blank
    )


def _to_json(workers: Sequence[UUID], model: NumericParameters) -> dict[str, Any]:
    crowd = model.crowd
    table = np.column_stack(
        [crowd.bias, crowd.scale, crowd.bias_var, crowd.scale_var, crowd.covariance, crowd.variance]
    )
    effects = {str(worker): row for worker, row in zip(workers, table.tolist(), strict=True)}
    return {"frame": list(model.frame), "pool": list(model.pool), "workers": effects}


def _from_json(parameters: Mapping[str, Any], workers: Sequence[UUID]) -> NumericParameters:
    """Return the crowd of these workers, those the fit had not met as the pool has it."""
    pool, known = Pool(*parameters["pool"]), parameters["workers"]
    new = fresh_crowd(pool, 1)
    blank = [float(part[0]) for part in (
        new.bias, new.scale, new.bias_var, new.scale_var, new.covariance, new.variance
    )]  # fmt: skip
    rows = [known.get(str(worker), blank) for worker in workers]
    columns = np.array(rows, dtype=np.float64).reshape(-1, 6).T
    return NumericParameters(Frame(*parameters["frame"]), pool, Crowd(*columns))
