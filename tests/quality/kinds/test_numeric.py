"""Consensus of numbers: what the model corrects, what it must not change, and how it meets bad input."""

import json
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.engine import AnswerRow, Learned
from marketplace.quality.consensus.numeric import NumericFit, fit_numeric
from marketplace.quality.consensus.numeric_kind import NumericModel, on_scale
from marketplace.quality.consensus.numeric_model import within
from marketplace.quality.spec import LabelSpec

SCALE = LabelSpec(LabelKind.NUMERIC_SCALE, low=0.0, high=100.0, tolerance=5.0)


def crowd(
    seed: int, tasks: int = 200, workers: int = 12, each: int = 5, *, bias: float = 4.0, blur: float = 3.0
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return task, worker, value and truth of a crowd whose workers differ in bias and in the size of their errors."""
    random = np.random.default_rng(seed)
    truth = random.normal(50, 10, tasks)
    shift = random.normal(0, bias, workers)
    noise = blur * np.exp(random.normal(0, 0.5, workers))
    task = np.repeat(np.arange(tasks), each)
    worker = np.concatenate([random.permutation(workers)[:each] for _ in range(tasks)])
    value = truth[task] + shift[worker] + noise[worker] * random.normal(size=len(task))
    return task, worker, value, truth


def mean_of(task: np.ndarray[Any, Any], value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(np.bincount(task, weights=value) / np.bincount(task))


def spikes(seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return answers most of which are 0, by workers who go different lengths and blur differently."""
    random = np.random.default_rng(seed)
    truth = np.where(random.random(300) < 0.5, 0.0, random.uniform(0, 60, 300))
    stretch = np.exp(random.normal(0, 0.4, 10))
    noise = random.uniform(2, 15, 10)
    task, worker = np.repeat(np.arange(300), 6), np.concatenate([random.permutation(10)[:6] for _ in range(300)])
    value = np.maximum(0, stretch[worker] * truth[task] + noise[worker] * random.normal(size=1800) - 5).round()
    return task, worker, value, truth


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_values_beat_the_mean_when_workers_are_biased(seed: int) -> None:
    task, worker, value, truth = crowd(seed)
    fit = fit_numeric(task, worker, value)
    ours, mean = np.abs(fit.value - truth).mean(), np.abs(mean_of(task, value) - truth).mean()
    assert ours < 0.85 * mean


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_values_beat_the_mean_when_one_number_stands_out(seed: int) -> None:
    task, worker, value, truth = spikes(seed)
    fit = fit_numeric(task, worker, value)
    assert fit.model.frame.spiked
    assert fit.model.frame.origin == 0
    assert np.abs(fit.value - truth).mean() < np.abs(mean_of(task, value) - truth).mean()


def test_bias_of_a_worker_is_found_when_all_answered_all() -> None:
    task, worker = np.divmod(np.arange(600), 6)
    random = np.random.default_rng(1)
    truth = random.normal(0, 5, 100)
    value = truth[task] + random.normal(size=600) + np.where(worker == 3, 6.0, 0.0)
    fit = fit_numeric(task, worker, value)
    others = np.delete(fit.bias, 3).mean()
    assert fit.bias[3] - others == pytest.approx(6.0, abs=0.5)
    assert np.abs(fit.value - fit.value.mean() - (truth - truth.mean())).mean() < 0.45


def test_a_careless_worker_counts_less_when_the_others_are_exact() -> None:
    task, worker = np.divmod(np.arange(600), 4)
    random = np.random.default_rng(2)
    truth = random.uniform(0, 100, 150)
    value = truth[task] + np.where(worker == 0, 20.0, 1.0) * random.normal(size=600)
    fit = fit_numeric(task, worker, value)
    assert fit.variance[0] > 20 * fit.variance[1:].max()
    assert np.abs(fit.value - truth).mean() < 0.25 * np.abs(mean_of(task, value) - truth).mean()


@pytest.mark.parametrize("outlier", [1e4, 1e9, -1e12])
def test_values_stay_when_one_answer_is_absurd(outlier: float) -> None:
    task, worker, value, truth = crowd(3)
    plain = np.abs(fit_numeric(task, worker, value).value - truth)
    value = value.copy()
    value[7] = outlier
    changed = np.abs(fit_numeric(task, worker, value).value - truth)
    assert changed[task[7]] < 15
    assert changed.mean() < plain.mean() + 0.3


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_nothing_changes_when_answers_and_ids_are_permuted(seed: int) -> None:
    task, worker, value, _ = crowd(seed, tasks=25, workers=5, each=3)
    random = np.random.default_rng(seed)
    order, names, people = random.permutation(len(task)), random.permutation(25), random.permutation(5)
    one = fit_numeric(task, worker, value)
    other = fit_numeric(names[task][order], people[worker][order], value[order])
    assert other.value[names] == pytest.approx(one.value, rel=1e-6, abs=1e-6)
    assert other.variance[people] == pytest.approx(one.variance, rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.floats(-1e3, 1e3), stretch=st.floats(0.01, 100))
def test_values_follow_when_the_unit_changes(seed: int, shift: float, stretch: float) -> None:
    task, worker, value, _ = crowd(seed, tasks=25, workers=5, each=3)
    one = fit_numeric(task, worker, value)
    other = fit_numeric(task, worker, shift + stretch * value)
    assert other.value == pytest.approx(shift + stretch * one.value, rel=1e-5, abs=1e-4 * stretch)
    assert other.spread == pytest.approx(stretch * one.spread, rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 4), st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 1e-9])),
        min_size=1,
        max_size=60,
    )
)
def test_bound_never_falls_and_all_is_finite_whatever_the_answers(rows: list[tuple[int, int, float]]) -> None:
    task, worker, value = (np.array(column) for column in zip(*rows, strict=True))
    fit = fit_numeric(task, worker, value)
    bounds = np.array(fit.record.log_likelihood)
    assert (np.diff(bounds) >= -1e-9 * np.maximum(1, np.abs(bounds[1:]))).all()
    for column in (fit.value, fit.spread, fit.confidence, fit.bias, fit.scale, fit.variance):
        assert np.isfinite(column).all()
    assert ((fit.confidence >= 0) & (fit.confidence <= 1)).all()


