"""Consensus of texts: known cases in several scripts, made-up crowds, and the same whatever the order."""

from dataclasses import replace
from itertools import pairwise
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein
from sacrebleu.metrics import CHRF

from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.engine import AnswerRow, KindModel
from marketplace.quality.consensus.texts import fit_texts
from marketplace.quality.consensus.texts_model import TextModel, text_model
from marketplace.quality.consensus.texts_words import is_unspaced, join_surfaces, read_text, text_keys
from marketplace.quality.consensus.translation import TranslationModel, chrf, fit_translations, grams_of
from marketplace.quality.spec import LabelSpec
from tests.quality.texts.crowds import transcripts

SPEC = LabelSpec(LabelKind.FREE_TEXT, same_from=0.8)
TEXT = st.text(st.sampled_from("ab c.,'我ดี้"), max_size=12)
ROWS = st.lists(st.lists(st.tuples(st.integers(0, 5), TEXT), max_size=5), max_size=6)


def error_rate(found: list[str], truth: list[str]) -> float:
    wrong = sum(Levenshtein.distance(text_keys(a), text_keys(b)) for a, b in zip(found, truth, strict=True))
    return wrong / sum(len(text_keys(text)) for text in truth)


@pytest.mark.parametrize(
    ("given_texts", "expected"),
    [
        (["We go to Hanoi.", "we go to Hanoy", "We went to Hanoi."], "We go to Hanoi."),
        (["It costs, well, five", "it costs five", "It costs, well, fife"], "It costs, well, five"),
        (["我们明天去北京。", "我们明天去北进。", "我明天去北京。"], "我们明天去北京。"),
        (["สวัสดีครับ", "สวัสดีคับ", "สวสดีครับ"], "สวัสดีครับ"),
        (["ສະບາຍດີ ເມືອງລາວ", "ສະບາຍດີ ເມືອງ", "ສະບາຍດີ ເມືອງລາວ"], "ສະບາຍດີ ເມືອງລາວ"),
        (["Tôi yêu Việt Nam", "Tôi yeu Việt Nam", "Tôi yêu Viêt Nam"], "Tôi yêu Việt Nam"),
    ],
)
def test_vote_mends_each_error_when_workers_err_in_different_places(given_texts: list[str], expected: str) -> None:
    assert fit_texts([list(enumerate(given_texts))]).text == (expected,)


def test_vote_makes_a_text_nobody_wrote_when_each_errs_once() -> None:
    texts = ["a x c d e f", "a b c y e f", "a b c d e z"]
    assert fit_texts([list(enumerate(texts))]).text == ("a b c d e f",)


@pytest.mark.parametrize(
    "text", ["Hello, “world” — it’s well-known: $5!", "เธอไปที่ไหน", "东京 tower 3号", "…", "हिन्दी में"]
)
def test_tokens_keep_all_of_a_text_when_joined(text: str) -> None:
    assert join_surfaces(read_text(text)) == text


def test_keys_have_no_case_and_punctuation_when_a_text_has() -> None:
    assert text_keys("“It’s” WELL-known…") == ["it's", "well", "known"]
    assert is_unspaced("ສະບາຍດີ")
    assert not is_unspaced("Tiếng Việt")


def test_texts_are_stated_when_there_is_little_to_go_by() -> None:
    found = fit_texts([[], [(0, "")], [(1, "only")], [(0, ""), (1, "")]])
    assert found.text == ("", "", "only", "")
    assert found.confidence[0] == 0
    assert 0 < found.confidence[2] < found.confidence[3] < 1
    assert fit_texts([]).text == ()


def test_crowd_beats_its_best_worker_and_the_plain_medoid_when_workers_differ() -> None:
    answers, truth = transcripts(150, seed=3)
    found = fit_texts(answers)
    ours = error_rate(list(found.text), truth)
    alone = {}
    for worker in range(12):
        rows = [(dict(row)[worker], text) for row, text in zip(answers, truth, strict=True) if worker in dict(row)]
        alone[worker] = error_rate([one for one, _ in rows], [text for _, text in rows])
    assert ours < min(alone.values())
    medoids = [
        min(
            (text for _, text in row),
            key=lambda one: sum(Levenshtein.distance(text_keys(one), text_keys(other)) for _, other in row),
        )
        for row in answers
    ]
    assert ours < error_rate(medoids, truth) / 2
    assert np.corrcoef(found.error, list(alone.values()))[0, 1] > 0.95


