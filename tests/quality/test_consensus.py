"""Consensus: against brute force, against the majority on synthetic crowds, and the same whatever the order."""

import random
from collections import Counter
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.engine import AnswerRow, Convergence, Learned, TaskConsensus, WorkerSkill
from marketplace.quality.consensus.open_kinds import weighted_median
from marketplace.quality.consensus.vote_model import VoteModel
from marketplace.quality.similarity import same, similarity
from marketplace.quality.spec import SAME_FROM, LabelSpec

ABC = LabelSpec(LabelKind.SINGLE_CHOICE, ("a", "b", "c"), same_from=1.0)


def uid(number: int) -> UUID:
    return UUID(int=number)


def consolidate(spec: LabelSpec, rows: list[AnswerRow], accuracy: dict[UUID, float]) -> list[TaskConsensus]:
    workers = {worker: WorkerSkill(value, 0, 1, 0, 0) for worker, value in accuracy.items()}
    return VoteModel().consolidate(spec, rows, Learned(workers, {}, Convergence("given", 0, True, ())), seed=0)


def learn(spec: LabelSpec, rows: list[AnswerRow], gold: dict[UUID, Any]) -> dict[UUID, float]:
    return {worker: skill.accuracy for worker, skill in VoteModel().fit(spec, rows, gold, seed=0).workers.items()}


def votes(spec: LabelSpec, *values: Any, task: int = 1) -> list[AnswerRow]:
    return [AnswerRow(uid(task), uid(100 + index), spec.answer(value)) for index, value in enumerate(values)]


def test_posterior_follows_bayes_when_accuracies_differ() -> None:
    rows = votes(ABC, "a", "b")
    found = consolidate(ABC, rows, {uid(100): 0.9, uid(101): 0.6})[0]
    likelihood = {"a": 0.9 * 0.4 / 2, "b": 0.1 / 2 * 0.6, "c": 0.1 / 2 * 0.4 / 2}
    total = sum(likelihood.values())
    assert found.value == {"choice": "a"}
    assert found.distribution == pytest.approx({name: value / total for name, value in likelihood.items()})
    assert found.confidence == pytest.approx(likelihood["a"] / total)


def test_ties_are_split_over_classes_when_many_tasks_are_tied() -> None:
    rows = [row for task in range(400) for row in votes(ABC, "a", "b", task=task)]
    found = consolidate(ABC, rows, {})
    counts = Counter(each.value["choice"] for each in found)
    assert counts["c"] == 0
    assert 150 < counts["a"] < 250
    assert found == consolidate(ABC, rows, {})


def test_worker_at_chance_adds_nothing_when_others_voted() -> None:
    alone = consolidate(ABC, votes(ABC, "a"), {uid(100): 0.8})[0]
    with_clicker = consolidate(ABC, votes(ABC, "a", "b"), {uid(100): 0.8, uid(101): 1 / 3})[0]
    assert with_clicker.confidence == pytest.approx(alone.confidence)


def crowd(seed: int, accuracies: list[float], *, tasks: int, per_task: int) -> tuple[list[AnswerRow], dict[UUID, str]]:
    draws = random.Random(seed)
    truth = {uid(task): draws.choice(ABC.classes) for task in range(1, tasks + 1)}
    rows = []
    for task, right in truth.items():
        for worker in draws.sample(range(len(accuracies)), per_task):
            wrong = draws.choice([name for name in ABC.classes if name != right])
            said = right if draws.random() < accuracies[worker] else wrong
            rows.append(AnswerRow(task, uid(10_000 + worker), {"choice": said}))
    return rows, truth


def majority_share(rows: list[AnswerRow], truth: dict[UUID, str]) -> float:
    """Accuracy of the majority, a tie counting its share."""
    counts: dict[UUID, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row.task, Counter())[row.value["choice"]] += 1
    total = 0.0
    for task, counter in counts.items():
        best = [name for name, count in counter.items() if count == max(counter.values())]
        total += (truth[task] in best) / len(best)
    return total / len(counts)


@pytest.mark.parametrize("seed", range(6))
def test_consensus_beats_majority_when_a_crowd_is_mixed(seed: int) -> None:
    accuracies = [0.95] * 6 + [0.75] * 8 + [1 / 3] * 8
    rows, truth = crowd(seed, accuracies, tasks=600, per_task=5)
    weights = learn(ABC, rows, {})
    found = consolidate(ABC, rows, weights)
    share = sum(each.value["choice"] == truth[each.task] for each in found) / len(found)
    assert share > majority_share(rows, truth) + 0.02
    assert weights[uid(10_000)] > weights[uid(10_010)] > weights[uid(10_020)]


