"""Consensus on sets of options: every option in or out, by workers who see or overlook it more or less often.

The model: option o belongs to a task with probability π_o; worker w names it when it does with probability a_wo (their
sensitivity), and does not when it does not with b_wo (specificity). That is Dawid and Skene (Applied Statistics 28,
1979) with two classes, options being independent. It is fitted by EM twice, an empirical Bayes estimate in two levels
(Morris, JASA 78, 1983): first with one a and b a worker for all options, drawn to those of the pool; then a worker's
rates on an option are drawn to that worker's own, so that options seldom met borrow from the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import expit

from marketplace.quality.consensus.engine import Convergence

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_POOL: Final = (0.75, 0.93)
"""Sensitivity and specificity before anything is known: options are overlooked more often than made up."""
_POOL_WEIGHT: Final = 8.0
"""How many options seen the pool's rates are worth for a worker's."""
_OWN_WEIGHT: Final = 10.0
"""How many answers a worker's own rates are worth for their rates on one option."""
_SHARE_WEIGHT: Final = 2.0
"""How many tasks a share of one half is worth for an option's."""
_MOST_STEPS: Final = 100
_PRECISION: Final = 1e-8


class SetAnswers(NamedTuple):
    """Answers by codes. `task` and `worker`: one entry an answer; `named_*`: one entry an option that was named."""

    task: Ints
    worker: Ints
    named_task: Ints
    named_worker: Ints
    named_option: Ints
    tasks: int
    workers: int
    options: int


@dataclass(frozen=True, slots=True)
class SetParameters:
    """`share` per option; `seen` (sensitivity) and `spared` (specificity) workers × options."""

    share: Floats
    seen: Floats
    spared: Floats


@dataclass(frozen=True, slots=True)
class SetFit:
    """`inside` is the posterior of options, tasks × options; `usual` a worker's rates where nothing is known."""

    inside: Floats
    parameters: SetParameters
    usual: tuple[float, float]
    record: Convergence


def fit_sets(answers: SetAnswers, gold: Mapping[int, Floats]) -> SetFit:
    """Fit the model; `gold` holds which options (0 or 1 each) are in, of tasks (by code) whose truth is known."""
    wide = (answers.workers, answers.options)
    start = SetParameters(np.full(answers.options, 0.5), np.full(wide, _POOL[0]), np.full(wide, _POOL[1]))
    by_vote = start_shares(answers)
    start = SetParameters(by_vote, start.seen, start.spared)
    first, _ = _climb(answers, gold, start, (start.seen, start.spared), shared=True)
    found, bounds = _climb(answers, gold, first, (first.seen, first.spared), shared=False)
    inside = _held(place_sets(answers, found)[0], gold)
    usual = tuple(float(part.mean()) if part.size else base for part, base in zip(
        (first.seen, first.spared), _POOL, strict=True
    ))  # fmt: skip
    converged = len(bounds) < _MOST_STEPS
    record = Convergence("sets: sensitivity and specificity by option", len(bounds), converged, tuple(bounds))
    return SetFit(inside, found, (usual[0], usual[1]), record)


def start_shares(answers: SetAnswers) -> Floats:
    """Return how often each option is named, drawn to one half."""
    named = np.bincount(answers.named_option, minlength=answers.options)
    return np.asarray((named + _SHARE_WEIGHT / 2) / (len(answers.task) + _SHARE_WEIGHT), dtype=np.float64)


def place_sets(answers: SetAnswers, model: SetParameters) -> tuple[Floats, Floats]:
    """Return each task's posterior of options, and the log-likelihood of each (both tasks × options)."""
    pairs = _incidence(answers)
    named = (answers.named_worker, answers.named_option)
    place = answers.named_task * answers.options + answers.named_option
    size = answers.tasks * answers.options

    def total(silent: Floats, naming: Floats) -> Floats:
        extra = np.bincount(place, weights=(naming - silent)[named], minlength=size)
        return np.asarray(pairs @ silent + extra.reshape(answers.tasks, answers.options), dtype=np.float64)

    inside = np.log(model.share) + total(np.log1p(-model.seen), np.log(model.seen))
    outside = np.log1p(-model.share) + total(np.log(model.spared), np.log1p(-model.spared))
    return np.asarray(expit(inside - outside), dtype=np.float64), np.asarray(np.stack([inside, outside]))


