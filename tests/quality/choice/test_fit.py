"""Choices: a bound that never falls, gold, ties, bad input, and a crowd that the majority loses."""

from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.choice.calibration import calibrate, temper
from marketplace.quality.consensus.choice.errors import VotesInvalid, VotesTooWide
from marketplace.quality.consensus.choice.fit import fit_choice
from marketplace.quality.consensus.choice.kind import ChoiceModel
from marketplace.quality.consensus.choice.settings import ChoiceSettings, Model
from marketplace.quality.consensus.choice.votes import Votes
from marketplace.quality.consensus.engine import AnswerRow
from marketplace.quality.spec import LabelSpec

ABC = LabelSpec(LabelKind.SINGLE_CHOICE, ("a", "b", "c"))


def crowd(seed: int = 1, *, tasks: int = 400, per_task: int = 5, classes: int = 3) -> tuple[Votes, np.ndarray]:
    """Six good workers and ten who guess."""
    draws = np.random.default_rng(seed)
    truth = draws.integers(0, classes, tasks)
    ability = np.array([0.93] * 6 + [1 / classes] * 10)
    worker = np.concatenate([draws.choice(16, per_task, replace=False) for _ in range(tasks)])
    task = np.repeat(np.arange(tasks), per_task)
    wrong = (truth[task] + draws.integers(1, classes, len(task))) % classes
    label = np.where(draws.random(len(task)) < ability[worker], truth[task], wrong)
    return Votes(task, worker, label, tasks, 16, classes), truth


def majority_share(votes: Votes, truth: np.ndarray) -> float:
    shares = np.zeros((votes.tasks, votes.classes))
    np.add.at(shares, (votes.task, votes.label), 1)
    best = shares == shares.max(axis=1, keepdims=True)
    return float((best[np.arange(votes.tasks), truth] / best.sum(axis=1)).mean())


@pytest.mark.parametrize("seed", range(4))
def test_labels_beat_the_majority_when_many_guess(seed: int) -> None:
    votes, truth = crowd(seed)
    fitted = fit_choice(votes)
    assert (fitted.label == truth).mean() > majority_share(votes, truth) + 0.05
    accuracy = fitted.accuracy()
    assert accuracy[:6, 0].min() > accuracy[6:, 0].max()
    assert (accuracy[:, 1] <= accuracy[:, 0]).all()
    assert (accuracy[:, 0] <= accuracy[:, 2]).all()


@pytest.mark.parametrize("model", ["full", "one_coin", "dawid_skene"])
@pytest.mark.parametrize("seed", range(3))
def test_bound_never_falls_when_iterated(model: Model, seed: int) -> None:
    votes, truth = crowd(seed, per_task=3, tasks=150)
    gold = np.where(np.arange(votes.tasks) < 20, truth, -1)
    for known in (None, gold):
        values = np.array(
            fit_choice(votes, known, settings=ChoiceSettings(model=model, tolerance=0)).record.log_likelihood
        )
        assert len(values) > 10
        assert (np.diff(values) >= -1e-9 * np.abs(values[:-1])).all()


def dawid_skene(votes: Votes, steps: int) -> np.ndarray:
    """EM as in the paper, vote by vote."""
    shares = np.zeros((votes.tasks, votes.classes))
    np.add.at(shares, (votes.task, votes.label), 1)
    shares /= shares.sum(axis=1, keepdims=True)
    for _ in range(steps):
        errors = np.zeros((votes.workers, votes.classes, votes.classes))
        np.add.at(errors, (votes.worker, votes.label), shares[votes.task])
        errors = np.maximum(errors, 1e-10)
        errors /= errors.sum(axis=1, keepdims=True)
        scores = np.tile(np.log(shares.mean(axis=0)), (votes.tasks, 1))
        np.add.at(scores, votes.task, np.log(errors[votes.worker, votes.label]))
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
    return shares


