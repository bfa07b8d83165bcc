"""Consensus on preferences between two."""

import json
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.engine import AnswerRow, Learned
from marketplace.quality.consensus.preference import PreferenceModel
from marketplace.quality.spec import LabelSpec

PAIRS = LabelSpec(LabelKind.PAIRWISE_PREFERENCE, ("left", "right", "tie"))
NO_TIES = LabelSpec(LabelKind.PAIRWISE_PREFERENCE, ("left", "right"))
MODEL = PreferenceModel()


def row(task: int, worker: int, said: str) -> AnswerRow:
    return AnswerRow(UUID(int=task), UUID(int=1000 + worker), {"preference": said, "reasons": []})


def crowd(seed: int, tasks: int = 300) -> tuple[list[AnswerRow], list[str]]:
    """Return answers of four exact workers and four who mostly say left, four a task."""
    random = np.random.default_rng(seed)
    truth = random.choice(["left", "right"], tasks)
    rows = []
    for task in range(tasks):
        for worker in random.permutation(8)[:4]:
            lean = worker >= 4 and random.random() < 0.75
            right = random.random() < 0.85
            said = "left" if lean else truth[task] if right else {"left": "right", "right": "left"}[truth[task]]
            rows.append(row(task, int(worker), str(said)))
    return rows, truth.tolist()


@pytest.mark.parametrize("spec", [PAIRS, NO_TIES])
@pytest.mark.parametrize("seed", [0, 1])
def test_position_bias_is_seen_through_when_half_of_the_workers_lean_left(spec: LabelSpec, seed: int) -> None:
    rows, truth = crowd(seed)
    learned = MODEL.fit(spec, rows, {}, 0)
    found = MODEL.consolidate(spec, rows, learned, 0)
    votes = np.zeros(300)
    for one in rows:
        votes[one.task.int] += 1 if one.value["preference"] == "right" else -1
    majority = np.mean([("right" if vote > 0 else "left") == said for vote, said in zip(votes, truth, strict=True)])
    ours = np.mean([one.value["preference"] == said for one, said in zip(found, truth, strict=True)])
    assert ours > majority + 0.05
    lean = [learned.parameters["lean"][str(UUID(int=1000 + worker))] for worker in range(8)]
    assert max(lean[4:]) < min(lean[:4])


def test_ties_win_when_most_say_so() -> None:
    rows = [row(1, 1, "tie"), row(1, 2, "tie"), row(1, 3, "left"), row(2, 1, "right"), row(2, 2, "right")]
    found = MODEL.consolidate(PAIRS, rows, MODEL.fit(PAIRS, rows, {}, 0), 0)
    assert [one.value for one in found] == [{"preference": "tie"}, {"preference": "right"}]
    assert all(sum(one.distribution.values()) == pytest.approx(1) for one in found)
    assert set(found[0].distribution) == {"left", "tie", "right"}


def test_left_and_right_change_places_when_all_answers_do() -> None:
    other = {"left": "right", "right": "left", "tie": "tie"}
    rows = [*crowd(2, tasks=30)[0], row(3, 9, "tie"), row(4, 9, "tie")]
    turned = [AnswerRow(one.task, one.worker, {"preference": other[one.value["preference"]]}) for one in rows]
    plain = MODEL.consolidate(PAIRS, rows, MODEL.fit(PAIRS, rows, {}, 0), 0)
    mirror = MODEL.consolidate(PAIRS, turned, MODEL.fit(PAIRS, turned, {}, 0), 0)
    for one, two in zip(plain, mirror, strict=True):
        assert two.distribution["right"] == pytest.approx(one.distribution["left"], abs=1e-6)


def test_result_is_the_same_when_answers_come_in_another_order_and_through_json() -> None:
    rows, _ = crowd(3, tasks=30)
    one, other = MODEL.fit(PAIRS, rows, {}, 0), MODEL.fit(PAIRS, rows[::-1], {}, 0)
    read = Learned(other.workers, json.loads(json.dumps(other.parameters)), other.record, other.calibration)
    assert MODEL.consolidate(PAIRS, rows, one, 0) == MODEL.consolidate(PAIRS, rows[::-1], read, 0)


def test_gold_is_counted_and_an_unknown_answer_refused() -> None:
    rows, truth = crowd(4, tasks=40)
    gold: dict[UUID, Any] = {UUID(int=task): {"preference": truth[task]} for task in range(20)}
    learned = MODEL.fit(PAIRS, rows, gold, 0)
    assert learned.calibration.samples == 20
    assert sum(skill.gold for skill in learned.workers.values()) == 80
    with pytest.raises(ValueError, match="'tie' is none of left, right"):
        MODEL.fit(NO_TIES, [row(1, 1, "tie")], {}, 0)