@pytest.mark.parametrize("make", [crowd, spikes])
def test_bound_never_falls_when_the_crowd_is_large(make: Any) -> None:
    task, worker, value, _ = make(5)
    record = fit_numeric(task, worker, value).record
    assert record.converged
    assert record.iterations == len(record.log_likelihood) > 2
    assert np.diff(record.log_likelihood).min() >= -1e-9 * abs(record.log_likelihood[-1])


def test_constant_answers_are_kept_when_nobody_differs() -> None:
    fit = fit_numeric([1, 1, 2, 2], [1, 2, 1, 2], [7.0, 7.0, 7.0, 7.0], tolerance=1.0)
    assert fit.value == pytest.approx([7.0, 7.0])
    assert np.isfinite(fit.spread).all()


def test_a_single_answer_is_drawn_to_the_others_when_there_is_one_worker() -> None:
    fit = fit_numeric([1, 2, 3], ["w", "w", "w"], [10.0, 20.0, 60.0])
    assert fit.tasks.tolist() == [1, 2, 3]
    assert (np.diff(fit.value) > 0).all()
    assert fit.value.min() >= 10
    assert fit.value.max() <= 60


def test_gold_holds_and_teaches_when_it_is_known() -> None:
    task, worker = np.divmod(np.arange(200), 2)
    random = np.random.default_rng(4)
    truth = random.normal(0, 3, 100)
    value = truth[task] + 0.5 * random.normal(size=200) + 5.0
    gold = {index: float(truth[index]) for index in range(40)}
    fit = fit_numeric(task, worker, value, gold=gold)
    assert fit.value[:40] == pytest.approx(truth[:40])
    assert (fit.spread[:40] == 0).all()
    assert fit.bias == pytest.approx([5.0, 5.0], abs=0.6)
    # both workers add 5, which only gold can tell
    assert np.abs(fit.value[40:] - truth[40:]).mean() < 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_fit_refuses_when_a_number_is_not_finite(bad: float) -> None:
    with pytest.raises(ValueError, match="no finite number"):
        fit_numeric([1, 2], [1, 1], [0.0, bad])
    with pytest.raises(ValueError, match="gold number is not finite"):
        fit_numeric([1, 2], [1, 1], [0.0, 1.0], gold={1: bad})


def test_fit_refuses_when_lengths_differ() -> None:
    with pytest.raises(ValueError, match="same length"):
        fit_numeric([1, 2], [1], [0.0, 1.0])


def test_fit_is_empty_when_there_are_no_answers() -> None:
    fit = fit_numeric([], [], [])
    assert len(fit.value) == len(fit.workers) == 0


def test_within_is_the_normal_share_and_certain_when_there_is_no_spread() -> None:
    assert within(0.0, 1.0, 1.959964) == pytest.approx(0.95, abs=1e-6)
    assert within(1.0, 0.0, 2.0) == pytest.approx(1.0)
    assert within(3.0, 0.0, 2.0) == pytest.approx(0.0)
    assert within(0.0, 0.0, 0.0) == 1