@pytest.mark.parametrize("classes", [2, 3, 20])
def test_plain_setting_is_dawid_and_skene_when_steps_are_equal(classes: int) -> None:
    votes, _ = crowd(classes=classes)
    plain = ChoiceSettings(model="dawid_skene", iterations=10, tolerance=0)
    assert fit_choice(votes, settings=plain).posterior == pytest.approx(dawid_skene(votes, 10), abs=1e-6)


def test_fit_is_the_same_when_votes_come_in_another_order() -> None:
    votes, _ = crowd()
    order = np.random.default_rng(3).permutation(len(votes))
    other = Votes(votes.task[order], votes.worker[order], votes.label[order], votes.tasks, votes.workers, votes.classes)
    assert np.array_equal(fit_choice(votes).posterior, fit_choice(other).posterior)
    assert np.array_equal(fit_choice(votes, seed=4).label, fit_choice(other, seed=4).label)


def test_gold_is_clamped_and_its_confidence_open_when_votes_are_wrong() -> None:
    votes, _ = crowd()
    wrong = (fit_choice(votes).label + 1) % 3
    fitted = fit_choice(votes, np.where(np.arange(400) == 0, wrong, -1))
    assert fitted.label[0] == wrong[0]
    assert fitted.posterior[0, wrong[0]] == 1
    assert fitted.confidence[0] < 0.5


def test_ties_are_split_when_nothing_tells_classes_apart() -> None:
    task = np.repeat(np.arange(600), 2)
    votes = Votes(task, np.tile([0, 1], 600), np.tile([0, 1], 600), 600, 2, 2)
    labels = fit_choice(votes, settings=ChoiceSettings(model="one_coin")).label
    assert 0.4 < labels.mean() < 0.6
    assert not np.array_equal(labels, fit_choice(votes, settings=ChoiceSettings(model="one_coin"), seed=9).label)


def test_worker_with_one_label_has_nearly_the_crowd_matrix() -> None:
    votes, _ = crowd()
    more = Votes(np.append(votes.task, 0), np.append(votes.worker, 16), np.append(votes.label, 0), 400, 17, 3)
    fitted = fit_choice(more)
    assert np.abs(fitted.confusion(16) - fitted.pool.T).max() < 0.45
    assert fitted.confusion(16).sum(axis=1) == pytest.approx([1, 1, 1])


def test_calibration_lowers_confidence_when_posteriors_are_too_sure() -> None:
    draws = np.random.default_rng(1)
    sure = np.tile([0.999, 0.001], (300, 1))
    truth = (draws.random(300) > 0.8).astype(np.int32)
    found = calibrate(sure, truth, 0.7, 0.4)
    assert found.samples == 300
    assert temper(sure[:1], found.parameters[2])[0, 0] == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("task", "worker", "label"), [([0], [0], [2]), ([0], [0], [-1]), ([0], [0], [float("nan")]), ([0, 1], [0], [0])]
)
def test_votes_are_refused_when_they_are_no_codes(task: list[int], worker: list[int], label: list[float]) -> None:
    with pytest.raises(VotesInvalid):
        Votes(np.array(task), np.array(worker), np.array(label), 2, 1, 2)


def test_ten_thousand_classes_fall_back_to_one_coin_and_more_are_refused() -> None:
    label = np.tile([5, 5, 9000], 50)
    votes = Votes(np.repeat(np.arange(50), 3), np.tile([0, 1, 2], 50), label, 50, 3, 10_000)
    fitted = fit_choice(votes)
    assert fitted.record.model == "one_coin"
    assert (fitted.label == 5).all()
    with pytest.raises(VotesTooWide):
        fit_choice(Votes(np.zeros(1, int), np.zeros(1, int), np.zeros(1, int), 1_000_000, 1, 10_000))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 2)), max_size=30), st.integers(1, 4))
def test_result_is_a_distribution_whatever_is_voted(rows: list[tuple[int, int, int]], classes: int) -> None:
    table = np.array([(a, b, c % classes) for a, b, c in rows], dtype=np.int64).reshape(-1, 3)
    fitted = fit_choice(Votes(table[:, 0], table[:, 1], table[:, 2], 6, 4, classes))
    assert fitted.posterior.sum(axis=1) == pytest.approx(np.ones(6))
    assert ((fitted.confidence >= 0) & (fitted.confidence <= 1)).all()
    assert ((fitted.label == -1) == (np.bincount(table[:, 0], minlength=6) == 0)).all()


