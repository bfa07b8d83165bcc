"""Consensus on sets of options."""

import json
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.engine import AnswerRow, Learned
from marketplace.quality.consensus.multilabel_kind import MultiLabelModel
from marketplace.quality.spec import LabelSpec

NAMES = ("air", "bus", "cat", "dog")
TAGS = LabelSpec(LabelKind.MULTIPLE_CHOICE, NAMES)
MODEL = MultiLabelModel()


def row(task: int, worker: int, *names: str) -> AnswerRow:
    return AnswerRow(UUID(int=task), UUID(int=1000 + worker), {"choices": list(names)})


def crowd(seed: int, tasks: int = 200, each: int = 4, *, shared: float = 0.0) -> tuple[list[AnswerRow], Any]:
    """Return answers of ten workers who overlook much and make up little, three of whom are careless."""
    random = np.random.default_rng(seed)
    truth = random.random((tasks, 4)) < [0.1, 0.3, 0.5, 0.2]
    shown = truth ^ (random.random((tasks, 4)) < shared)
    seen = np.where(np.arange(10) < 3, 0.45, 0.8)
    made_up = np.where(np.arange(10) < 3, 0.4, 0.04)
    rows = []
    for task in range(tasks):
        for worker in random.permutation(10)[:each]:
            names = random.random(4) < np.where(shown[task], seen[worker], made_up[worker])
            rows.append(row(task, int(worker), *np.array(NAMES)[names].tolist()))
    return rows, truth


def masks(found: Any) -> Any:
    return np.array([[name in one.value["choices"] for name in NAMES] for one in found])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sets_beat_the_majority_when_some_workers_are_careless(seed: int) -> None:
    rows, truth = crowd(seed)
    found = MODEL.consolidate(TAGS, rows, MODEL.fit(TAGS, rows, {}, 0), 0)
    votes = np.zeros((200, 4))
    for one in rows:
        votes[one.task.int] += [name in one.value["choices"] for name in NAMES]
    majority = ((votes > 2) == truth).all(axis=1).mean()
    assert (masks(found) == truth).all(axis=1).mean() > majority + 0.1


@settings(max_examples=40, deadline=None)
@given(
    answers=st.dictionaries(
        st.tuples(st.integers(0, 5), st.integers(0, 3)), st.sets(st.sampled_from(NAMES)), min_size=1
    ),
    gold=st.dictionaries(st.integers(0, 5), st.sets(st.sampled_from(NAMES)), max_size=2),
)
def test_likelihood_never_falls_and_sizes_stay_whatever_the_answers(answers: Any, gold: Any) -> None:
    rows = [row(task, worker, *sorted(names)) for (task, worker), names in answers.items()]
    known = {UUID(int=task): {"choices": sorted(names)} for task, names in gold.items()}
    learned = MODEL.fit(TAGS, rows, known, 0)
    bounds = np.array(learned.record.log_likelihood)
    assert (np.diff(bounds) >= -1e-9 * np.abs(bounds[1:])).all()
    for one in MODEL.consolidate(TAGS, rows, learned, 0):
        sizes = [len(names) for (task, _), names in answers.items() if task == one.task.int]
        assert min(sizes) <= len(one.value["choices"]) <= max(sizes)
        assert 0 <= one.confidence <= 1
        assert one.answers == len(sizes)


def test_result_is_the_same_when_answers_come_in_another_order_and_through_json() -> None:
    rows, _ = crowd(3, tasks=40)
    one, other = MODEL.fit(TAGS, rows, {}, 0), MODEL.fit(TAGS, rows[::-1], {}, 0)
    read = Learned(other.workers, json.loads(json.dumps(other.parameters)), other.record, other.calibration)
    assert MODEL.consolidate(TAGS, rows, one, 0) == MODEL.consolidate(TAGS, rows[::-1], read, 0)


def test_workers_are_told_apart_when_some_are_careless() -> None:
    rows, _ = crowd(4)
    skills = MODEL.fit(TAGS, rows, {}, 0).workers
    careless = [skills[UUID(int=1000 + worker)].accuracy for worker in range(3)]
    careful = [skills[UUID(int=1000 + worker)].accuracy for worker in range(3, 10)]
    assert max(careless) < min(careful)


def test_confidence_in_the_set_is_honest_when_gold_says_that_all_share_an_error() -> None:
    rows, truth = crowd(5, tasks=400, each=5, shared=0.1)
    gold = {UUID(int=task): {"choices": np.array(NAMES)[truth[task]].tolist()} for task in range(120)}
    learned = MODEL.fit(TAGS, rows, gold, 0)
    found = MODEL.consolidate(TAGS, rows, learned, 0)[120:]
    hits = (masks(found) == truth[120:]).all(axis=1).mean()
    assert learned.calibration.samples == 120
    assert np.mean([one.confidence for one in found]) == pytest.approx(hits, abs=0.08)


def test_an_option_the_schema_does_not_have_is_kept_when_answers_name_it() -> None:
    rows = [row(1, 1, "cat", "yak"), row(1, 2, "cat", "yak"), row(1, 3, "yak", "yak")]
    learned = MODEL.fit(TAGS, [row(1, 1, "cat")], {}, 0)
    (found,) = MODEL.consolidate(TAGS, rows, learned, 0)
    assert "yak" in found.value["choices"]
    assert set(found.distribution) == {*NAMES, "yak"}


def test_one_answer_is_taken_when_there_is_one_worker() -> None:
    rows = [row(1, 1, "cat"), row(2, 1), row(3, 1, "air", "dog")]
    found = MODEL.consolidate(TAGS, rows, MODEL.fit(TAGS, rows, {}, 0), 0)
    assert [one.value["choices"] for one in found] == [["cat"], [], ["air", "dog"]]


def test_nothing_is_returned_when_there_are_no_answers() -> None:
    assert MODEL.consolidate(TAGS, [], MODEL.fit(TAGS, [], {}, 0), 0) == []