def test_gold_weights_beat_majority_when_known_before_the_end() -> None:
    accuracies = [0.95] * 6 + [1 / 3] * 10
    rows, truth = crowd(7, accuracies, tasks=600, per_task=5)
    known, right = crowd(8, accuracies, tasks=20, per_task=16)
    known = [AnswerRow(UUID(int=row.task.int + 10_000_000), row.worker, row.value) for row in known]
    gold = {UUID(int=task.int + 10_000_000): {"choice": name} for task, name in right.items()}
    found = consolidate(ABC, rows, learn(ABC, known, gold))
    share = sum(each.value["choice"] == truth[each.task] for each in found) / len(found)
    assert share > majority_share(rows, truth) + 0.05


def test_result_is_the_same_when_answers_come_in_another_order() -> None:
    rows, _ = crowd(3, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], tasks=200, per_task=4)
    shuffled = random.Random(1).sample(rows, len(rows))
    one = consolidate(ABC, rows, learn(ABC, rows, {}))
    other = consolidate(ABC, shuffled, learn(ABC, shuffled, {}))
    assert one == other


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=9), st.lists(st.floats(0, 1), min_size=9, max_size=9))
def test_posterior_is_a_distribution_whatever_is_voted(values: list[str], accuracies: list[float]) -> None:
    found = consolidate(ABC, votes(ABC, *values), {uid(100 + n): a for n, a in enumerate(accuracies)})[0]
    assert sum(found.distribution.values()) == pytest.approx(1)
    assert found.confidence == pytest.approx(max(found.distribution.values()))
    assert found.value["choice"] in values
    assert found.distribution[found.value["choice"]] == pytest.approx(found.confidence)


def test_options_are_decided_one_by_one_when_several_may_be_chosen() -> None:
    spec = LabelSpec(LabelKind.MULTIPLE_CHOICE, ("x", "y", "z"))
    found = consolidate(spec, votes(spec, ["x"], ["x", "y"], ["y", "x"]), {})[0]
    assert found.value == {"choices": ["x", "y"]}
    assert found.distribution["x"] > 0.99 > found.distribution["y"] > 0.5 > found.distribution["z"]
    assert found.confidence < found.distribution["y"]


def test_number_is_the_weighted_median_when_one_is_far_off() -> None:
    spec = LabelSpec(LabelKind.NUMERIC_SCALE, low=0, high=100, tolerance=5)
    found = consolidate(spec, votes(spec, 10, 12, 90), {})[0]
    assert found.value == {"value": 12.0}
    assert found.distribution == pytest.approx({"agreeing": 2 / 3, "spread": 2.0})
    assert 0.8 < found.confidence < 0.999


@pytest.mark.parametrize(
    ("numbers", "weights", "median"),
    [([1, 2, 3], [1, 1, 1], 2), ([1, 2], [1, 1], 1.5), ([1, 2, 3], [1, 1, 5], 3), ([5], [0.8], 5)],
)
def test_weighted_median_when_weights_differ(numbers: list[float], weights: list[float], median: float) -> None:
    assert weighted_median(np.array(numbers, dtype=float), np.array(weights, dtype=float)) == median


def span(start: int, end: int, label: str = "person") -> dict[str, Any]:
    return {"start": start, "end": end, "label": label}


def test_spans_are_what_most_cover_when_boundaries_differ() -> None:
    spec = LabelSpec(LabelKind.TEXT_SPANS, ("person", "place"), same_from=SAME_FROM[LabelKind.TEXT_SPANS])
    rows = votes(spec, [span(0, 5), span(9, 12, "place")], [span(0, 6)], [span(0, 5), span(20, 25)])
    found = consolidate(spec, rows, {})[0]
    assert found.value == {"spans": [span(0, 5)]}


def test_touching_spans_stay_two_when_most_see_a_boundary() -> None:
    spec = LabelSpec(LabelKind.TEXT_SPANS, ("person",), same_from=0.8)
    two = [span(0, 4), span(4, 8)]
    assert consolidate(spec, votes(spec, two, two, [span(0, 8)]), {})[0].value == {"spans": two}
    assert consolidate(spec, votes(spec, [span(0, 8)], [span(0, 8)], two), {})[0].value == {"spans": [span(0, 8)]}


