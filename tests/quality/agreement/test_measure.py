"""Agreement: published worked examples, brute force over pairs, and what must not matter."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.quality.agreement.measure import Agreement, agreement_of
from marketplace.quality.agreement.similar import similarity_of

# four observers, twelve units, 0 for no value: Krippendorff (2011), section C
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]
ROWS = [(unit, who, said - 1) for who, row in enumerate(OBSERVERS) for unit, said in enumerate(row) if said]


def measured(rows: list[tuple[int, int, float]], level: Any, **options: Any) -> Agreement:
    task, worker, label = (np.array(column) for column in zip(*rows, strict=True))
    options = {"classes": None, "resamples": 0} | options
    return agreement_of(task, worker, label, level=level, **options)


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_krippendorffs_when_the_data_are_his(level: Any, published: float) -> None:
    assert measured(ROWS, level, classes=5).alpha == pytest.approx(published, abs=5e-4)


def test_ac1_is_gwets_when_the_data_are_his() -> None:
    # the same twelve units are the data set cac.raw4raters of Gwet's own package, whose AC1 is 0.77544
    assert measured(ROWS, "nominal", classes=5).ac1 == pytest.approx(0.77544, abs=5e-6)


ANSWERS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(0, 3)),
    min_size=1, max_size=40, unique_by=lambda row: row[:2],
)  # fmt: skip


def brute_alpha(rows: list[tuple[int, int, int]], level: str) -> float | None:
    """Return alpha by its definition: over all ordered pairs, within units and of all values."""
    units = {unit: [said for u, _, said in rows if u == unit] for unit, _, _ in rows}
    units = {unit: said for unit, said in units.items() if len(said) > 1}
    values = [said for unit in units.values() for said in unit]
    often = {c: values.count(c) for c in range(4)}

    def apart(one: int, other: int) -> float:
        if level == "nominal":
            return float(one != other)
        if level == "interval":
            return float((one - other) ** 2)
        low, high = sorted((one, other))
        return (sum(often[g] for g in range(low, high + 1)) - (often[low] + often[high]) / 2) ** 2

    expected = sum(apart(*pair) for pair in permutations(values, 2))
    if not expected:
        return None
    observed = sum(sum(apart(*pair) for pair in permutations(unit, 2)) / (len(unit) - 1) for unit in units.values())
    return 1 - (observed / len(values)) / (expected / (len(values) * (len(values) - 1)))


@settings(max_examples=150, deadline=None)
@given(rows=ANSWERS, level=st.sampled_from(["nominal", "ordinal", "interval"]))
def test_alpha_is_that_of_all_pairs_whatever_the_answers(rows: list[tuple[int, int, int]], level: str) -> None:
    assert measured(rows, level).alpha == pytest.approx(brute_alpha(rows, level), abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(rows=ANSWERS)
def test_shares_are_those_of_all_pairs_whatever_the_answers(rows: list[tuple[int, int, int]]) -> None:
    found = measured(rows, "nominal", classes=4)
    pairs = [(a, b) for a, b in permutations(rows, 2) if a[0] == b[0]]
    same = [a[2] == b[2] for a, b in pairs]
    assert found.pairwise == (pytest.approx(np.mean(same)) if pairs else None)
    for one in found.by_class:
        meets = [a[2] == b[2] for a, b in pairs if a[2] == one.label]
        assert one.answers == sum(said == one.label for _, _, said in rows)
        assert one.agreement == (pytest.approx(np.mean(meets)) if meets else None)
        as_two = [(unit, who, int(said == one.label)) for unit, who, said in rows]
        assert one.alpha == pytest.approx(brute_alpha(as_two, "nominal"), abs=1e-9)
    for index, who in enumerate(found.by_worker.worker):
        shares = [
            np.mean([a[2] == b[2] for b in rows if b[0] == a[0] and b[1] != who])
            for a in rows
            if a[1] == who and any(b[0] == a[0] and b[1] != who for b in rows)
        ]
        assert np.isnan(found.by_worker.agreement[index]) == (not shares)
        if shares:
            assert found.by_worker.agreement[index] == pytest.approx(np.mean(shares))


@settings(max_examples=50, deadline=None)
@given(rows=ANSWERS, level=st.sampled_from(["nominal", "ordinal", "interval"]), seed=st.integers(0, 99))
def test_nothing_changes_when_tasks_workers_and_rows_are_permuted(
    rows: list[tuple[int, int, int]], level: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    tasks, workers = random.permutation(7), random.permutation(5)
    moved = [(int(tasks[unit]), int(workers[who]), said) for unit, who, said in rows]
    random.shuffle(moved)
    one, other = measured(rows, level), measured(moved, level)
    assert other.alpha == pytest.approx(one.alpha, abs=1e-9)
    assert other.ac1 == pytest.approx(one.ac1, abs=1e-9)
    mine = dict(zip(one.by_worker.worker.tolist(), one.by_worker.alpha.tolist(), strict=True))
    theirs = dict(zip(other.by_worker.worker.tolist(), other.by_worker.alpha.tolist(), strict=True))
    assert [theirs[workers[who]] for who in mine] == pytest.approx(list(mine.values()), abs=1e-9, nan_ok=True)


def test_alpha_stays_when_numbers_change_their_unit() -> None:
    one = measured(ROWS, "interval").alpha
    assert measured([(u, w, 1e6 + 0.001 * y) for u, w, y in ROWS], "interval").alpha == pytest.approx(one, abs=1e-6)


def test_interval_holds_the_figure_and_repeats_when_the_seed_is_the_same() -> None:
    one = measured(ROWS, "nominal", classes=5, resamples=200, seed=3)
    other = measured(ROWS[::-1], "nominal", classes=5, resamples=200, seed=3)
    assert None not in (one.alpha, one.alpha_low, one.alpha_high, one.ac1, one.ac1_low, one.ac1_high)
    assert one.alpha_low < one.alpha < one.alpha_high  # type: ignore[operator]
    assert one.ac1_low < one.ac1 < one.ac1_high  # type: ignore[operator]
    assert (one.alpha_low, one.ac1_high) == (other.alpha_low, other.ac1_high)


def test_interval_covers_the_true_alpha_when_sets_are_drawn_again_and_again() -> None:
    random = np.random.default_rng(0)

    def draw(tasks: int) -> tuple[Any, Any, Any]:
        truth = random.integers(0, 3, tasks)
        task, worker = np.divmod(np.arange(tasks * 4), 4)
        said = np.where(random.random(len(task)) < 0.7, truth[task], random.integers(0, 3, len(task)))
        return task, worker, said

    true = agreement_of(*draw(40_000), level="nominal", classes=3, resamples=0).alpha
    covered = 0
    for seed in range(60):
        found = agreement_of(*draw(80), level="nominal", classes=3, seed=seed, resamples=120)
        covered += found.alpha_low <= true <= found.alpha_high  # type: ignore[operator]
    assert covered >= 50


def test_a_worker_at_random_is_seen_when_the_others_agree() -> None:
    random = np.random.default_rng(1)
    task, worker = np.divmod(np.arange(2000), 5)
    truth = random.integers(0, 4, 400)
    said = np.where(worker == 2, random.integers(0, 4, 2000), truth[task])
    found = agreement_of(task, worker, said, level="nominal", classes=4, resamples=0).by_worker
    assert found.alpha[2] == pytest.approx(0, abs=0.1)
    assert np.delete(found.alpha, 2).min() > 0.75
    assert found.agreement[2] == pytest.approx(0.25, abs=0.07)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_is_undefined_when_all_say_the_same_or_nobody_is_beside(level: Any) -> None:
    same = measured([(unit, who, 1) for unit in range(5) for who in range(3)], level, resamples=20)
    alone = measured([(unit, 0, unit % 2) for unit in range(5)], level, resamples=20)
    assert same.alpha is None
    assert same.alpha_low is None
    assert alone.alpha is None
    assert alone.pairwise is None
    assert np.isnan(alone.by_worker.agreement).all()
    if level != "interval":
        assert same.pairwise == 1
        assert same.ac1 == 1


def test_the_last_answer_counts_when_a_worker_gave_two() -> None:
    rows = [(0, 0, 0), (0, 1, 1), (0, 0, 1), (1, 0, 0), (1, 1, 0)]
    found = measured(rows, "nominal")
    assert found.answers == 4
    assert found.alpha == pytest.approx(1)


def test_nothing_is_measured_when_there_are_no_answers() -> None:
    found = agreement_of([], [], [], level="nominal", classes=3)
    assert (found.alpha, found.ac1, found.pairwise, found.tasks) == (None, None, None, 0)
    assert [one.answers for one in found.by_class] == [0, 0, 0]
    assert agreement_of([], [], [], level="interval", classes=None).alpha is None


@pytest.mark.parametrize(
    ("label", "level", "message"),
    [
        ([0, 5], "nominal", "from 0 to 2"),
        ([0, -1], "ordinal", "from 0 to 2"),
        ([0, 0.5], "nominal", "whole numbers"),
        ([0.0, float("nan")], "interval", "not finite"),
        ([0], "nominal", "same length"),
    ],
)
def test_bad_labels_are_refused_when_they_cannot_be_counted(label: list[float], level: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        agreement_of([0, 0], [0, 1], label, level=level, classes=3)


def test_ten_thousand_classes_are_counted_when_there_are_so_many() -> None:
    random = np.random.default_rng(2)
    task, worker = np.divmod(np.arange(60_000), 3)
    truth = random.integers(0, 10_000, 20_000)
    found = agreement_of(task, worker, truth[task], level="nominal", classes=10_000, resamples=5)
    assert found.alpha == pytest.approx(1)
    assert len(found.by_class) == 10_000


def test_similarity_is_the_mean_over_tasks_when_answers_are_alike() -> None:
    task = [7, 7, 8, 8, 8, 9]
    value = [1.0, 0.5, 1.0, 1.0, 0.4, 1.0]
    found = similarity_of(task, lambda i, j: 1 - abs(value[i] - value[j]))
    assert found.pairs == 4
    assert found.mean == pytest.approx((0.5 + (1 + 0.4 + 0.4) / 3) / 2)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.mean <= found.high
    many = similarity_of([1] * 30, lambda i, j: 0.5, most_pairs=20)
    assert (many.pairs, many.mean, many.low) == (20, 0.5, None)
    assert similarity_of([1, 2], lambda i, j: 1.0).mean is None
