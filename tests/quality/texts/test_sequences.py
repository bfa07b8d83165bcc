"""Consensus of tag sequences and of spans: against the majority, bad input, and the same whatever the order."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.engine import AnswerRow
from marketplace.quality.consensus.sequences import fit_sequences, tag_sequences
from marketplace.quality.consensus.sequences_tags import NotTags, spans_of, tags_of
from marketplace.quality.consensus.spans import SpansModel
from marketplace.quality.spec import LabelSpec
from tests.quality.texts.crowds import entities, entity_f1, majority, slips

SPEC = LabelSpec(LabelKind.TEXT_SPANS, ("a", "b"), same_from=0.8)
TAGS = st.lists(st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y"]), max_size=5)
ROWS = st.lists(st.lists(st.tuples(st.integers(0, 4), TAGS), max_size=4), max_size=6)


def spans(*found: tuple[int, int, str]) -> dict[str, Any]:
    return {"spans": [{"start": start, "end": end, "label": label} for start, end, label in found]}


def row(task: int, worker: int, *found: tuple[int, int, str]) -> AnswerRow:
    return AnswerRow(UUID(int=task), UUID(int=100 + worker), spans(*found))


@pytest.mark.parametrize("seed", [1, 2])
def test_crowd_beats_the_majority_by_far_when_workers_overlook_entities(seed: int) -> None:
    answers, truth = entities(500, seed)
    found = fit_sequences(answers)
    assert entity_f1(found.tags, truth) > entity_f1(majority(answers), truth) + 0.05
    assert found.skipped == 0
    bound = found.record.log_likelihood
    assert all(later >= earlier - 1e-9 * abs(earlier) for earlier, later in pairwise(bound))


@pytest.mark.parametrize(("workers", "rate", "at_the_end"), [(10, 0.1, True), (20, 0.02, False)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_invented_when_few_slip_where_no_entity_is(
    seed: int, workers: int, rate: float, at_the_end: bool
) -> None:
    answers, truth = slips(300, seed, workers, rate, at_the_end=at_the_end)
    found = fit_sequences(answers)
    right = [list(tags) == true for tags, true in zip(found.tags, truth, strict=True)]
    usual = [tags == true for tags, true in zip(majority(answers), truth, strict=True)]
    assert sum(right) >= sum(usual) - 15  # five in a hundred
    assert abs(sum(right) / 300 - found.confidence.mean()) < 0.05
    bound = found.record.log_likelihood
    assert all(later >= earlier - 1e-9 * abs(earlier) for earlier, later in pairwise(bound))


@pytest.mark.parametrize("seed", [1, 2])
def test_spans_are_somebody_s_and_a_unanimous_sentence_stands_when_people_err(seed: int) -> None:
    for answers, _ in (entities(200, seed), slips(60, seed, 6, 0.3, at_the_end=True)):
        for tags, row in zip(fit_sequences(answers).tags, answers, strict=True):
            if all(given == row[0][1] for _, given in row):
                assert list(tags) == row[0][1]
            for place, tag in enumerate(tags):
                assert tag == "O" or any(given[place][1:] == tag[1:] for _, given in row)


def test_known_workers_tag_as_they_were_fitted_when_asked_again() -> None:
    answers, truth = entities(300, seed=4)
    found = fit_sequences(answers)
    assert found.tagging is not None
    again = tag_sequences(answers, found.tagging)
    assert entity_f1(again.tags, found.tags) > 0.97
    assert entity_f1(tag_sequences(answers[:20], found.tagging).tags, again.tags[:20]) == 1.0
    assert entity_f1(again.tags, truth) > 0.6


@settings(max_examples=60, deadline=None)
@given(ROWS, st.randoms())
def test_tags_are_valid_and_the_same_when_the_order_changes(rows: list[list[tuple[int, list[str]]]], random) -> None:  # type: ignore[no-untyped-def]
    found = fit_sequences(rows)
    other = fit_sequences([random.sample(given, len(given)) for given in rows])
    assert (found.tags, found.confidence.tolist()) == (other.tags, other.confidence.tolist())
    for tags, chance in zip(found.tags, found.confidence, strict=True):
        assert list(tags) == tags_of(spans_of(tags), len(tags))
        assert 0 <= chance <= 1


def test_answers_of_another_length_are_left_out_when_most_agree_on_one() -> None:
    found = fit_sequences([[(0, ["B-x", "O"]), (1, ["B-x", "O"]), (2, ["O", "O", "O"])], []])
    assert found.tags == (("B-x", "O"), ())
    assert found.skipped == 1
    assert found.confidence[1] == 0


def test_error_says_what_is_no_tag_when_there_is_one() -> None:
    with pytest.raises(NotTags, match="PERSON"):
        fit_sequences([[(0, ["O", "PERSON"])]])


def test_an_inside_tag_opens_a_span_when_none_is_open() -> None:
    assert spans_of(["I-x", "I-x", "I-y", "O", "B-y", "B-y"]) == [(0, 2, "x"), (2, 3, "y"), (4, 5, "y"), (5, 6, "y")]


def test_spans_follow_most_when_edges_differ() -> None:
    rows = [row(1, 1, (0, 5, "a")), row(1, 2, (0, 5, "a"), (8, 9, "b")), row(1, 3, (0, 6, "a")), row(2, 1), row(2, 2)]
    rows += [row(3, 1, (0, 9, "a"), (2, 4, "b")), row(3, 3, (0, 9, "a"), (2, 4, "b"))]
    model = SpansModel()
    learned = model.fit(SPEC, rows, {UUID(int=1): spans((0, 5, "a"))}, 0)
    stored = replace(learned, parameters=json.loads(json.dumps(learned.parameters)))
    found = model.consolidate(SPEC, rows[::-1], stored, 0)
    assert [one.value for one in found] == [spans((0, 5, "a")), spans(), spans((0, 9, "a"), (2, 4, "b"))]
    assert 0.5 < found[0].distribution["a:0-5"] <= 1
    assert found == model.consolidate(SPEC, rows, model.fit(SPEC, rows[::-1], {UUID(int=1): spans((0, 5, "a"))}, 0), 0)
    assert learned.workers[UUID(int=101)].gold == 1


def test_spans_of_unknown_workers_and_labels_are_no_crash_when_consolidated() -> None:
    model = SpansModel()
    learned = model.fit(SPEC, [row(1, 1, (0, 2, "a"))], {}, 0)
    assert model.consolidate(SPEC, [row(9, 9, (3, 4, "b"))], learned, 0)[0].answers == 1
    assert model.fit(SPEC, [], {}, 0).workers == {}
    assert model.consolidate(SPEC, [], learned, 0) == []
    only_empty = model.fit(SPEC, [row(1, 1), row(1, 2)], {}, 0)
    assert model.consolidate(SPEC, [row(1, 1), row(1, 2)], only_empty, 0)[0].value == spans()
