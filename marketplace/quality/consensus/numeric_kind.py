"""Numbers on a scale as a kind of label: the fit of `numeric`, held inside the scale, its confidence set by gold."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from marketplace.quality.consensus.engine import AnswerRow, Calibration, Learned, TaskConsensus
from marketplace.quality.consensus.numeric import NumericFit, fit_numeric
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
from marketplace.quality.consensus.worker_skill import skills_of
from marketplace.quality.spec import LabelSpec

Floats = npt.NDArray[np.float64]

_LEAST_REACH: Final = 0.005
"""Without a tolerance and a step, numbers are the same up to this share of the scale."""
_FACTORS: Final = np.exp(np.linspace(np.log(0.25), np.log(8.0), 71))
_DOUBT: Final = 1.0
"""How far (standard deviation of the logarithm) the factor is expected to be from 1 before gold speaks."""
_LEAST_GOLD: Final = 10


class _Coded(NamedTuple):
    """Answers by codes, tasks and workers in the order of their ids."""

    tasks: list[UUID]
    workers: list[UUID]
    task: npt.NDArray[np.int64]
    worker: npt.NDArray[np.int64]
    value: Floats


class NumericModel:
    """Values of numeric scales; see `numeric` for the model."""

    def fit(self, spec: LabelSpec, answers: Sequence[AnswerRow], gold: Mapping[UUID, Any], seed: int) -> Learned:
        """Learn biases, scales and variances; with gold, also how honest the spread is.

        Raises ValueError for numbers that are not finite.
        """
        coded = _encode(spec, answers)
        known = {
            index: float(spec.main(gold[task])) for index, task in enumerate(coded.tasks) if task in gold
        }  # fmt: skip
        fit = fit_numeric(coded.task, coded.worker, coded.value, gold=known, seed=seed)
        free = fit_numeric(coded.task, coded.worker, coded.value, seed=seed) if len(known) >= _LEAST_GOLD else fit
        calibration = _calibrate(free, known, reach_of(spec))
        factor = calibration.parameters[0] if calibration.parameters else 1.0
        off = coded.value - fit.value[coded.task]
        right = within(off, factor * fit.spread[coded.task], reach_of(spec))
        on_gold = np.isin(coded.task, list(known))
        count = len(coded.workers)
        skills = skills_of(
            coded.workers,
            np.bincount(coded.worker, weights=right, minlength=count),
            np.bincount(coded.worker, minlength=count),
            np.bincount(coded.worker, weights=on_gold, minlength=count),
        )
        return Learned(skills, _to_json(coded.workers, fit.model), fit.record, calibration)

    def consolidate(
        self, spec: LabelSpec, answers: Sequence[AnswerRow], learned: Learned, seed: int
    ) -> list[TaskConsensus]:
        """Return the value of each task inside the scale and on its steps, and how probably the truth is near it."""
        del seed
        coded = _encode(spec, answers)
        if not coded.tasks:
            return []
        model = _from_json(learned.parameters, coded.workers)
        middle, spread = place_tasks(model, _as_answers(coded, model.frame))
        factor = learned.calibration.parameters[0] if learned.calibration.parameters else 1.0
        shown = on_scale(spec, middle)
        sure = within(shown - middle, factor * spread, reach_of(spec))
        same = np.abs(coded.value - shown[coded.task]) <= reach_of(spec)
        given = np.bincount(coded.task, minlength=len(coded.tasks))
        agreeing = np.bincount(coded.task, weights=same, minlength=len(coded.tasks)) / given
        return [
            TaskConsensus(
                task,
                spec.answer(float(shown[index])),
                float(sure[index]),
                {"agreeing": float(agreeing[index]), "spread": float(factor * spread[index])},
                int(given[index]),
            )
            for index, task in enumerate(coded.tasks)
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


def _calibrate(free: NumericFit, known: Mapping[int, float], reach: float) -> Calibration:
    """Choose the factor on all spreads under which gold falls within reach as often as is said.

    Maximum a posteriori over a grid, on a fit that has not seen the gold; a one-parameter form of Platt's scaling
    ("Probabilistic Outputs for Support Vector Machines", 1999) that keeps the order of confidences.
    """
    if len(known) < _LEAST_GOLD:
        return Calibration()
    index = np.array(sorted(known), dtype=np.int64)
    # the ids of the fit are the codes, all of which have answers
    off = np.array([known[one] for one in index.tolist()]) - free.value[index]
    hit = np.abs(off) <= reach
    said = np.clip(within(0.0, _FACTORS[:, None] * free.spread[index], reach), 1e-6, 1 - 1e-6)
    score = np.where(hit, np.log(said), np.log1p(-said)).sum(axis=1) - np.log(_FACTORS) ** 2 / (2 * _DOUBT**2)
    return Calibration("spread", (float(_FACTORS[int(score.argmax())]),), len(index))


def _encode(spec: LabelSpec, answers: Sequence[AnswerRow]) -> _Coded:
    ordered = sorted(answers, key=lambda row: (row.task, row.worker))
    tasks = sorted({row.task for row in ordered})
    workers = sorted({row.worker for row in ordered})
    task_at = {task: index for index, task in enumerate(tasks)}
    worker_at = {worker: index for index, worker in enumerate(workers)}
    return _Coded(
        tasks,
        workers,
        np.array([task_at[row.task] for row in ordered], dtype=np.int64),
        np.array([worker_at[row.worker] for row in ordered], dtype=np.int64),
        np.array([float(spec.main(row.value)) for row in ordered], dtype=np.float64),
    )


def _as_answers(coded: _Coded, frame: Frame) -> Answers:
    count = len(coded.tasks)
    return Answers(
        coded.task, coded.worker, standardise(frame, coded.value), count, len(coded.workers),
        np.zeros(count, dtype=bool), np.zeros(count),
    )  # fmt: skip


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
