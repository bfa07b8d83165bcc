"""The steps of the model of numbers: tasks given workers, workers given tasks, the pool given both, and the bound.

See `numeric` for the model itself and its sources. All numbers here are standardised.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, gammaln, ndtr

from marketplace.quality.consensus.engine import Convergence

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_FREEDOM: Final = 30.0
"""ν: an answer 5 s away pulls as much as one 2.6 s away, one 100 s away hardly at all."""
_VARIANCE_WEIGHT: Final = 20.0
"""How many answers the pool's variance is worth for a worker's."""
_LEAST_VARIANCE: Final = 1e-4
"""The pool's variance never falls below this (of the variance of all answers), however much everybody agrees."""
_EFFECT: Final = 0.05
_EFFECT_WEIGHT: Final = 2.0
"""The variance of biases and scales before anything is known, and how many workers that is worth."""
_SPREAD: Final = 1.0
_SPREAD_WEIGHT: Final = 4.0
"""The variance of the tasks' values before anything is known, and how many tasks that is worth."""
_VAGUE: Final = 1e4
"""The spread of the tasks when no task is known, so that nothing draws an answer elsewhere."""
_NOISE: Final = 0.5
_NOISE_WEIGHT: Final = 2.0
"""The variance of errors before anything is known, and how many differences within tasks that is worth."""
_FEW_TASKS: Final = 10
"""Answers to fewer tasks than these do not tell how wide a scale is used; a known scale does."""
_SCALE_UNITS: Final = 4.0
"""A known scale is this many units wide: the deviation of numbers spread evenly is 1.15 units then."""
_DOUBT: Final = 0.05
"""A task's variance is never below the least that its own answers would let stand at this level."""
_SPIKE: Final = 0.3
_SPIKE_LEAD: Final = 3.0
"""The commonest number is an origin when it is this share of all answers and this many times as common as the next."""
_TASK_WEIGHT: Final = 4.0
"""How many answers the common spread is worth for a task's own."""
_CENTRE: Final = (0.01, 0.99)
_REACH: Final = 3.0
"""Numbers further out than this many times the width of the central 98 % are drawn in to there."""
_TINY: Final = 1e-6
_FAR: Final = float(np.finfo(np.float64).max)
_MOST_STEPS: Final = 400
_PRECISION: Final = 1e-7
_SETTLE_STEPS: Final = 12


class Frame(NamedTuple):
    """How numbers are standardised: (number − origin) / unit, after `low` and `high` drew outliers in."""

    origin: float
    unit: float
    low: float
    high: float
    spiked: bool


class Pool(NamedTuple):
    """What is known of tasks and workers at large, in standardised units; `mean_share` is the plain mean's weight."""

    center: float
    spread: float
    variance: float
    bias_spread: float
    scale_spread: float
    mean_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """The workers' effects in standardised units: means, the covariance of bias and scale, variance of the errors."""

    bias: Floats
    scale: Floats
    bias_var: Floats
    scale_var: Floats
    covariance: Floats
    variance: Floats


class Answers(NamedTuple):
    """Standardised answers by codes; `fixed` says which tasks' truth is known, `truth` what it is (else anything)."""

    task: Ints
    worker: Ints
    value: Floats
    tasks: int
    workers: int
    fixed: npt.NDArray[np.bool_]
    truth: Floats


class Placed(NamedTuple):
    """The posterior of each task's value, standardised: mean, variance, and each answer's weight from the t errors."""

    mean: Floats
    variance: Floats
    trust: Floats


@dataclass(frozen=True, slots=True)
class NumericParameters:
    """All that a fit learned: how numbers are read, the pool, and the crowd (in the order of the fit's workers)."""

    frame: Frame
    pool: Pool
    crowd: Crowd


