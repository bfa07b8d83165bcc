"""What the market relies on, whatever the kind: a model of every kind keeps the interface's promises."""

import json
import random
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.answers import AnswerTable
from marketplace.quality.consensus.engine import AnswerRow, Learned
from marketplace.quality.consensus.registry import MODELS
from marketplace.quality.spec import SAME_FROM, LabelSpec

KINDS = sorted(LabelKind)
CLASSES = {
    LabelKind.SINGLE_CHOICE: ("a", "b", "c"),
    LabelKind.MULTIPLE_CHOICE: ("a", "b", "c"),
    LabelKind.PAIRWISE_PREFERENCE: ("left", "right", "tie"),
    LabelKind.TEXT_SPANS: ("name", "place"),
    LabelKind.IMAGE_SHAPES: ("car", "person"),
}

WORDS = ("river", "stone", "cloud", "apple", "seven", "green", "quick", "under", "table", "music", "paper", "winter")


def spec_of(kind: LabelKind) -> LabelSpec:
    return LabelSpec(kind, CLASSES.get(kind, ()), 0, 100, 5, SAME_FROM[kind])


def draw(kind: LabelKind, number: int) -> Any:
    """The right answer of a task, by its number; another number's is a wrong one."""
    return {
        LabelKind.SINGLE_CHOICE: "abc"[number % 3],
        LabelKind.PAIRWISE_PREFERENCE: ("left", "right", "tie")[number % 3],
        LabelKind.MULTIPLE_CHOICE: [["a"], ["a", "b"], ["c"], []][number % 4],
        LabelKind.NUMERIC_SCALE: float(number * 13 % 97),
        LabelKind.TEXT_SPANS: [{"start": number % 7, "end": number % 7 + 9, "label": "name"}],
        LabelKind.FREE_TEXT: " ".join(WORDS[number * step % len(WORDS)] for step in range(1, 9)),
        LabelKind.IMAGE_SHAPES: [
            {"label": "car", "type": "box", "x": number * 7 % 50, "y": number * 5 % 40, "width": 30, "height": 30}
        ],
    }[kind]


def crowd(kind: LabelKind, tasks: int = 40) -> tuple[LabelSpec, list[AnswerRow], dict[UUID, Any], dict[UUID, Any]]:
    """Answers of six workers, the last of whom is mostly wrong; the truths, and the gold among them."""
    spec, draws = spec_of(kind), random.Random(5)
    truth = {UUID(int=n + 1): spec.answer(draw(kind, n)) for n in range(tasks)}
    rows = []
    for number, task in enumerate(truth):
        for worker in range(6):
            wrong = draws.random() < (0.8 if worker == 5 else 0.1)
            said = draw(kind, number + draws.randint(1, 2) if wrong else number)
            rows.append(AnswerRow(task, UUID(int=1000 + worker), spec.answer(said)))
    return spec, rows, truth, dict(list(truth.items())[:10])


def stored(learned: Learned) -> Learned:
    return Learned(learned.workers, json.loads(json.dumps(learned.parameters)), learned.record, learned.calibration)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_the_same_when_a_fit_was_stored_between(kind: LabelKind) -> None:
    spec, rows, _, gold = crowd(kind)
    learned = MODELS[kind].fit(spec, rows, gold, seed=7)
    asked = [row for row in rows if row.task not in gold]
    found = MODELS[kind].consolidate(spec, asked, stored(learned), seed=7)
    assert found == MODELS[kind].consolidate(spec, asked, learned, seed=7)
    assert [each.task for each in found] == sorted({row.task for row in asked})
    assert all(0 <= each.confidence <= 1 and each.answers == 6 for each in found)
    assert json.loads(json.dumps([each.distribution for each in found])) == [each.distribution for each in found]


@pytest.mark.parametrize("kind", KINDS)
def test_fit_is_the_same_when_answers_come_in_another_order(kind: LabelKind) -> None:
    spec, rows, _, gold = crowd(kind)
    shuffled = random.Random(1).sample(rows, len(rows))
    assert MODELS[kind].fit(spec, rows, gold, seed=7) == MODELS[kind].fit(spec, shuffled, gold, seed=7)


@pytest.mark.parametrize("kind", KINDS)
def test_bad_worker_is_known_when_gold_and_others_show_it(kind: LabelKind) -> None:
    spec, rows, _, gold = crowd(kind)
    workers = MODELS[kind].fit(spec, rows, gold, seed=7).workers
    assert set(workers) == {row.worker for row in rows}
    bad = workers[UUID(int=1005)]
    assert all(skill.accuracy > bad.accuracy for worker, skill in workers.items() if worker != UUID(int=1005))
    assert all(0 <= skill.low <= skill.accuracy <= skill.high <= 1 for skill in workers.values())
    assert all((skill.answers, skill.gold) == (40, 10) for skill in workers.values())


@pytest.mark.parametrize("kind", KINDS)
def test_one_answer_has_a_label_when_nothing_is_known_of_its_worker(kind: LabelKind) -> None:
    spec, rows, _, _ = crowd(kind)
    for learned in (MODELS[kind].fit(spec, [], {}, seed=7), MODELS[kind].fit(spec, rows[:1], {}, seed=7)):
        stranger = AnswerRow(UUID(int=500), UUID(int=2000), rows[0].value)
        found = MODELS[kind].consolidate(spec, [stranger], stored(learned), seed=7)[0]
        assert spec.main(found.value) == spec.main(stranger.value)
        assert 0.2 < found.confidence < 0.99
    assert MODELS[kind].consolidate(spec, [], learned, seed=7) == []


@pytest.mark.parametrize("kind", KINDS)
def test_log_likelihood_never_falls_when_a_fit_goes_on(kind: LabelKind) -> None:
    spec, rows, _, gold = crowd(kind)
    course = MODELS[kind].fit(spec, rows, gold, seed=7).record.log_likelihood
    assert all(later >= sooner - 1e-9 * abs(sooner) for sooner, later in pairwise(course))


@pytest.mark.parametrize("kind", KINDS)
def test_fit_is_the_same_when_answers_come_as_a_table(kind: LabelKind) -> None:
    spec, rows, _, gold = crowd(kind)
    table = AnswerTable()
    for row in sorted(rows, key=lambda row: (row.task, row.worker)):
        table.append(row.task, row.worker, json.dumps(row.value))
    assert MODELS[kind].fit(spec, table, gold, seed=7) == MODELS[kind].fit(spec, rows, gold, seed=7)
    assert MODELS[kind].fit(spec, AnswerTable(), {}, seed=7) == MODELS[kind].fit(spec, [], {}, seed=7)