def rows_of(votes: Votes) -> list[AnswerRow]:
    return [
        AnswerRow(UUID(int=int(t)), UUID(int=1000 + int(w)), {"choice": "abc"[int(c)]})
        for t, w, c in zip(votes.task, votes.worker, votes.label, strict=True)
    ]


def test_stored_model_gives_each_task_the_label_of_the_fit() -> None:
    votes, _ = crowd()
    rows, model = rows_of(votes), ChoiceModel()
    learned = model.fit(ABC, rows, {}, 0)
    found = model.consolidate(ABC, rows, learned, 0)
    fitted = fit_choice(votes)
    assert [each.confidence for each in found] == pytest.approx(list(fitted.confidence), abs=1e-4)
    assert [each.value["choice"] for each in found] == ["abc"[code] for code in fitted.label]
    one = model.consolidate(ABC, [row for row in rows if row.task == UUID(int=7)], learned, 0)
    assert one == [found[7]]


def test_unknown_workers_and_late_classes_get_a_result() -> None:
    votes, _ = crowd()
    model = ChoiceModel()
    learned = model.fit(ABC, rows_of(votes), {}, 0)
    found = model.consolidate(ABC, [AnswerRow(UUID(int=1), UUID(int=5), {"choice": "new"})], learned, 0)
    assert found[0].value == {"choice": "new"}
    nothing = model.fit(ABC, [], {}, 0)
    alone = model.consolidate(ABC, [AnswerRow(UUID(int=1), UUID(int=5), {"choice": "b"})], nothing, 0)[0]
    assert alone.value == {"choice": "b"}
    assert 0.5 < alone.confidence < 1


def test_one_class_is_certain_to_be_won_by_itself() -> None:
    spec = LabelSpec(LabelKind.SINGLE_CHOICE, ("a",))
    rows, model = [AnswerRow(UUID(int=1), UUID(int=2), {"choice": "a"})], ChoiceModel()
    found = model.consolidate(spec, rows, model.fit(spec, rows, {}, 0), 0)[0]
    assert found.value == {"choice": "a"}
    assert list(found.distribution) == ["a"]


def test_three_careless_workers_are_less_sure_than_three_careful_ones() -> None:
    rng = np.random.default_rng(5)
    tasks, careful, careless = 400, 6, 3
    truth = rng.integers(0, 2, tasks)
    given = np.concatenate(
        [np.where(rng.random((careful, tasks)) < 0.95, truth, 1 - truth), rng.integers(0, 2, (careless, tasks))]
    )
    # the last task is answered by the careless alone, the one before by three of the careful; each says the same
    given[:, -2:] = -1
    given[careful:, -1] = 1
    given[:3, -2] = 1
    worker, task = np.nonzero(given >= 0)
    votes = Votes(task, worker, given[worker, task], tasks, careful + careless, 2)
    fit = fit_choice(votes)
    assert fit.confidence[-2] > 0.9 > fit.confidence[-1]


def test_class_that_is_never_true_takes_no_tasks() -> None:
    lost = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        tasks, workers, each = 200, 10, 4
        truth = rng.integers(0, 2, tasks)
        worker = np.argsort(rng.random((tasks, workers)), axis=1)[:, :each].ravel()
        task = np.repeat(np.arange(tasks), each)
        label = np.where(rng.random(len(task)) < 0.85, truth[task], rng.integers(0, 3, len(task)))
        counts = np.zeros((tasks, 3))
        np.add.at(counts, (task, label), 1)
        best = counts >= counts.max(axis=1, keepdims=True)
        majority = (best[np.arange(tasks), truth] / best.sum(axis=1)).mean()
        lost.append(majority - (fit_choice(Votes(task, worker, label, tasks, workers, 3)).label == truth).mean())
    assert np.mean(lost) < 0.008  # 0.012 and 0.053 when the crowd's matrix leans on nothing
    assert max(lost) < 0.03