def rows_of(task: Any, worker: Any, value: Any) -> list[AnswerRow]:
    return [
        AnswerRow(UUID(int=int(t)), UUID(int=1000 + int(w)), {"value": float(v)})
        for t, w, v in zip(task, worker, value, strict=True)
    ]


def through_json(learned: Learned) -> Learned:
    return Learned(learned.workers, json.loads(json.dumps(learned.parameters)), learned.record, learned.calibration)


def test_kind_gives_the_values_of_the_fit_when_its_parameters_went_through_json() -> None:
    task, worker, value, _ = crowd(6)
    rows = rows_of(task, worker, np.clip(value, 0, 100))
    fit: NumericFit = fit_numeric(task, worker, np.clip(value, 0, 100))
    learned = NumericModel().fit(SCALE, rows, {}, 0)
    found = NumericModel().consolidate(SCALE, rows[::-1], through_json(learned), 0)
    assert [one.task for one in found] == [UUID(int=index) for index in range(200)]
    assert [one.value["value"] for one in found] == pytest.approx(fit.value, abs=1e-6)
    assert all(one.answers == 5 and 0 <= one.confidence <= 1 for one in found)


def test_kind_stays_on_the_scale_when_it_has_steps() -> None:
    spec = LabelSpec(LabelKind.NUMERIC_SCALE, low=0.0, high=100.0, tolerance=5.0, step=0.1)
    task, worker, value, _ = crowd(7, tasks=30)
    rows = rows_of(task, worker, np.clip(value, 0, 100).round(1))
    learned = NumericModel().fit(spec, rows, {}, 0)
    for one in NumericModel().consolidate(spec, rows, learned, 0):
        number = one.value["value"]
        assert 0 <= number <= 100
        assert number == round(number, 1)
    assert on_scale(spec, np.array([-3.0, 104.0, 0.06])).tolist() == [0.0, 100.0, 0.1]
    odd = LabelSpec(LabelKind.NUMERIC_SCALE, low=0.0, high=10.0, step=4.0)
    assert on_scale(odd, np.array([9.9])).tolist() == [8.0]


def test_a_worker_nobody_met_counts_as_the_pool_when_tasks_come_later() -> None:
    task, worker, value, _ = crowd(8)
    learned = NumericModel().fit(SCALE, rows_of(task, worker, np.clip(value, 0, 100)), {}, 0)
    later = rows_of([900, 900], [98, 99], [40.0, 44.0])
    (found,) = NumericModel().consolidate(SCALE, later, learned, 0)
    assert 40 < found.value["value"] < 46


def test_confidence_is_honest_when_gold_says_that_all_share_an_error() -> None:
    random = np.random.default_rng(9)
    task, worker = np.divmod(np.arange(1500), 5)
    truth = random.uniform(20, 80, 300)
    # an error that all workers share: no model can see it without gold
    value = np.clip(truth + random.normal(0, 8, 300), 0, 100)[task] + random.normal(size=1500)
    rows = rows_of(task, worker, np.clip(value, 0, 100))
    gold = {UUID(int=index): {"value": float(truth[index])} for index in range(100)}
    plain = NumericModel().fit(SCALE, rows, {}, 0)
    learned = NumericModel().fit(SCALE, rows, gold, 0)
    assert plain.calibration.samples == 0
    assert learned.calibration.samples == 100
    found = NumericModel().consolidate(SCALE, rows, learned, 0)[100:]
    hits = np.mean([abs(one.value["value"] - truth[100 + index]) <= 5 for index, one in enumerate(found)])
    assert np.mean([one.confidence for one in found]) == pytest.approx(hits, abs=0.1)
    naive = NumericModel().consolidate(SCALE, rows, plain, 0)[100:]
    assert np.mean([one.confidence for one in naive]) > hits + 0.2


def test_skill_orders_workers_when_some_are_exact() -> None:
    random = np.random.default_rng(10)
    task, worker = np.divmod(np.arange(800), 4)
    truth = random.uniform(20, 80, 200)
    value = truth[task] + np.array([0.5, 2.0, 5.0, 15.0])[worker] * random.normal(size=800)
    learned = NumericModel().fit(SCALE, rows_of(task, worker, np.clip(value, 0, 100)), {}, 0)
    skills = [learned.workers[UUID(int=1000 + index)] for index in range(4)]
    assert [one.answers for one in skills] == [200] * 4
    assert skills[0].accuracy > skills[1].accuracy - 0.02 > skills[2].accuracy > skills[3].accuracy
    assert all(one.low < one.accuracy < one.high for one in skills)


