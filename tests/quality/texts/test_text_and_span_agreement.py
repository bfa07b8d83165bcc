"""Agreement of texts and spans: figures by hand, libraries as the judge, intervals by seed."""

import math

import pytest
from jiwer import wer
from nervaluate import Evaluator

from marketplace.quality.agreement.spans import span_agreement
from marketplace.quality.agreement.texts import text_agreement
from tests.quality.texts.crowds import transcripts


def marks(*found: tuple[int, int, str]) -> list[dict[str, object]]:
    return [{"start": start, "end": end, "label": label} for start, end, label in found]


def test_error_rate_is_jiwers_when_texts_are_as_long() -> None:
    one, other = "we go to the old town", "we went to the old place"
    found = text_agreement([[(0, one), (1, other)]])
    assert found.unit == "word"
    assert found.error_rate.value == pytest.approx(wer(one, other))
    assert found.by_worker == pytest.approx({0: 2 / 6, 1: 2 / 6})


def test_characters_count_when_a_script_has_no_spaces() -> None:
    found = text_agreement([[(0, "我们去北京"), (1, "我们去南京")]])
    assert found.unit == "character"
    assert found.error_rate.value == pytest.approx(0.2)


def test_interval_holds_the_figure_and_repeats_when_the_seed_does() -> None:
    answers, _ = transcripts(40, seed=2)
    found = text_agreement(answers, seed=7)
    assert found.error_rate.low < found.error_rate.value < found.error_rate.high
    assert found.chrf.low < found.chrf.value < found.chrf.high <= 1
    assert found == text_agreement(answers, seed=7)
    assert found != text_agreement(answers, seed=8)


def test_agreement_is_unknown_when_no_task_has_two_answers() -> None:
    assert math.isnan(text_agreement([[(0, "a")], []]).error_rate.value)
    assert math.isnan(span_agreement([[(0, marks((0, 1, "a")))], []]).strict.value)


def test_entity_f1_is_nervaluates_when_two_mark() -> None:
    one, other = marks((0, 2, "a"), (5, 7, "b"), (9, 10, "a")), marks((0, 2, "a"), (5, 8, "b"))
    found = span_agreement([[(0, one), (1, other)]])
    judged = Evaluator([one], [other], tags=["a", "b"], loader="dict").evaluate()["overall"]
    assert found.strict.value == pytest.approx(judged["strict"].f1) == pytest.approx(2 / 5)
    assert found.partial.value == pytest.approx(3 / 5)
    assert found.by_label == {"a": pytest.approx(2 / 3), "b": 0}


def test_workers_agree_wholly_when_nobody_marks() -> None:
    found = span_agreement([[(0, marks()), (1, marks())]])
    assert found.by_worker == {0: 1.0, 1: 1.0}
