"""The gates as tables of facts and outcomes, and what they let through over many draws."""

import random
from dataclasses import replace

import pytest

from marketplace.catalog.schemas import QualityPlan
from marketplace.quality.gates import agreement, completeness, gold_accuracy, minimum_time
from marketplace.quality.gates.facts import Submission, Tally
from marketplace.quality.gates.runner import define_gates, run_gates, version_of
from marketplace.quality.policy import beta_cdf, jeffreys_upper, smoothed_accuracy
from marketplace.quality.states import Outcome, ReasonCode

ACCEPTED, REWORK, REJECTED = Outcome.ACCEPTED, Outcome.REWORK, Outcome.REJECTED
GOOD = Submission(1, 10, elapsed_seconds=100, reported_seconds=(10.0,) * 10, gold=Tally(2, 2))
GATES = define_gates(QualityPlan(), 1)
TIME = {"min_seconds_per_task": 2.0, "min_fast_tasks": 2}
GOLD = {"bar": 0.7, "level": 0.95, "newcomer_seen": 8}
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
    ("elapsed", "seconds", "outcome"),
    [
        (100.0, (10.0,) * 10, ACCEPTED),
        (100.0, (0.5,) + (10.0,) * 9, ACCEPTED),  # one fast task
        (100.0, (0.0,) * 10, REWORK),  # the client says it was fast
        (5.0, (10.0,) * 10, REWORK),  # the client says it was slow, the server knows better
        (20.0, (2.0,) * 10, ACCEPTED),  # the floor itself
    ],
)
def test_minimum_time_when_measured_twice(elapsed: float, seconds: tuple[float, ...], outcome: Outcome) -> None:
    facts = replace(GOOD, elapsed_seconds=elapsed, reported_seconds=seconds)
    assert minimum_time.run(facts, TIME).outcome is outcome


def test_minimum_time_never_fails_when_a_single_task_is_fast() -> None:
    facts = Submission(1, 1, elapsed_seconds=0.2, reported_seconds=(0.1,))
    assert minimum_time.run(facts, TIME).outcome is ACCEPTED


@pytest.mark.parametrize(
    ("gold", "record", "earlier", "outcome"),
    [
        (Tally(0, 0), Tally(), Tally(), ACCEPTED),  # no gold says nothing
        (Tally(2, 2), Tally(), Tally(), ACCEPTED),
        (Tally(0, 1), Tally(), Tally(), REWORK),  # one mistake is not enough to reject
        (Tally(1, 2), Tally(), Tally(), REWORK),  # a newcomer's record cannot speak for them yet
        (Tally(1, 2), Tally(6, 6), Tally(), ACCEPTED),  # every fifth bundle of a good worker
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


def first_bundle_passes(accuracy: float, parameters: dict[str, float], reworks: int) -> float:
    """The exact probability that a first bundle with two gold tasks passes, over all ways to answer them."""

    def passes(record: Tally, revision: int) -> float:
        total = 0.0
        for right, ways in ((0, 1), (1, 2), (2, 1)):
            chance = ways * accuracy**right * (1 - accuracy) ** (2 - right)
            gold = Tally(right, 2)
            facts = Submission(revision, 10, gold=gold, earlier_gold=record, gold_record=record)
            outcome = gold_accuracy.run(facts, parameters).outcome
            if outcome is REWORK and revision <= reworks:
                total += chance * passes(record + gold, revision + 1)
            total += chance * (outcome is ACCEPTED)
        return total

    return passes(Tally(), 1)


@pytest.mark.parametrize(
    ("accuracy", "reworks", "expected"),
    [(0.5, 1, 0.375), (0.9, 1, 0.9558), (0.95, 1, 0.98824), (0.5, 0, 0.25), (0.9, 0, 0.81), (0.95, 0, 0.9025)],
)
def test_first_bundle_passes_as_stated_when_gold_is_two(accuracy: float, reworks: int, expected: float) -> None:
    assert first_bundle_passes(accuracy, GOLD, reworks) == pytest.approx(expected, abs=1e-4)


def test_gate_sets_judge_as_before_when_fixed_without_a_newcomers_limit() -> None:
    old = {"bar": 0.7, "level": 0.95}
    assert gold_accuracy.run(replace(GOOD, gold=Tally(1, 2)), old).outcome is ACCEPTED
    assert first_bundle_passes(0.5, old, 0) == pytest.approx(0.75)


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
    assert run_gates(replace(GOOD, elapsed_seconds=1.0), gates).outcome is outcome


def test_version_changes_when_a_bar_changes() -> None:
    same, other = define_gates(QualityPlan(), 1), define_gates(QualityPlan(gold_pass_share=0.8), 1)
    assert version_of(same) == version_of(dict(reversed(GATES.items())))
    assert version_of(other) != version_of(same)


def test_evidence_never_names_a_task_when_gold_was_wrong() -> None:
    judgement = run_gates(replace(GOOD, gold=Tally(0, 4)), GATES)
    evidence = next(row.as_json() for row in judgement.results if row.gate == "gold_accuracy")
    assert evidence.keys() == {
        "gate", "outcome", "reason", "figure", "bound", "right", "seen", "record_right", "record_seen",
        "record_upper_bound",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("x", "a", "b", "expected"),
    [(0.3, 2, 3, 0.3483), (0.5, 4, 4, 0.5), (0.9, 0.5, 0.5, 0.79517), (0.0, 1, 1, 0.0), (1.0, 2, 2, 1.0)],
)
def test_beta_distribution_when_known_values(x: float, a: float, b: float, expected: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(expected, abs=1e-5)


def test_jeffreys_bound_when_compared_with_its_definition() -> None:
    for right, seen in [(0, 3), (5, 10), (17, 20)]:
        bound = jeffreys_upper(right, seen, 0.9)
        assert beta_cdf(bound, right + 0.5, seen - right + 0.5) == pytest.approx(0.9, abs=1e-6)
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
        ("clicker", 1 / 2, 2, 2, (0, 0.5), (0, 0.3), (0, 0.25)),
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