def test_kind_returns_nothing_when_there_are_no_answers() -> None:
    learned = NumericModel().fit(SCALE, [], {}, 0)
    assert NumericModel().consolidate(SCALE, [], learned, 0) == []


ROUGH = LabelSpec(LabelKind.NUMERIC_SCALE, low=0.0, high=100.0, tolerance=10.0)


def judged(task: Any, worker: Any, value: Any, spec: LabelSpec = ROUGH) -> list[tuple[float, float]]:
    """Return the value and confidence of each task, of a fit to these answers alone and without gold."""
    rows = rows_of(task, worker, value)
    found = NumericModel().consolidate(spec, rows, through_json(NumericModel().fit(spec, rows, {}, 0)), 0)
    return [(one.value["value"], one.confidence) for one in found]


@pytest.mark.parametrize(
    ("said", "label", "least", "most"),
    [
        ([37.0], 37.0, 0.35, 0.65),
        ([0.0, 100.0], 50.0, 0.1, 0.45),
        ([40.0, 60.0], 50.0, 0.5, 0.8),
        ([50.0, 50.0, 90.0], 63.0, 0.4, 0.75),
        ([50.0, 50.0, 50.0], 50.0, 0.85, 0.98),
    ],
)
def test_confidence_is_modest_when_there_is_one_task(
    said: list[float], label: float, least: float, most: float
) -> None:
    ((value, sure),) = judged([0] * len(said), range(len(said)), said)
    assert value == pytest.approx(label, abs=1)
    assert least < sure < most


def test_confidence_falls_when_the_answers_of_a_lone_task_differ_more() -> None:
    sure = [judged([0, 0], [0, 1], [50.0 - off, 50.0 + off])[0][1] for off in (0.0, 5.0, 10.0, 20.0, 50.0)]
    assert sure == sorted(sure, reverse=True)
    assert sure[-1] < 0.5 * sure[0]


@pytest.mark.parametrize(("tasks", "each", "fits"), [(1, 2, 120), (1, 3, 120), (3, 3, 50), (10, 2, 20), (12, 3, 15)])
def test_confidence_is_the_share_right_when_few_tasks_are_known(tasks: int, each: int, fits: int) -> None:
    random = np.random.default_rng(11)
    sure, right = [], []
    for _ in range(fits):
        truth = random.uniform(0, 100, tasks)
        task, worker = np.divmod(np.arange(tasks * each), each)
        value = np.clip(truth[task] + 20 * random.normal(size=len(task)), 0, 100)
        found = judged(task, worker, value)
        sure += [one[1] for one in found]
        right += [abs(one[0] - truth[index]) <= 10 for index, one in enumerate(found)]
    assert np.mean(sure) == pytest.approx(np.mean(right), abs=0.12)


def test_confidence_is_modest_when_every_task_got_the_same_number_once() -> None:
    found = judged(range(30), range(30), [50.0] * 30)
    assert all(value == pytest.approx(50.0) and sure < 0.99 for value, sure in found)


def test_confidence_follows_the_scale_when_the_answers_are_the_same() -> None:
    narrow = LabelSpec(LabelKind.NUMERIC_SCALE, low=0.0, high=1000.0, tolerance=10.0)
    assert judged([0, 0], [0, 1], [50.0, 50.0], narrow)[0][1] < 0.25 < judged([0, 0], [0, 1], [50.0, 50.0])[0][1]


def test_an_answer_is_kept_when_no_task_was_known_before() -> None:
    learned = NumericModel().fit(ROUGH, [], {}, 0)
    (found,) = NumericModel().consolidate(ROUGH, rows_of([1], [1], [93.0]), through_json(learned), 0)
    assert found.value["value"] == pytest.approx(93.0)
    assert 0.3 < found.confidence < 0.65


def test_disagreement_bounds_the_confidence_when_the_workers_are_known_as_exact() -> None:
    task, worker, value, _ = crowd(12, bias=1.0, blur=1.0)
    learned = NumericModel().fit(ROUGH, rows_of(task, worker, np.clip(value, 0, 100)), {}, 0)
    later = rows_of([900, 900, 901, 901], [1000, 1001, 1000, 1001], [49.0, 51.0, 10.0, 90.0])
    agreed, split = NumericModel().consolidate(ROUGH, later, learned, 0)
    assert agreed.confidence > 0.99
    assert split.confidence < 0.6
    # what the workers' variances say, shrunk with the task's own answers, is 16.1: below the limit of these alone
    assert split.distribution["spread"] > 17
