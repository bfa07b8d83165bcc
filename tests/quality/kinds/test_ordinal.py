"""Consensus on scales of few steps."""

import json
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.engine import AnswerRow, Learned
from marketplace.quality.consensus.numeric_kind import NumericModel
from marketplace.quality.consensus.ordinal import StepAnswers, fit_ordinal, grid_logs
from marketplace.quality.consensus.ordinal_kind import OrdinalModel, is_ordinal, near, steps_of
from marketplace.quality.spec import LabelSpec

STARS = LabelSpec(LabelKind.NUMERIC_SCALE, low=1.0, high=5.0, step=1.0)
MODEL = OrdinalModel()


def crowd(seed: int, tasks: int = 250, workers: int = 12, each: int = 4) -> tuple[Any, Any, Any, Any]:
    """Return task, worker, label (0 to 4) and truth of workers with a shift and a blur each."""
    random = np.random.default_rng(seed)
    truth = random.choice(5, tasks, p=[0.1, 0.2, 0.3, 0.25, 0.15])
    shift, blur = random.normal(0, 0.6, workers), np.exp(random.normal(-0.4, 0.5, workers))
    task = np.repeat(np.arange(tasks), each)
    worker = np.concatenate([random.permutation(workers)[:each] for _ in range(tasks)])
    said = np.clip(np.rint(truth[task] + shift[worker] + blur[worker] * random.normal(size=len(task))), 0, 4)
    return task, worker, said.astype(np.int64), truth


def rows_of(task: Any, worker: Any, label: Any) -> list[AnswerRow]:
    return [
        AnswerRow(UUID(int=int(t)), UUID(int=1000 + int(w)), {"value": float(x) + 1})
        for t, w, x in zip(task, worker, label, strict=True)
    ]


def vote(task: Any, label: Any, tasks: int) -> Any:
    """Return the rounded mean, the better of the simple ways."""
    return np.rint(np.bincount(task, weights=label, minlength=tasks) / np.bincount(task, minlength=tasks))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_steps_beat_the_rounded_mean_when_workers_shift_and_blur(seed: int) -> None:
    task, worker, label, truth = crowd(seed)
    rows = rows_of(task, worker, label)
    found = MODEL.consolidate(STARS, rows, MODEL.fit(STARS, rows, {}, 0), 0)
    ours = np.array([one.value["value"] - 1 for one in found])
    assert (ours == truth).mean() > (vote(task, label, 250) == truth).mean() + 0.02


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=50),
    gold=st.dictionaries(st.integers(0, 6), st.integers(0, 4), max_size=3),
)
def test_bound_never_falls_whatever_the_answers(rows: list[tuple[int, int, int]], gold: dict[int, int]) -> None:
    task, worker, label = (np.array(column) for column in zip(*rows, strict=True))
    fit = fit_ordinal(StepAnswers(task, worker, label, 7, 5, 5), gold)
    bounds = np.array(fit.record.log_likelihood)
    assert (np.diff(bounds) >= -1e-9 * np.abs(bounds[1:])).all()
    assert fit.posterior.sum(axis=1) == pytest.approx(np.ones(7))
    for where, step in gold.items():
        assert fit.posterior[where, step] == 1


def test_grid_is_of_probabilities_and_falls_with_the_distance() -> None:
    share = np.exp(grid_logs(5)).reshape(-1, 5, 5)
    assert share.sum(axis=2) == pytest.approx(np.ones(share.shape[:2]))
    # no shift, a blur of 0.9: the middle step is said less, the further it is from the truth
    usual = share[6 * 10 + 4]
    assert usual[2, 2] > usual[2, 3] > usual[2, 4]


def test_result_is_the_same_when_answers_come_in_another_order_and_through_json() -> None:
    rows = rows_of(*crowd(3, tasks=40)[:3])
    one = MODEL.fit(STARS, rows, {}, 0)
    other = MODEL.fit(STARS, rows[::-1], {}, 0)
    read = Learned(other.workers, json.loads(json.dumps(other.parameters)), other.record, other.calibration)
    assert MODEL.consolidate(STARS, rows, one, 0) == MODEL.consolidate(STARS, rows[::-1], read, 0)


