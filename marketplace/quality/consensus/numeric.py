"""Consensus of numbers: what each worker adds, stretches and blurs, learned together with the values of the tasks.

The model (a linear mixed model with robust errors, fitted by variational EM):

    y = b_w + g_w · x_t + e,   e ~ Student-t(ν) · s_w
    x_t ~ N(μ, τ),  b_w ~ N(0, β),  g_w ~ N(1, γ),  s_w² ~ scaled inverse χ²(k, pool)

so a worker's bias, scale and variance are shrunk to those of the pool, the more so the fewer answers they gave. It is
Raykar et al., "Learning From Crowds", JMLR 11 (2010), §5 (regression: a precision per worker), with the random effects
of Laird and Ware, Biometrics 38 (1982), the robust errors of Lange, Little and Taylor, JASA 84 (1989), and the
posterior of Gaussian factors as in Bishop, "Pattern Recognition and Machine Learning" (2006), ch. 10.

Where one number stands out among the answers ("nothing here" on a scale of intensities), workers differ by how far
they go from it and not by a constant: then it is the origin and there is no additive bias.

The value of a task is the mean of two forecasts, the model's and the plain (robust) mean of the answers, each weighted
by the inverse of its expected squared error: Bates and Granger, "The Combination of Forecasts", Operational Research
Quarterly 20 (1969). Where workers hardly differ that is nearly a plain mean, where they do it is the model's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from marketplace.quality.consensus.engine import Convergence
from marketplace.quality.consensus.numeric_model import (
    Answers,
    Floats,
    Ints,
    NumericParameters,
    learn,
    place_tasks,
    read_frame,
    standardise,
    within,
)

_TOLERANCE_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class NumericFit:
    """The values of tasks and what was learned of workers.

    Per task, in the order of `tasks` (distinct ids, sorted): `value`, `spread` (posterior standard deviation), and
    `confidence` (probability that the truth lies within `tolerance` of the value), in the answers' own unit.
    Per worker, in the order of `workers`: `bias` (what they add, in the answers' unit, at the origin or mean),
    `scale` (a factor, 1 for none) and `variance` of their errors (unit squared).
    """

    tasks: npt.NDArray[Any]
    value: Floats
    spread: Floats
    confidence: Floats
    workers: npt.NDArray[Any]
    bias: Floats
    scale: Floats
    variance: Floats
    tolerance: float
    record: Convergence
    model: NumericParameters


def fit_numeric(
    task: npt.ArrayLike,
    worker: npt.ArrayLike,
    value: npt.ArrayLike,
    *,
    gold: Mapping[Any, float] | None = None,
    seed: int = 0,
    tolerance: float | None = None,
    scale: tuple[float, float] | None = None,
) -> NumericFit:
    """Fit the model to answers: `value[i]` was given by `worker[i]` to `task[i]` (ids of any sortable kind).

    `gold` holds the true value of tasks whose truth is known; they are held there. `tolerance` is the difference up to
    which two numbers count as the same; without it a tenth of the answers' range. `scale` is the least and the
    greatest number that can be said, by which a handful of answers is judged; without it, by their own range. Nothing
    here is random, so `seed` changes nothing. Raises ValueError for arrays of unequal length and numbers that are not
    finite.
    """
    del seed
    tasks, task_code, workers, worker_code, numbers = _encode(task, worker, value)
    known = {} if gold is None else gold
    truth = np.array([float(known.get(one, 0.0)) for one in tasks.tolist()])
    fixed = np.array([one in known for one in tasks.tolist()], dtype=bool)
    if not np.isfinite(truth).all():
        raise ValueError("a gold number is not finite")
    frame = read_frame(numbers, len(tasks), scale)
    answers = Answers(
        task_code, worker_code, standardise(frame, numbers), len(tasks), len(workers), fixed,
        (truth - frame.origin) / frame.unit,
    )  # fmt: skip
    model, record = learn(answers, frame)
    width = float(numbers.max() - numbers.min()) if len(numbers) else 0.0
    reach = _TOLERANCE_SHARE * width if tolerance is None else tolerance
    middle, spread = place_tasks(model, answers)
    unit, crowd = frame.unit, model.crowd
    return NumericFit(
        tasks, middle, spread, within(0.0, spread, reach), workers, crowd.bias * unit, crowd.scale,
        crowd.variance * unit**2, reach, record, model,
    )  # fmt: skip


def _encode(
    task: npt.ArrayLike, worker: npt.ArrayLike, value: npt.ArrayLike
) -> tuple[npt.NDArray[Any], Ints, npt.NDArray[Any], Ints, Floats]:
    numbers = np.asarray(value, dtype=np.float64).reshape(-1)
    tasks, task_code = np.unique(np.asarray(task).reshape(-1), return_inverse=True)
    workers, worker_code = np.unique(np.asarray(worker).reshape(-1), return_inverse=True)
    if not len(task_code) == len(worker_code) == len(numbers):
        raise ValueError("task, worker and value must have the same length")
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise ValueError(f"answer {bad[0]} is {numbers[bad[0]]}, which is no finite number")
    return tasks, task_code.astype(np.int64), workers, worker_code.astype(np.int64), numbers