def test_text_is_the_answer_nearest_to_all_when_words_differ() -> None:
    spec = LabelSpec(LabelKind.FREE_TEXT, same_from=0.8)
    found = consolidate(spec, votes(spec, "the cat sat down", "The cat sat down.", "a dog ran off"), {})[0]
    assert found.value["text"].lower().startswith("the cat sat down")
    assert found.distribution["agreeing"] == pytest.approx(2 / 3)


def box(x: float, y: float, width: float, height: float, label: str = "car") -> dict[str, Any]:
    return {"type": "box", "label": label, "x": x, "y": y, "width": width, "height": height}


def test_shapes_are_the_set_nearest_to_all_when_one_is_elsewhere() -> None:
    spec = LabelSpec(LabelKind.IMAGE_SHAPES, ("car",), same_from=SAME_FROM[LabelKind.IMAGE_SHAPES])
    found = consolidate(spec, votes(spec, [box(0, 0, 10, 10)], [box(1, 0, 10, 10)], [box(50, 50, 9, 9)]), {})[0]
    assert found.value["shapes"][0]["x"] in {0, 1}


SQUARE = {"type": "polygon", "label": "car", "points": [[0, 0], [10, 0], [10, 10], [0, 10]]}


@pytest.mark.parametrize(
    ("kind", "one", "other", "expected"),
    [
        (LabelKind.SINGLE_CHOICE, "a", "a", 1.0),
        (LabelKind.SINGLE_CHOICE, "a", "b", 0.0),
        (LabelKind.MULTIPLE_CHOICE, ["a", "b"], ["b", "a"], 1.0),
        (LabelKind.MULTIPLE_CHOICE, ["a", "b"], ["b", "c"], 1 / 3),
        (LabelKind.MULTIPLE_CHOICE, [], [], 1.0),
        (LabelKind.TEXT_SPANS, [], [], 1.0),
        (LabelKind.TEXT_SPANS, [span(0, 10)], [span(5, 15)], 0.5),
        (LabelKind.TEXT_SPANS, [span(0, 10)], [span(0, 10, "place")], 0.0),
        (LabelKind.FREE_TEXT, "Ｈello  world", "hello world", 1.0),
        (LabelKind.FREE_TEXT, "abcd", "abcx", 0.75),
        (LabelKind.IMAGE_SHAPES, [box(0, 0, 10, 10)], [box(5, 0, 10, 10)], 1 / 3),
        (LabelKind.IMAGE_SHAPES, [box(0, 0, 10, 10)], [box(0, 0, 10, 10), box(50, 50, 5, 5)], 2 / 3),
        (LabelKind.IMAGE_SHAPES, [box(0, 0, 10, 10)], [box(0, 0, 10, 10, "bus")], 0.0),
        (LabelKind.IMAGE_SHAPES, [SQUARE], [SQUARE], 1.0),
        (LabelKind.IMAGE_SHAPES, [SQUARE], [box(0, 0, 10, 10)], 1.0),
    ],
)
def test_similarity_when_known(kind: LabelKind, one: Any, other: Any, expected: float) -> None:
    spec = LabelSpec(kind, same_from=SAME_FROM[kind])
    assert similarity(spec, one, other) == pytest.approx(expected, abs=0.01)
    assert similarity(spec, other, one) == pytest.approx(similarity(spec, one, other))


def test_triangle_overlaps_its_square_by_half_when_rasterised() -> None:
    triangle = {"type": "polygon", "label": "car", "points": [[0, 0], [10, 0], [0, 10]]}
    spec = LabelSpec(LabelKind.IMAGE_SHAPES)
    assert similarity(spec, [SQUARE], [triangle]) == pytest.approx(0.5, abs=0.01)


def test_key_points_are_the_same_when_near() -> None:
    spec = LabelSpec(LabelKind.IMAGE_SHAPES, same_from=0.7)
    here, near, far = ([{"type": "keypoint", "label": "nose", "x": x, "y": 5}] for x in (5, 12, 40))
    assert same(spec, here, near)
    assert not same(spec, here, far)


def test_number_is_the_same_when_within_tolerance() -> None:
    spec = LabelSpec(LabelKind.NUMERIC_SCALE, low=0, high=10, tolerance=1)
    assert same(spec, 4, 5)
    assert not same(spec, 4, 5.1)
