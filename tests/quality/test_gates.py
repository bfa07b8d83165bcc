"""The gates as tables of facts and outcomes, and what they let through over many draws."""

import hashlib
import random
from dataclasses import replace
from itertools import pairwise
from string import Formatter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.special import betainc

from marketplace.catalog.schemas import QualityPlan
from marketplace.quality.gates import agreement, completeness, gold_accuracy, minimum_time
from marketplace.quality.gates.characteristic import GoldRule, characteristic, pass_share
from marketplace.quality.gates.facts import Submission, Tally
from marketplace.quality.gates.runner import define_gates, run_gates, version_of
from marketplace.quality.gates.sentences import SENTENCES
from marketplace.quality.policy import jeffreys_upper, smoothed_accuracy
from marketplace.quality.states import Outcome, ReasonCode

ACCEPTED, REWORK, REJECTED = Outcome.ACCEPTED, Outcome.REWORK, Outcome.REJECTED
GOOD = Submission(1, 10, elapsed_seconds=100, reported_seconds=(10.0,) * 10, gold=Tally(2, 2))
GATES = define_gates(QualityPlan(), 1)
TIME = {"min_seconds_per_task": 2.0, "min_fast_tasks": 2, "gold_bar": 0.7}
GOLD = {"bar": 0.7, "level": 0.95}
AGREEMENT = {"bar": 0.5, "level": 0.95, "gold_bar": 0.7, "gold_seen": 5}


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        (GOOD, ACCEPTED),
        (replace(GOOD, missing=1), REWORK),
        (replace(GOOD, invalid=2), REWORK),
        (Submission(1, 0), REWORK),
    ],
)
def test_completeness_when_answers_lack(facts: Submission, outcome: Outcome) -> None:
    assert completeness.run(facts, {}).outcome is outcome


@pytest.mark.parametrize(
    ("elapsed", "seconds", "too_fast"),
    [
        (100.0, (10.0,) * 10, False),
        (100.0, (0.5,) + (10.0,) * 9, False),  # one fast task
        (100.0, (0.0,) * 10, True),  # the client says it was fast
        (5.0, (10.0,) * 10, True),  # the client says it was slow, the server knows better
        (20.0, (2.0,) * 10, False),  # the floor itself
    ],
)
def test_minimum_time_is_a_signal_when_measured_twice(
    elapsed: float, seconds: tuple[float, ...], too_fast: bool
) -> None:
    facts = replace(GOOD, elapsed_seconds=elapsed, reported_seconds=seconds)
    result = minimum_time.run(facts, TIME)
    assert (result.outcome, result.evidence["too_fast"]) == (ACCEPTED, too_fast)
    wrong = minimum_time.run(replace(facts, gold=Tally(1, 2)), TIME)
    assert wrong.outcome is (REWORK if too_fast else ACCEPTED)