def test_confidence_counts_the_near_steps_when_there_is_a_tolerance() -> None:
    wide = LabelSpec(LabelKind.NUMERIC_SCALE, low=1.0, high=5.0, step=1.0, tolerance=1.0)
    rows = rows_of([1, 1], [1, 2], [1, 2])
    strict, near_enough = (
        MODEL.consolidate(spec, rows, MODEL.fit(spec, rows, {}, 0), 0)[0].confidence for spec in (STARS, wide)
    )
    assert near_enough > strict + 0.1
    assert near(np.array([1.0, 2.0, 3.0]), 1.0).tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]


def test_gold_makes_confidence_honest_when_all_share_an_error() -> None:
    random = np.random.default_rng(4)
    truth = random.integers(0, 5, 300)
    seen = np.where(random.random(300) < 0.35, random.integers(0, 5, 300), truth)
    task, worker = np.divmod(np.arange(1500), 5)
    label = np.where(random.random(1500) < 0.9, seen[task], random.integers(0, 5, 1500))
    rows = rows_of(task, worker, label)
    gold = {UUID(int=index): {"value": float(truth[index]) + 1} for index in range(120)}
    learned = MODEL.fit(STARS, rows, gold, 0)
    assert learned.calibration.method == "temperature"
    found = MODEL.consolidate(STARS, rows, learned, 0)[120:]
    hits = np.mean([one.value["value"] - 1 == truth[120 + index] for index, one in enumerate(found)])
    assert np.mean([one.confidence for one in found]) == pytest.approx(hits, abs=0.08)


def test_scales_are_ordinal_when_their_steps_are_few() -> None:
    assert is_ordinal(STARS)
    assert steps_of(STARS).tolist() == [1, 2, 3, 4, 5]
    assert is_ordinal(LabelSpec(LabelKind.NUMERIC_SCALE, low=0.0, high=1.0, step=0.1))
    assert not is_ordinal(LabelSpec(LabelKind.NUMERIC_SCALE, low=0.0, high=11.0, step=1.0))
    assert not is_ordinal(LabelSpec(LabelKind.NUMERIC_SCALE, low=0.0, high=5.0))


def test_numeric_kind_hands_over_when_the_scale_is_ordinal() -> None:
    rows = rows_of(*crowd(5, tasks=30)[:3])
    learned = NumericModel().fit(STARS, rows, {}, 0)
    assert learned.record.model.startswith("ordinal")
    found = NumericModel().consolidate(STARS, rows, learned, 0)
    assert {one.value["value"] for one in found} <= {1.0, 2.0, 3.0, 4.0, 5.0}
    assert all(sum(one.distribution.values()) == pytest.approx(1) for one in found)


def test_one_answer_is_taken_when_there_is_one_worker() -> None:
    rows = rows_of([1, 2], [1, 1], [4, 0])
    found = MODEL.consolidate(STARS, rows, MODEL.fit(STARS, rows, {}, 0), 0)
    assert [one.value["value"] for one in found] == [5.0, 1.0]


def test_ties_are_split_by_the_task_when_two_say_different_things() -> None:
    rows = [row for task in range(60) for row in rows_of([task, task], [1, 2], [task % 2 * 2 + 1, 3 - task % 2 * 2])]
    found = MODEL.consolidate(STARS, rows, MODEL.fit(STARS, rows, {}, 0), 0)
    assert found == MODEL.consolidate(STARS, rows[::-1], MODEL.fit(STARS, rows[::-1], {}, 0), 0)


@pytest.mark.parametrize("model", [MODEL, NumericModel()])
@pytest.mark.parametrize("spec", [STARS, LabelSpec(LabelKind.NUMERIC_SCALE, low=1.0, high=5.0)])
def test_numbers_are_refused_when_they_are_not_finite(model: Any, spec: LabelSpec) -> None:
    spec = STARS if model is MODEL else spec
    good = rows_of([1], [1], [2])
    learned = model.fit(spec, good, {}, 0)
    bad = rows_of([1], [1], [float("nan")])
    with pytest.raises(ValueError, match="finite"):
        model.fit(spec, bad, {}, 0)
    with pytest.raises(ValueError, match="finite"):
        model.consolidate(spec, bad, learned, 0)


def test_nothing_is_returned_when_there_are_no_answers() -> None:
    learned = MODEL.fit(STARS, [], {}, 0)
    assert MODEL.consolidate(STARS, [], learned, 0) == []
