"""A ranking of items from comparisons of two by workers of different care.

The model: items have scores s; worker w judges with probability η_w and else the other way round,

    P(w says i before j) = η_w·p_ij + (1 − η_w)·p_ji,   p_ij ∝ e^(d/2),  p_ji ∝ e^(−d/2),  p_tie ∝ ν,  d = s_i − s_j

which is Bradley and Terry (Biometrika 39, 1952) with Davidson's ties (JASA 65, 1970) and the workers of Crowd-BT (Chen
et al., "Pairwise Ranking Aggregation in a Crowdsourced Setting", WSDM 2013). Scores have a normal prior and η a Beta
prior, so that there is always an answer: also where an item won all its comparisons. Items that no chain of comparisons
links cannot be compared: each such component is centred at 0 by itself and is ranked by itself.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, sparse
from scipy.special import expit, logit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_SPREAD: Final = 2.0
"""The standard deviation of scores before anything is known: odds of 7 to 1 between two items are usual."""
_CARE: Final = (8.0, 2.0)
"""The Beta prior of η: right 8 times of 10."""
_TIE_DOUBT: Final = 2.0
_MOST_STEPS: Final = 500
_MOST_ITEMS: Final = 3_000
"""Up to here standard errors come from the inverse of the whole information matrix, beyond from its diagonal."""


@dataclass(frozen=True, slots=True)
class BradleyTerryFit:
    """Scores of `items` (sorted) with standard errors, in log-odds; care (η) of `workers` (sorted).

    `component` numbers the sets of items that comparisons link. `ties` is Davidson's ν, 0 where nobody said tie.
    `log_density` is the log posterior density reached, up to a constant.
    """

    items: npt.NDArray[Any]
    score: Floats
    error: Floats
    component: Ints
    workers: npt.NDArray[Any]
    care: Floats
    ties: float
    converged: bool
    log_density: float


class RankedItem(NamedTuple):
    """An item's place (1 is best) in its component; `same_as_next` where the data do not tell it from the next one."""

    item: Any
    place: int
    score: float
    error: float
    component: int
    same_as_next: bool


class _Coded(NamedTuple):
    first: Ints
    second: Ints
    worker: Ints
    tie: npt.NDArray[np.bool_]
    items: int
    workers: int


def fit_bradley_terry(
    winner: npt.ArrayLike, loser: npt.ArrayLike, worker: npt.ArrayLike, tie: npt.ArrayLike | None = None
) -> BradleyTerryFit:
    """Fit the model: `worker[n]` put `winner[n]` before `loser[n]`, or where `tie[n]` said that they are equal.

    Raises ValueError for arrays of unequal length and for an item compared with itself.
    """
    one, other = np.asarray(winner).reshape(-1), np.asarray(loser).reshape(-1)
    workers, who = np.unique(np.asarray(worker).reshape(-1), return_inverse=True)
    equal = np.zeros(len(one), dtype=bool) if tie is None else np.asarray(tie, dtype=bool).reshape(-1)
    if not len(one) == len(other) == len(who) == len(equal):
        raise ValueError("winner, loser, worker and tie must have the same length")
    items, code = np.unique(np.concatenate([one, other]), return_inverse=True)
    first, second = code[: len(one)], code[len(one) :]
    if (first == second).any():
        raise ValueError("an item is compared with itself")
    coded = _Coded(first, second, who, equal, len(items), len(workers))
    start = np.concatenate([np.zeros(len(items)), np.full(len(workers), logit(_CARE[0] / sum(_CARE))), [0.0]])
    found = optimize.minimize(_loss, start, (coded,), jac=True, method="L-BFGS-B", options={"maxiter": _MOST_STEPS})
    score, care, ties = _parts(found.x, coded)
    component = _components(coded)
    score = score - (np.bincount(component, score) / np.maximum(np.bincount(component), 1))[component]
    error = _errors(score, care, ties, component, coded)
    return BradleyTerryFit(items, score, error, component, workers, care, ties, bool(found.success), -float(found.fun))


def rank_items(fit: BradleyTerryFit) -> list[RankedItem]:
    """Return items by component (that of most items first) and score, the best first.

    Two neighbours are the same where their scores differ by less than 1.96 standard errors of the difference (taken as
    independent).
    """
    size = np.bincount(fit.component, minlength=1)
    order = np.lexsort((np.arange(len(fit.items)), -fit.score, fit.component, -size[fit.component]))
    ranked: list[RankedItem] = []
    place = 0
    for at, index in enumerate(order.tolist()):
        group = int(fit.component[index])
        place = place + 1 if ranked and ranked[-1].component == group else 1
        after = int(order[at + 1]) if at + 1 < len(order) else index
        near = after != index and int(fit.component[after]) == group
        apart = float(fit.score[index] - fit.score[after])
        same = near and apart < 1.96 * float(np.hypot(fit.error[index], fit.error[after]))
        ranked.append(
            RankedItem(fit.items[index], place, float(fit.score[index]), float(fit.error[index]), group, same)
        )
    return ranked