@given(
    elapsed=st.floats(0, 100),
    right=st.integers(0, 4),
    record=st.integers(0, 30),
    revision=st.integers(1, 3),
)
def test_speed_alone_never_changes_an_outcome_when_gold_reaches_the_bar(
    elapsed: float, right: int, record: int, revision: int
) -> None:
    slow = replace(GOOD, revision=revision, gold=Tally(right, right), gold_record=Tally(record // 2, record))
    fast = replace(slow, elapsed_seconds=elapsed, reported_seconds=(0.0,) * 10)
    assert run_gates(fast, GATES).outcome is run_gates(slow, GATES).outcome


def test_fast_work_goes_back_when_its_gold_is_wrong_although_the_record_is_good() -> None:
    facts = replace(GOOD, gold=Tally(1, 2), gold_record=Tally(18, 20))
    assert run_gates(facts, GATES).outcome is ACCEPTED
    fast = run_gates(replace(facts, elapsed_seconds=1.0), GATES)
    assert (fast.outcome, fast.reason, fast.too_fast) == (REWORK, ReasonCode.TOO_FAST, True)


def test_minimum_time_never_fails_when_a_single_task_is_fast() -> None:
    facts = Submission(1, 1, elapsed_seconds=0.2, reported_seconds=(0.1,))
    assert minimum_time.run(facts, TIME).outcome is ACCEPTED


@pytest.mark.parametrize(
    ("gold", "record", "earlier", "outcome"),
    [
        (Tally(0, 0), Tally(), Tally(), ACCEPTED),  # no gold says nothing
        (Tally(2, 2), Tally(), Tally(), ACCEPTED),
        (Tally(0, 1), Tally(), Tally(), REWORK),  # one mistake is not enough to reject
        (Tally(1, 2), Tally(), Tally(), ACCEPTED),  # every fifth bundle of a good worker
        (Tally(0, 2), Tally(), Tally(), REJECTED),
        (Tally(0, 2), Tally(18, 20), Tally(), ACCEPTED),  # one bad bundle of a proven worker
        (Tally(1, 2), Tally(4, 8), Tally(), REWORK),
        (Tally(2, 2), Tally(8, 20), Tally(), REJECTED),  # luck does not mend a record that is surely below the bar
        (Tally(2, 5), Tally(), Tally(), REWORK),
        (Tally(4, 5), Tally(2, 5), Tally(2, 5), REWORK),  # a second try is held to both
        (Tally(5, 5), Tally(2, 5), Tally(2, 5), ACCEPTED),
    ],
)
def test_gold_accuracy_when_bundle_and_record_differ(
    gold: Tally, record: Tally, earlier: Tally, outcome: Outcome
) -> None:
    facts = replace(GOOD, gold=gold, gold_record=record, earlier_gold=earlier)
    assert gold_accuracy.run(facts, GOLD).outcome is outcome


@pytest.mark.parametrize("bar", [0.7, 0.75, 0.8, 0.85])
def test_one_mistake_is_mended_when_the_second_try_is_all_right(bar: float) -> None:
    first = gold_accuracy.run(replace(GOOD, gold=Tally(1, 2)), {"bar": bar, "level": 0.95})
    assert first.outcome is (ACCEPTED if bar <= 0.7 else REWORK)
    second = replace(GOOD, revision=2, gold=Tally(2, 2), gold_record=Tally(1, 2), earlier_gold=Tally(1, 2))
    assert gold_accuracy.run(second, {"bar": bar, "level": 0.95}).outcome is ACCEPTED


@pytest.mark.parametrize(
    ("agreed", "record", "gold", "outcome"),
    [
        (Tally(), Tally(), Tally(2, 2), ACCEPTED),
        (Tally(1, 2), Tally(), Tally(2, 2), ACCEPTED),
        (Tally(2, 10), Tally(), Tally(2, 2), REWORK),
        (Tally(2, 10), Tally(40, 50), Tally(2, 2), ACCEPTED),
        (Tally(2, 10), Tally(), Tally(5, 5), ACCEPTED),  # gold outranks a crowd that may be wrong together
    ],
)
def test_agreement_when_others_disagree(agreed: Tally, record: Tally, gold: Tally, outcome: Outcome) -> None:
    facts = replace(GOOD, agreement=agreed, agreement_record=record, gold=gold)
    assert agreement.run(facts, AGREEMENT).outcome is outcome


def test_gravest_gate_decides_when_several_fail() -> None:
    facts = replace(GOOD, elapsed_seconds=1.0, gold=Tally(0, 4))
    judgement = run_gates(facts, GATES)
    assert (judgement.outcome, judgement.reason) == (REJECTED, ReasonCode.GOLD_ACCURACY)
    assert [result.gate for result in judgement.results] == [gate["gate"] for gate in GATES["gates"]]


def test_incomplete_bundle_stops_when_nothing_else_can_be_measured() -> None:
    judgement = run_gates(replace(GOOD, missing=10, gold=Tally(0, 0)), GATES)
    assert (judgement.reason, len(judgement.results)) == (ReasonCode.INCOMPLETE, 1)


@pytest.mark.parametrize(("max_reworks", "outcome"), [(0, REJECTED), (1, REWORK)])
def test_rework_is_a_rejection_when_no_rework_is_left(max_reworks: int, outcome: Outcome) -> None:
    gates = define_gates(QualityPlan(max_reworks=max_reworks), 1)
    assert run_gates(replace(GOOD, elapsed_seconds=1.0, gold=Tally(1, 2)), gates).outcome is outcome


def test_version_changes_when_a_bar_changes() -> None:
    same, other = define_gates(QualityPlan(), 1), define_gates(QualityPlan(gold_pass_share=0.8), 1)
    assert version_of(same) == version_of(dict(reversed(GATES.items())))
    assert version_of(other) != version_of(same)


def test_evidence_never_names_a_task_when_gold_was_wrong() -> None:
    judgement = run_gates(replace(GOOD, gold=Tally(0, 4)), GATES)
    evidence = next(row.as_json() for row in judgement.results if row.gate == "gold_accuracy")
    assert evidence.keys() == {
        "gate", "version", "inputs_hash", "outcome", "reason", "figure", "bound", "sentence", "right", "seen",
        "record_right", "record_seen", "record_upper_bound",
    }  # fmt: skip


def test_row_names_its_gate_set_and_hashes_only_what_the_gate_used() -> None:
    first = run_gates(GOOD, GATES).results
    again = run_gates(replace(GOOD, agreement=Tally(1, 2)), GATES).results
    assert {row.version for row in first} == {version_of(GATES)}
    changed = [a.gate for a, b in zip(first, again, strict=True) if a.inputs_hash != b.inputs_hash]
    assert changed == ["agreement"]
    by_hand = '{"earlier_gold":{"right":0,"seen":0},"gold":{"right":2,"seen":2},"gold_record":{"right":0,"seen":0}}'
    assert first[2].inputs_hash == hashlib.sha256(by_hand.encode()).hexdigest()


@pytest.mark.parametrize(
    ("facts", "gate", "english", "chinese"),
    [
        (
            replace(GOOD, gold=Tally(7, 10), gold_record=Tally(1, 4)), "gold_accuracy",
            "7 of 10 known answers right; the bar is 8.", "10 个已知答案中答对 7 个；标准是 8 个。",
        ),
        (
            replace(GOOD, gold=Tally(0, 4)), "gold_accuracy",
            "0 of 4 known answers right; even the bound of 36.2 % is below the bar, 75.0 %.",
            "至今 4 个已知答案中答对 0 个；即使取上限 36.2%，也低于标准 75.0%。",
        ),
        (
            replace(GOOD, elapsed_seconds=5.0), "minimum_time",
            "0.5 seconds a task on average; the floor is 1.0. This is noted; speed alone takes no pay away.",
            "平均每个任务 0.5 秒；下限是 1.0 秒。已作记录；仅因速度快不会扣减报酬。",
        ),
        (
            replace(GOOD, missing=3), "completeness",
            "Of 10 tasks 3 have no answer, and 0 an answer that does not fit the label schema.",
            "10 个任务中，3 个没有答案，0 个答案不符合标签规范。",
        ),
    ],
)  # fmt: skip
def test_worker_reads_figures_and_bar_when_told_why(facts: Submission, gate: str, english: str, chinese: str) -> None:
    gates = define_gates(QualityPlan(gold_pass_share=0.75), 1)
    rows = {row.gate: row.as_json() for row in run_gates(facts, gates).results}
    sentence = rows[gate]["sentence"]
    assert (sentence["en"], sentence["zh-CN"]) == (english, chinese)
    assert sentence["key"] in SENTENCES
    assert set(sentence["params"].values()) >= {facts.gold.seen} or gate != "gold_accuracy"


def test_both_languages_name_the_same_figures_when_a_sentence_is_written() -> None:
    def names(template: str) -> set[str | None]:
        return {name for _, name, _, _ in Formatter().parse(template) if name}

    for key, (english, chinese) in SENTENCES.items():
        assert names(english) == names(chinese), key


def test_plan_sets_its_own_gates_when_it_names_them() -> None:
    plan = QualityPlan.model_validate({
        "gold_pass_share": 0.8,
        "gates": [
            {"gate": "completeness"},
            {"gate": "gold_accuracy", "level": 0.99},
            {"gate": "agreement", "others": 4},
        ],
    })  # fmt: skip
    gates = define_gates(plan, 1)["gates"]
    assert gates[:2] == [{"gate": "completeness"}, {"gate": "gold_accuracy", "bar": 0.8, "level": 0.99}]
    assert (gates[2]["others"], gates[2]["confidence"], len(gates)) == (4, 0.9, 3)


@pytest.mark.parametrize(
    ("gates", "place"),
    [
        ([{"gate": "mood"}], "mood"),
        ([{"gate": "completeness", "bar": 1}], "bar"),
        ([{"gate": "completeness"}, {"gate": "gold_accuracy", "bar": 1.5}], "bar"),
        ([{"gate": "gold_accuracy"}], "completeness"),
        ([{"gate": "completeness"}, {"gate": "completeness"}], "once"),
        ([], "gates"),
    ],
)
def test_plan_is_refused_when_its_gates_are_unknown(gates: list[dict[str, Any]], place: str) -> None:
    with pytest.raises(ValidationError, match=place):
        QualityPlan.model_validate({"gates": gates})


def test_characteristic_agrees_with_draws_when_workers_are_simulated() -> None:
    rule = GoldRule(gold=2, bar=0.7, level=0.95, max_reworks=1)
    draws, passed = random.Random(20_261_124), 0
    for _ in range(20_000):
        earlier, record = Tally(), Tally(sum(draws.random() < 0.6 for _ in range(20)), 20)
        for revision in (1, 2):
            gold = Tally(sum(draws.random() < 0.6 for _ in range(2)), 2)
            facts = Submission(revision, 10, gold=gold, earlier_gold=earlier, gold_record=record)
            outcome = gold_accuracy.run(facts, GOLD).outcome
            record, earlier = record + gold, earlier + gold
            if outcome is not REWORK:
                break
        passed += outcome is ACCEPTED
    assert pass_share(rule, 0.6, 20).passes == pytest.approx(passed / 20_000, abs=0.012)


def test_characteristic_separates_workers_better_when_more_gold_was_seen() -> None:
    rows = {(row.accuracy, row.gold_seen): row.passes for row in characteristic(GoldRule(2, 0.7, 0.95, 1))}
    assert rows[0.95, 0] > 0.99
    assert rows[0.9, 30] > 0.97
    assert rows[0.5, 30] < rows[0.5, 20] < rows[0.5, 0]
    assert all(rows[a, n] <= rows[b, n] for n in (0, 20, 30) for a, b in pairwise((0.5, 0.6, 0.8, 0.9, 0.95)))


def test_jeffreys_bound_when_compared_with_its_definition() -> None:
    for right, seen in [(0, 3), (5, 10), (17, 20)]:
        bound = jeffreys_upper(right, seen, 0.9)
        assert betainc(right + 0.5, seen - right + 0.5, bound) == pytest.approx(0.9, abs=1e-6)
    assert jeffreys_upper(3, 3) == 1.0
    assert smoothed_accuracy(0, 0) == pytest.approx(0.8)


def accepted_share(accuracy: float, classes: int, gold: int, *, bundles: int = 12, workers: int = 150) -> list[float]:
    """The share of first bundles, of all, and of those after the fifth that pass; half the tasks have a consensus."""
    draws = random.Random(20_250_101 + gold)
    agreeing = accuracy * 0.95 + (1 - accuracy) * 0.05 / (classes - 1)
    passed: list[list[bool]] = []
    for _ in range(workers):
        record, crowd, row = Tally(), Tally(), []
        for number in range(bundles):
            earlier = Tally()
            for revision in (1, 2):
                seen = Tally(sum(draws.random() < accuracy for _ in range(gold)), gold)
                compared = 10 if number else 0
                with_others = Tally(sum(draws.random() < agreeing for _ in range(compared)), compared)
                facts = Submission(
                    revision, 20, elapsed_seconds=200, reported_seconds=(10.0,) * 20, gold=seen, earlier_gold=earlier,
                    gold_record=record, agreement=with_others, agreement_record=crowd,
                )  # fmt: skip
                outcome = run_gates(facts, GATES).outcome
                record, crowd, earlier = record + seen, crowd + with_others, earlier + seen
                if outcome is not REWORK:
                    break
            row.append(outcome is ACCEPTED)
        passed.append(row)
    cells = [row[0] for row in passed], [ok for row in passed for ok in row], [ok for row in passed for ok in row[5:]]
    return [sum(cell) / len(cell) for cell in cells]


@pytest.mark.parametrize(
    ("who", "accuracy", "classes", "gold", "first", "overall", "later"),
    [
        ("good", 0.95, 4, 2, (0.97, 1), (0.99, 1), (0.99, 1)),
        ("good", 0.90, 2, 2, (0.95, 1), (0.98, 1), (0.99, 1)),
        ("good", 0.90, 4, 4, (0.94, 1), (0.98, 1), (0.99, 1)),
        ("careless", 0.60, 4, 4, (0.2, 0.7), (0, 0.5), (0, 0.45)),
        ("clicker", 1 / 2, 2, 2, (0, 0.9), (0, 0.35), (0, 0.25)),
        ("clicker", 1 / 2, 2, 4, (0, 0.5), (0, 0.2), (0, 0.1)),
        ("clicker", 1 / 3, 3, 2, (0, 0.75), (0, 0.15), (0, 0.02)),
        ("clicker", 1 / 3, 3, 4, (0, 0.3), (0, 0.06), (0, 0.02)),
        ("clicker", 1 / 5, 5, 2, (0, 0.55), (0, 0.08), (0, 0.02)),
        ("clicker", 1 / 5, 5, 4, (0, 0.15), (0, 0.03), (0, 0.01)),
    ],
)
def test_gates_tell_workers_apart_when_drawn_many_times(
    who: str,
    accuracy: float,
    classes: int,
    gold: int,
    first: tuple[float, float],
    overall: tuple[float, float],
    later: tuple[float, float],
) -> None:
    shares = accepted_share(accuracy, classes, gold)
    for share, (low, high) in zip(shares, (first, overall, later), strict=True):
        assert low <= share <= high, (who, shares)