def test_bound_never_falls_and_gold_is_kept_when_fitted() -> None:
    answers, truth = transcripts(60, seed=5)
    found = fit_texts(answers, gold={0: "known truth"})
    assert all(later >= earlier - 1e-9 * abs(earlier) for earlier, later in pairwise(found.record.log_likelihood))
    assert found.normalized[0] == "known truth"
    assert error_rate(list(found.normalized[1:]), truth[1:]) < 0.05


@settings(max_examples=60, deadline=None)
@given(ROWS, st.randoms())
def test_result_is_the_same_when_answers_come_in_another_order(rows: list[list[tuple[int, str]]], random) -> None:  # type: ignore[no-untyped-def]
    mixed = [random.sample(row, len(row)) for row in rows]
    one, other = fit_texts(rows), fit_texts(mixed)
    assert (one.text, one.confidence.tolist()) == (other.text, other.confidence.tolist())
    assert all(0 <= value <= 1 for value in one.confidence)


@pytest.mark.parametrize("model", [TextModel(), TranslationModel()])
def test_model_gives_the_texts_back_when_order_and_workers_change(model: KindModel) -> None:
    rows = [
        AnswerRow(UUID(int=task), UUID(int=100 + worker), {"text": text})
        for task, row in enumerate(transcripts(20, seed=1)[0])
        for worker, text in row
    ]
    learned = model.fit(SPEC, rows, {UUID(int=0): {"text": "bal ban"}}, 0)
    assert model.fit(SPEC, rows[::-1], {UUID(int=0): {"text": "bal ban"}}, 0) == learned
    found = model.consolidate(SPEC, rows, learned, 0)
    assert found == model.consolidate(SPEC, rows[::-1], learned, 0)
    assert [one.task.int for one in found] == list(range(20))
    unknown = model.consolidate(SPEC, [AnswerRow(UUID(int=1), UUID(int=7), {"text": "new"})], learned, 0)
    assert unknown[0].value == {"text": "new"}
    assert 0 < unknown[0].confidence <= 1
    assert model.consolidate(SPEC, rows, replace(learned, workers={}, parameters={}), 0)[0].answers == 5
    assert all(0 <= one.low <= one.accuracy <= one.high <= 1 for one in learned.workers.values())
    assert sum(one.gold for one in learned.workers.values()) == 5


@pytest.mark.parametrize(
    ("one", "other"), [("the cat sat", "the cat sits"), ("我们去北京", "我去北京了"), ("ສະບາຍດີ", "ສະບາຍ")]
)
def test_chrf_is_sacrebleus_when_texts_are_short_or_long(one: str, other: str) -> None:
    assert 100 * chrf(grams_of(one), grams_of(other)) == pytest.approx(CHRF().sentence_score(one, [other]).score)


def test_translation_nearest_to_the_others_is_chosen_when_one_is_far_off() -> None:
    row = [(0, "The meeting was moved to Monday."), (1, "The meeting was postponed to Monday."), (2, "I do not know")]
    found = fit_translations([row, [], [(2, "alone")]])
    assert found.chosen in {(0, -1, 0), (1, -1, 0)}
    assert found.quality[2] < found.quality[0]
    assert fit_translations([row], gold={0: "I do not know"}).quality.argmax() == 2


def test_measure_is_chrf_when_the_languages_differ() -> None:
    assert isinstance(text_model("zh-CN", "lo"), TranslationModel)
    assert isinstance(text_model("en-GB", "en"), TextModel)
    assert isinstance(text_model(None, "th"), TextModel)


@pytest.mark.parametrize("text", ["今天天气很好0", "我爱 python 语言", "买了3个", "ok今天 2 点"])
def test_blanks_are_as_people_write_them_when_scripts_mix(text: str) -> None:
    assert fit_texts([[(0, text), (1, text), (2, text)]]).normalized == (text,)
