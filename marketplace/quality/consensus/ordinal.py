"""Consensus on scales of few steps: each worker reads the true step with a shift and a blur of their own.

The model: worker w sees the true step k as k + b_w + s_w·ε with ε normal and says the nearest step, so

    P(says l | true k) = (1 − λ)·[Φ((l + ½ − k − b)/s) − Φ((l − ½ − k − b)/s)] + λ/K

with the outermost steps open. It is the cumulative probit model (McCullagh, "Regression Models for Ordinal Data",
JRSS B 42, 1980) as a worker's confusion matrix in the frame of Dawid and Skene (Applied Statistics 28, 1979), so that
near misses are likelier than far ones and two parameters a worker suffice. (b, s) lie on a grid; how common each point
is among workers is learned (nonparametric maximum likelihood: Laird, JASA 73, 1978), which shrinks workers of few
answers to what is usual. Fitted by variational EM; tasks and workers are independent in the posterior.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from marketplace.quality.consensus.engine import Convergence

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SHIFTS: Final = np.arange(-3.0, 3.01, 0.5)
BLURS: Final = np.array([0.2, 0.3, 0.45, 0.65, 0.9, 1.25, 1.8, 2.5, 4.0, 8.0])
_LAPSE: Final = 0.03
"""λ: the share of answers that have nothing to do with the task."""
_USUAL_SHIFT: Final = 0.5
_USUAL_BLUR: Final = 0.7
_USUAL_WIDTH: Final = 0.7
_GRID_WEIGHT: Final = 5.0
"""How many workers the first guess at the grid is worth (Dirichlet)."""
_STEP_WEIGHT: Final = 1.0
"""How many tasks the uniform prior is worth for each step."""
_MOST_STEPS: Final = 200
_PRECISION: Final = 1e-8


class StepAnswers(NamedTuple):
    """Answers as codes: `label` from 0 to `steps` − 1."""

    task: Ints
    worker: Ints
    label: Ints
    tasks: int
    workers: int
    steps: int


class Grid(NamedTuple):
    """The kinds of worker there may be: ln P(says l | true k), points × (k·K + l), and how common each is at first."""

    name: str
    logs: Floats
    usual: Floats


@dataclass(frozen=True, slots=True)
class OrdinalParameters:
    """What a fit learned: how common steps are, and grid points; each worker's probabilities of grid points."""

    prior: Floats
    grid: Floats
    worker: Floats


@dataclass(frozen=True, slots=True)
class OrdinalFit:
    """`posterior` is tasks × steps."""

    posterior: Floats
    parameters: OrdinalParameters
    record: Convergence


def fit_ordinal(answers: StepAnswers, gold: Mapping[int, int], kinds: Grid | None = None) -> OrdinalFit:
    """Fit the model; `gold` holds the true step of tasks (by code) whose truth is known.

    `kinds` are the kinds of worker there may be (none given: those of shifts and blurs).
    """
    name, logs, usual = ordinal_grid(answers.steps) if kinds is None else kinds
    prior = np.full(answers.steps, 1 / answers.steps)
    grid = usual
    worker = np.tile(grid, (answers.workers, 1))
    posterior = np.empty((answers.tasks, answers.steps))
    bounds: list[float] = []
    converged = not answers.tasks
    while not converged and len(bounds) < _MOST_STEPS:
        posterior = place_steps(answers, worker @ logs, prior)
        _hold(posterior, gold)
        prior = (posterior.sum(axis=0) + _STEP_WEIGHT) / (answers.tasks + _STEP_WEIGHT * answers.steps)
        score = _said(answers, posterior) @ logs.T + np.log(grid)
        worker = _normal(score)
        grid = (worker.sum(axis=0) + _GRID_WEIGHT * usual) / (answers.workers + _GRID_WEIGHT)
        bounds.append(_bound(answers, posterior, worker, OrdinalParameters(prior, grid, worker), logs, usual))
        converged = len(bounds) > 1 and bounds[-1] - bounds[-2] <= _PRECISION * abs(bounds[-1])
    record = Convergence(name, len(bounds), converged, tuple(bounds))
    return OrdinalFit(posterior, OrdinalParameters(prior, grid, worker), record)


def ordinal_grid(steps: int) -> Grid:
    """Return workers of all shifts and blurs."""
    return Grid("ordinal: cumulative probit", grid_logs(steps), usual_grid())


def grid_logs(steps: int) -> Floats:
    """Return ln P(says l | true k) of each grid point, points × (k·steps + l)."""
    shift, blur = (part.reshape(-1, 1, 1) for part in np.meshgrid(SHIFTS, BLURS, indexing="ij"))
    true, edge = np.arange(steps)[:, None], np.arange(steps + 1) - 0.5
    below = ndtr((edge - true - shift) / blur)
    below[:, :, 0], below[:, :, -1] = 0.0, 1.0
    share = (1 - _LAPSE) * np.diff(below, axis=2) + _LAPSE / steps
    return np.asarray(np.log(share).reshape(-1, steps * steps), dtype=np.float64)


def usual_grid() -> Floats:
    """Return how common grid points are taken to be at first: small shifts, blurs of less than a step."""
    shift, blur = (part.reshape(-1) for part in np.meshgrid(SHIFTS, BLURS, indexing="ij"))
    weight = -((shift / _USUAL_SHIFT) ** 2) / 2 - (np.log(blur / _USUAL_BLUR) / _USUAL_WIDTH) ** 2 / 2
    return np.asarray(_normal(weight[None, :])[0], dtype=np.float64)


def place_steps(answers: StepAnswers, worker_logs: Floats, prior: Floats) -> Floats:
    """Return the posterior of tasks' steps, given each worker's expected ln P(says l | true k), workers × K²."""
    steps = answers.steps
    by_label = worker_logs.reshape(answers.workers, steps, steps).transpose(0, 2, 1)
    score = np.empty((answers.tasks, steps))
    said = by_label[answers.worker, answers.label]
    for step in range(steps):
        score[:, step] = np.bincount(answers.task, weights=said[:, step], minlength=answers.tasks)
    return _normal(score + np.log(prior))


def _hold(posterior: Floats, gold: Mapping[int, int]) -> None:
    for task, step in gold.items():
        posterior[task] = 0.0
        posterior[task, step] = 1.0


def _said(answers: StepAnswers, posterior: Floats) -> Floats:
    """Return how often each worker is expected to have said l when k was true, workers × (k·steps + l)."""
    steps = answers.steps
    counts = np.empty((answers.workers, steps, steps))
    place = answers.worker * steps + answers.label
    for step in range(steps):
        weights = posterior[answers.task, step]
        counts[:, step] = np.bincount(place, weights=weights, minlength=answers.workers * steps).reshape(-1, steps)
    return counts.reshape(answers.workers, -1)


def _bound(
    answers: StepAnswers, posterior: Floats, worker: Floats, parameters: OrdinalParameters, logs: Floats, usual: Floats
) -> float:
    """Return the variational bound of the log posterior density, up to a constant."""
    said = float((_said(answers, posterior) * (worker @ logs)).sum())
    tasks = float((posterior * (np.log(parameters.prior) - _log(posterior))).sum())
    people = float((worker * (np.log(parameters.grid) - _log(worker))).sum())
    steps = _STEP_WEIGHT * float(np.log(parameters.prior).sum())
    return said + tasks + people + steps + _GRID_WEIGHT * float(usual @ np.log(parameters.grid))


def _log(probabilities: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(probabilities, 1e-300)), dtype=np.float64)


def _normal(score: Floats) -> Floats:
    odds = np.exp(score - score.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float64)