def within(off: npt.ArrayLike, spread: npt.ArrayLike, tolerance: float) -> Floats:
    """Return the probability that a normal deviate of mean `off` and deviation `spread` is at most `tolerance` from 0.

    A spread of 0 gives 1 or 0, the edge included.
    """
    center = np.abs(np.asarray(off, dtype=np.float64))
    width = np.asarray(spread, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = ndtr((tolerance - center) / width) - ndtr((-tolerance - center) / width)
    return np.asarray(np.where(width > 0, share, center <= tolerance), dtype=np.float64)


def read_frame(numbers: Floats, tasks: int, scale: tuple[float, float] | None = None) -> Frame:
    """Choose origin and unit: the number that stands out, if one does, or the mean; the standard deviation, robust.

    `tasks` is how many tasks the numbers were given to. When these are few, or all numbers are the same, the unit is
    taken from the `scale` (its ends) where there is one.
    """
    if scale is not None and scale[1] > scale[0] and (tasks < _FEW_TASKS or bool(np.ptp(numbers) == 0)):
        middle = float(numbers.mean()) if len(numbers) else (scale[0] + scale[1]) / 2
        return Frame(middle, (scale[1] - scale[0]) / _SCALE_UNITS, *scale, spiked=False)
    if not len(numbers):
        return Frame(0.0, 1.0, -_FAR, _FAR, spiked=False)
    first, last = np.quantile(numbers, _CENTRE)
    width = last - first
    # when 98 % say the same there is no width to go by, and nothing is drawn in
    low, high = (first - _REACH * width, last + _REACH * width) if width > 0 else (-_FAR, _FAR)
    drawn = np.clip(numbers, low, high)
    values, counts = np.unique(drawn, return_counts=True)
    top = int(counts.argmax())
    rival = float(np.delete(counts, top).max()) if len(counts) > 1 else 0.0
    spiked = len(counts) > 1 and counts[top] >= max(_SPIKE * len(drawn), _SPIKE_LEAD * rival)
    unit = float(drawn.std())
    origin = float(values[top]) if spiked else float(drawn.mean())
    return Frame(origin, unit if unit > _TINY * max(1.0, abs(origin)) else 1.0, float(low), float(high), bool(spiked))


def standardise(frame: Frame, numbers: Floats) -> Floats:
    """Return numbers in the model's units."""
    return np.asarray((np.clip(numbers, frame.low, frame.high) - frame.origin) / frame.unit, dtype=np.float64)


def place_tasks(model: NumericParameters, answers: Answers) -> tuple[Floats, Floats]:
    """Return the value of each task and its standard deviation, in the answers' own unit.

    The deviation follows how much a task's own answers differ, shrunk to what the workers' variances say, but is at
    least the lower confidence limit of what they say by themselves (Birge, Physical Review 40 (1932): χ² of answers).
    """
    pool, crowd, w, t = model.pool, model.crowd, answers.worker, answers.task
    placed = Placed(np.zeros(answers.tasks), np.zeros(answers.tasks), np.ones(len(t)))
    for _ in range(_SETTLE_STEPS):
        placed = _place(answers, crowd, pool, placed.trust)
        placed = placed._replace(trust=_trust(_squares(answers, crowd, placed), crowd.variance[w]))
    weight = np.bincount(t, weights=placed.trust, minlength=answers.tasks)
    plain = np.bincount(t, weights=placed.trust * answers.value, minlength=answers.tasks) / np.maximum(weight, _TINY)
    middle = np.where(
        answers.fixed | (weight <= 0), placed.mean, (1 - pool.mean_share) * placed.mean + pool.mean_share * plain
    )
    off = answers.value - crowd.bias[w] - crowd.scale[w] * placed.mean[t]
    own = np.bincount(t, weights=placed.trust * off**2 / crowd.variance[w], minlength=answers.tasks)
    free = np.maximum(np.bincount(t, minlength=answers.tasks) - 1, 0)
    floor = np.where(free > 0, own / chdtri(np.maximum(free, 1), _DOUBT), 0.0)
    blur = np.maximum((own + _TASK_WEIGHT) / (free + _TASK_WEIGHT), floor)
    variance = placed.variance * blur + (middle - placed.mean) ** 2
    frame = model.frame
    return frame.origin + frame.unit * middle, frame.unit * np.sqrt(np.where(answers.fixed, 0.0, variance))


def learn(answers: Answers, frame: Frame) -> tuple[NumericParameters, Convergence]:
    """Take turns between tasks, workers and pool until the bound rises no more; without answers, return the prior."""
    pool = _first_pool(answers, frame)
    if not answers.tasks:
        pool = pool._replace(spread=_VAGUE, mean_share=1.0)
        return NumericParameters(frame, pool, fresh_crowd(pool, 0)), Convergence("numeric: no answers", 0, True, ())
    first = pool.variance
    crowd = fresh_crowd(pool, answers.workers)
    placed = Placed(np.zeros(answers.tasks), np.zeros(answers.tasks), np.ones(len(answers.value)))
    bounds: list[float] = []
    converged = False
    for _ in range(_MOST_STEPS):
        placed = _place(answers, crowd, pool, placed.trust)
        pool = _pool_of_tasks(pool, placed)
        crowd = _effects(answers, placed, pool, crowd)
        pool = _pool_of_effects(pool, crowd, spiked=frame.spiked)
        squares = _squares(answers, crowd, placed)
        crowd = _variances(answers, placed, pool, crowd, squares)
        pool = _pool_of_variances(pool, crowd, first)
        placed = placed._replace(trust=_trust(squares, crowd.variance[answers.worker]))
        bounds.append(_bound(answers, crowd, pool, placed, squares, spiked=frame.spiked, first=first))
        if len(bounds) > 1 and bounds[-1] - bounds[-2] <= _PRECISION * abs(bounds[-1]):
            converged = True
            break
    pool = pool._replace(mean_share=_mean_share(answers, crowd, placed))
    name = "numeric: scale and variance" if frame.spiked else "numeric: bias, scale and variance"
    return NumericParameters(frame, pool, crowd), Convergence(name, len(bounds), converged, tuple(bounds))


def _first_pool(answers: Answers, frame: Frame) -> Pool:
    """Take the pool's variance from the differences within tasks, shrunk to what it is before there are any."""
    given = np.bincount(answers.task, minlength=answers.tasks)
    total = np.bincount(answers.task, weights=answers.value, minlength=answers.tasks)
    middle = total / np.maximum(given, 1)
    free = len(answers.value) - int((given > 0).sum())
    inner = float(((answers.value - middle[answers.task]) ** 2).sum())
    variance = (inner + _NOISE_WEIGHT * _NOISE) / (free + _NOISE_WEIGHT)
    center = float(middle.mean()) if len(middle) else 0.0
    return Pool(center, _SPREAD, max(variance, _LEAST_VARIANCE), _TINY**2 if frame.spiked else _EFFECT, _EFFECT)


def fresh_crowd(pool: Pool, workers: int) -> Crowd:
    """Return workers of whom nothing is known but what holds for all."""
    zero, one = np.zeros(workers), np.ones(workers)
    return Crowd(zero, one, one * pool.bias_spread, one * pool.scale_spread, zero, one * pool.variance)


def _place(answers: Answers, crowd: Crowd, pool: Pool, trust: Floats) -> Placed:
    """Return the posterior of the tasks' values given the workers (Gaussian: precisions add up)."""
    t, w = answers.task, answers.worker
    weight = trust / crowd.variance[w]
    precision = np.bincount(t, weights=weight * (crowd.scale**2 + crowd.scale_var)[w], minlength=answers.tasks)
    pull = weight * (crowd.scale[w] * (answers.value - crowd.bias[w]) - crowd.covariance[w])
    variance = 1 / (precision + 1 / pool.spread)
    mean = variance * (np.bincount(t, weights=pull, minlength=answers.tasks) + pool.center / pool.spread)
    return Placed(
        np.where(answers.fixed, answers.truth, mean), np.where(answers.fixed, 0.0, variance), trust
    )  # fmt: skip


def _pool_of_tasks(pool: Pool, placed: Placed) -> Pool:
    """Return the most probable center and spread of the tasks: few of them cannot tell that all are the same."""
    center = float(placed.mean.mean())
    second = float(((placed.mean - center) ** 2 + placed.variance).sum())
    spread = (second + _SPREAD * _SPREAD_WEIGHT) / (len(placed.mean) + _SPREAD_WEIGHT)
    return pool._replace(center=center, spread=spread)


def _effects(answers: Answers, placed: Placed, pool: Pool, crowd: Crowd) -> Crowd:
    """Return the posterior of each worker's bias and scale given the tasks (two-dimensional Gaussian)."""
    t, w = answers.task, answers.worker
    weight = placed.trust / crowd.variance[w]
    x = placed.mean[t]

    def total(values: Floats) -> Floats:
        return np.bincount(w, weights=values, minlength=answers.workers).astype(np.float64)

    h_bias = total(weight) + 1 / pool.bias_spread
    h_cross = total(weight * x)
    h_scale = total(weight * (x**2 + placed.variance[t])) + 1 / pool.scale_spread
    r_bias = total(weight * answers.value)
    r_scale = total(weight * answers.value * x) + 1 / pool.scale_spread
    det = h_bias * h_scale - h_cross**2
    bias_var, scale_var, cross = h_scale / det, h_bias / det, -h_cross / det
    return Crowd(
        bias_var * r_bias + cross * r_scale, cross * r_bias + scale_var * r_scale, bias_var, scale_var, cross,
        crowd.variance,
    )  # fmt: skip


def _pool_of_effects(pool: Pool, crowd: Crowd, *, spiked: bool) -> Pool:
    count = len(crowd.bias) + _EFFECT_WEIGHT
    scale = float(((crowd.scale - 1) ** 2 + crowd.scale_var).sum() + _EFFECT * _EFFECT_WEIGHT) / count
    bias = float((crowd.bias**2 + crowd.bias_var).sum() + _EFFECT * _EFFECT_WEIGHT) / count
    return pool._replace(scale_spread=scale, bias_spread=pool.bias_spread if spiked else bias)


def _pool_of_variances(pool: Pool, crowd: Crowd, first: float) -> Pool:
    """Return the most probable variance of the pool: the harmonic mean of the workers' and of the first guess."""
    inverse = float((1 / crowd.variance).sum()) + _EFFECT_WEIGHT / first
    return pool._replace(variance=max((len(crowd.variance) + _EFFECT_WEIGHT) / inverse, _LEAST_VARIANCE))


def _squares(answers: Answers, crowd: Crowd, placed: Placed) -> Floats:
    """Return the expected square of each answer's error over the posteriors of task and worker."""
    t, w = answers.task, answers.worker
    x, v = placed.mean[t], placed.variance[t]
    off = answers.value - crowd.bias[w] - crowd.scale[w] * x
    unsure = crowd.bias_var[w] + 2 * crowd.covariance[w] * x + crowd.scale_var[w] * (x**2 + v)
    return np.asarray(off**2 + crowd.scale[w] ** 2 * v + unsure, dtype=np.float64)


def _variances(answers: Answers, placed: Placed, pool: Pool, crowd: Crowd, squares: Floats) -> Crowd:
    given = np.bincount(answers.worker, minlength=answers.workers)
    sums = np.bincount(answers.worker, weights=placed.trust * squares, minlength=answers.workers)
    variance = (sums + _VARIANCE_WEIGHT * pool.variance) / (given + _VARIANCE_WEIGHT)
    return Crowd(crowd.bias, crowd.scale, crowd.bias_var, crowd.scale_var, crowd.covariance, variance)


def _trust(squares: Floats, variance: Floats) -> Floats:
    """Return the weights of answers under Student's t: less, the further off (Lange et al. 1989, eq. 5)."""
    return np.asarray((_FREEDOM + 1) / (_FREEDOM + squares / variance), dtype=np.float64)


def _mean_share(answers: Answers, crowd: Crowd, placed: Placed) -> float:
    """Return the plain mean's weight: inverse to the squared error that the model expects of it."""
    free = ~answers.fixed & (np.bincount(answers.task, minlength=answers.tasks) > 0)
    if not free.any():
        return 0.0
    t, w = answers.task, answers.worker
    weight = np.maximum(np.bincount(t, weights=placed.trust, minlength=answers.tasks), _TINY)
    shift = placed.trust * (crowd.bias[w] + (crowd.scale[w] - 1) * placed.mean[t])
    drift = np.bincount(t, weights=shift, minlength=answers.tasks) / weight
    noise = np.bincount(t, weights=placed.trust**2 * crowd.variance[w], minlength=answers.tasks) / weight**2
    plain, model = float((drift**2 + noise)[free].mean()), float(placed.variance[free].mean())
    return model / (model + plain)


def _bound(
    answers: Answers, crowd: Crowd, pool: Pool, placed: Placed, squares: Floats, *, spiked: bool, first: float
) -> float:
    """Return the variational bound of the log posterior density, up to a constant."""
    s2 = crowd.variance[answers.worker]
    constant = gammaln((_FREEDOM + 1) / 2) - gammaln(_FREEDOM / 2) - 0.5 * np.log(_FREEDOM * np.pi)
    said = constant - 0.5 * np.log(s2) - (_FREEDOM + 1) / 2 * np.log1p(squares / (_FREEDOM * s2))
    v = np.where(answers.fixed, 1.0, placed.variance)
    second = (placed.mean - pool.center) ** 2 + placed.variance
    tasks = 0.5 * (np.where(answers.fixed, 0.0, 1 + np.log(v)) - np.log(pool.spread) - second / pool.spread)
    det = np.maximum(crowd.bias_var * crowd.scale_var - crowd.covariance**2, 1e-300)
    effects = (
        2 + np.log(det) - np.log(pool.bias_spread * pool.scale_spread)
        - (crowd.bias**2 + crowd.bias_var) / pool.bias_spread
        - ((crowd.scale - 1) ** 2 + crowd.scale_var) / pool.scale_spread
    )  # fmt: skip
    spreads = [pool.scale_spread] if spiked else [pool.scale_spread, pool.bias_spread]
    priors = -_EFFECT_WEIGHT / 2 * sum(float(np.log(one)) + _EFFECT / one for one in spreads)
    priors -= _SPREAD_WEIGHT / 2 * (float(np.log(pool.spread)) + _SPREAD / pool.spread)
    drawn = np.log(pool.variance / crowd.variance) - pool.variance / crowd.variance
    level = _EFFECT_WEIGHT * (float(np.log(pool.variance)) - pool.variance / first)
    variances = _VARIANCE_WEIGHT / 2 * (float(drawn.sum()) + level)
    return float(said.sum() + tasks.sum() + 0.5 * effects.sum()) + priors + variances