def _climb(
    answers: SetAnswers,
    gold: Mapping[int, Floats],
    model: SetParameters,
    toward: tuple[Floats, Floats],
    *,
    shared: bool,
) -> tuple[SetParameters, list[float]]:
    """Run EM until the log posterior density rises no more; return it after each step."""
    weight = _POOL_WEIGHT if shared else _OWN_WEIGHT
    bounds: list[float] = []
    while answers.tasks and len(bounds) < _MOST_STEPS:
        inside, logs = place_sets(answers, model)
        bounds.append(_density(inside, logs, gold) + _prior(model, toward, weight, shared=shared))
        if len(bounds) > 1 and bounds[-1] - bounds[-2] <= _PRECISION * abs(bounds[-1]):
            break
        model = _rates(answers, _held(inside, gold), toward, weight, shared=shared)
    return model, bounds


def _rates(
    answers: SetAnswers, inside: Floats, toward: tuple[Floats, Floats], weight: float, *, shared: bool
) -> SetParameters:
    """Return the most probable rates given the tasks; Beta priors of `weight` answers at `toward`."""
    wide = (answers.workers, answers.options)
    pairs = _incidence(answers)
    place = answers.named_worker * answers.options + answers.named_option
    on = inside[answers.named_task, answers.named_option]
    hit = np.bincount(place, weights=on, minlength=wide[0] * wide[1]).reshape(wide)
    false = np.bincount(place, weights=1 - on, minlength=wide[0] * wide[1]).reshape(wide)
    there = np.asarray(pairs.T @ inside)
    absent = np.asarray(pairs.T @ (1 - inside))
    if shared:
        hit, false, there, absent = (
            np.broadcast_to(part.sum(axis=1, keepdims=True), wide) for part in (hit, false, there, absent)
        )
    seen = (hit + weight * toward[0]) / (there + weight)
    spared = (absent - false + weight * toward[1]) / (absent + weight)
    share = (inside.sum(axis=0) + _SHARE_WEIGHT / 2) / (answers.tasks + _SHARE_WEIGHT)
    return SetParameters(share, _inner(seen), _inner(spared))


def _prior(model: SetParameters, toward: tuple[Floats, Floats], weight: float, *, shared: bool) -> float:
    """Return the log density of the priors; shared rates stand in every column and count once."""
    total = 0.0
    for rate, center in zip((model.seen, model.spared), toward, strict=True):
        each = weight * (center * np.log(rate) + (1 - center) * np.log1p(-rate))
        total += float(each[:, 0].sum() if shared and each.shape[1] else each.sum())
    return total + _SHARE_WEIGHT / 2 * float((np.log(model.share) + np.log1p(-model.share)).sum())


def _density(inside: Floats, logs: Floats, gold: Mapping[int, Floats]) -> float:
    each = np.logaddexp(logs[0], logs[1])
    for task, truth in gold.items():
        each[task] = np.where(truth > 0, logs[0, task], logs[1, task])
    return float(each.sum()) if inside.size else 0.0


def _held(inside: Floats, gold: Mapping[int, Floats]) -> Floats:
    for task, truth in gold.items():
        inside[task] = truth
    return inside


def _inner(rate: Floats) -> Floats:
    return np.asarray(np.clip(rate, 1e-9, 1 - 1e-9), dtype=np.float64)


def _incidence(answers: SetAnswers) -> sparse.csr_array:
    shape = (answers.tasks, answers.workers)
    return sparse.csr_array((np.ones(len(answers.task)), (answers.task, answers.worker)), shape=shape)