def _parts(point: Floats, coded: _Coded) -> tuple[Floats, Floats, float]:
    ties = float(np.exp(point[-1])) if coded.tie.any() else 0.0
    return point[: coded.items], np.asarray(expit(point[coded.items : -1]), dtype=np.float64), ties


def _shares(apart: Floats, ties: float) -> tuple[Floats, Floats, Floats]:
    """Return the probabilities of first, second and tie."""
    up, down = np.exp(np.clip(apart, -60, 60) / 2), np.exp(-np.clip(apart, -60, 60) / 2)
    total = up + down + ties
    return up / total, down / total, ties / total


def _loss(point: Floats, coded: _Coded) -> tuple[float, Floats]:
    """Return minus the log posterior density, and its gradient in (scores, logits of care, log ν)."""
    score, care, ties = _parts(point, coded)
    win, lose, equal = _shares(score[coded.first] - score[coded.second], ties)
    eta, lean = care[coded.worker], (win - lose) / 2
    said = np.where(coded.tie, equal if ties else 1.0, eta * win + (1 - eta) * lose)
    said = np.maximum(said, 1e-300)
    # derivatives of ln(said) by d, by η, and by ln ν
    by_gap = np.where(coded.tie, -lean, (eta * win * (0.5 - lean) - (1 - eta) * lose * (0.5 + lean)) / said)
    by_care = np.where(coded.tie, 0.0, (win - lose) / said)
    by_ties = np.where(coded.tie, 1 - equal, -equal)
    a, b = _CARE
    gradient = np.zeros(len(point))
    gradient[: coded.items] = (
        np.bincount(coded.first, by_gap, coded.items) - np.bincount(coded.second, by_gap, coded.items)
        - score / _SPREAD**2
    )  # fmt: skip
    pull = np.bincount(coded.worker, by_care, coded.workers) * care * (1 - care)
    gradient[coded.items : -1] = pull + a * (1 - care) - b * care
    gradient[-1] = (float(by_ties.sum()) if ties else 0.0) - point[-1] / _TIE_DOUBT**2
    prior = -float((score**2).sum()) / (2 * _SPREAD**2) - float(point[-1] ** 2) / (2 * _TIE_DOUBT**2)
    prior += float((a * np.log(np.maximum(care, 1e-300)) + b * np.log(np.maximum(1 - care, 1e-300))).sum())
    return -float(np.log(said).sum()) - prior, -gradient


def _components(coded: _Coded) -> Ints:
    shape = (coded.items, coded.items)
    links = sparse.csr_array((np.ones(len(coded.first)), (coded.first, coded.second)), shape=shape)
    return np.asarray(sparse.csgraph.connected_components(links, directed=False)[1], dtype=np.int64)


def _errors(score: Floats, care: Floats, ties: float, component: Ints, coded: _Coded) -> Floats:
    """Return standard errors from the expected information, workers and ν taken as known."""
    win, lose, equal = _shares(score[coded.first] - score[coded.second], ties)
    eta, lean = care[coded.worker], (win - lose) / 2
    up, down = win * (0.5 - lean), -lose * (0.5 + lean)
    outcomes = [
        (eta * win + (1 - eta) * lose, eta * up + (1 - eta) * down),
        (eta * lose + (1 - eta) * win, eta * down + (1 - eta) * up),
        (equal, -equal * lean),
    ]
    weight = sum(slope**2 / np.maximum(share, 1e-300) for share, slope in outcomes)
    met = np.bincount(coded.first, weight, coded.items) + np.bincount(coded.second, weight, coded.items)
    diagonal = met.astype(np.float64) + 1 / _SPREAD**2
    if coded.items > _MOST_ITEMS:
        return np.asarray(1 / np.sqrt(diagonal), dtype=np.float64)
    information = np.diag(diagonal)
    np.add.at(information, (coded.first, coded.second), -np.asarray(weight))
    np.add.at(information, (coded.second, coded.first), -np.asarray(weight))
    # scores are centred in their component, so what moves all of it at once is no error
    together = (component[:, None] == component).astype(np.float64)
    center = np.eye(coded.items) - together / together.sum(axis=1, keepdims=True)
    return np.asarray(np.sqrt(np.diag(center @ np.linalg.inv(information) @ center.T)), dtype=np.float64)
