"""Rankings from comparisons of two."""

import numpy as np
import pytest
from scipy import optimize

from marketplace.quality.consensus import bradley_terry
from marketplace.quality.consensus.bradley_terry import fit_bradley_terry, rank_items


def comparisons(seed: int, *, ties: bool = False, careless: int = 0) -> tuple[list[list[int]], np.ndarray]:
    """Return rows (winner, loser, worker, tie) by eight workers, the first of them careless, and the true scores."""
    random = np.random.default_rng(seed)
    score = random.normal(0, 1.5, 12)
    rows = []
    for _ in range(900):
        one, other = random.choice(12, 2, replace=False)
        worker = int(random.integers(0, 8))
        up, down = np.exp((score[one] - score[other]) / 2), np.exp((score[other] - score[one]) / 2)
        odds = np.array([up, down, 0.6 if ties else 0.0])
        said = int(random.integers(0, 2)) if worker < careless else int(random.choice(3, p=odds / odds.sum()))
        rows.append([int(other), int(one), worker, 0] if said == 1 else [int(one), int(other), worker, int(said == 2)])
    return rows, score - score.mean()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("careless", [0, 4])
def test_scores_are_found_when_workers_are_careless_and_ties_allowed(*, ties: bool, careless: int) -> None:
    rows, score = comparisons(1, ties=ties, careless=careless)
    fit = fit_bradley_terry(*np.array(rows).T)
    assert fit.converged
    assert np.corrcoef(fit.score, score)[0, 1] > 0.9
    assert (fit.ties > 0) == ties
    assert (np.abs(fit.score - score) < 4 * fit.error).all()
    if careless:
        assert fit.care[:4].max() < fit.care[4:].min()


def test_gradient_is_that_of_the_loss() -> None:
    rows, _ = comparisons(2, ties=True)
    first, second, worker, tie = np.array(rows).T
    coded = bradley_terry._Coded(first, second, worker, tie.astype(bool), 12, 8)
    point = np.random.default_rng(0).normal(0, 0.5, 21)
    wrong = optimize.check_grad(
        lambda x: bradley_terry._loss(x, coded)[0], lambda x: bradley_terry._loss(x, coded)[1], point
    )
    assert wrong < 1e-3


def test_places_turn_round_when_all_comparisons_do() -> None:
    rows, _ = comparisons(3)
    first, second, worker, tie = np.array(rows).T
    one, other = fit_bradley_terry(first, second, worker, tie), fit_bradley_terry(second, first, worker, tie)
    assert other.score == pytest.approx(-one.score, abs=1e-2)


def test_scores_stay_finite_when_an_item_always_wins() -> None:
    fit = fit_bradley_terry(["a"] * 50 + ["b"], ["b"] * 50 + ["c"], ["w"] * 51)
    assert [one.item for one in rank_items(fit)] == ["a", "b", "c"]
    assert np.isfinite(fit.score).all()
    assert np.isfinite(fit.error).all()


def test_components_are_ranked_apart_when_nothing_links_them() -> None:
    fit = fit_bradley_terry(["a", "b", "x"], ["b", "c", "y"], ["w", "w", "w"])
    ranked = rank_items(fit)
    assert [(one.item, one.place) for one in ranked] == [("a", 1), ("b", 2), ("c", 3), ("x", 1), ("y", 2)]
    assert len({one.component for one in ranked[:3]}) == 1
    assert ranked[0].component != ranked[3].component
    assert not ranked[2].same_as_next
    assert ranked[0].same_as_next


def test_nothing_is_ranked_when_there_are_no_comparisons_and_bad_ones_are_refused() -> None:
    assert rank_items(fit_bradley_terry([], [], [])) == []
    with pytest.raises(ValueError, match="with itself"):
        fit_bradley_terry(["a"], ["a"], ["w"])
    with pytest.raises(ValueError, match="same length"):
        fit_bradley_terry(["a"], ["b"], [])
