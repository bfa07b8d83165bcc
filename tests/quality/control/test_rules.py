"""Control rules without a database: what may be put, and what a replay does."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import ValidationError

from marketplace.quality.control.replay import Event, Used, replay
from marketplace.quality.control.rules import ControlRule, ControlRules

BEGAN = datetime(2026, 1, 5, tzinfo=UTC)
WORKER = UUID(int=7)


def rule(collector="gold_answers", figure="upper_bound", op="<", value=0.7, action=None, **more):
    window = more.pop("window", {})
    seconds = {"seconds": more.pop("seconds")} if "seconds" in more else {}
    return ControlRule.model_validate({
        "name": more.pop("name", "a rule"),
        "collector": {"kind": collector, "window": window, **seconds},
        "min_count": more.pop("min_count", 20),
        "conditions": [{"figure": figure, "op": op, "value": value}],
        "action": action or {"kind": "pause", "hours": 24, "reason": "Too many known answers were wrong."},
    })  # fmt: skip


def happened(number, **what):
    return Event(UUID(int=number), BEGAN + timedelta(minutes=number), **what)


def bundles(right, seen, count, first=0):
    return [
        happened(first + n, tasks=10, submitted=True, decided=True, accepted=True, gold=(right, seen), seconds=3.0)
        for n in range(count)
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"figure": "share"},
        {"min_count": 19},
        {"op": ">"},
        {"value": 1.01},
        {"value": 1.0},
        {"value": 0.0},
        {"value": float("nan")},
        {"collector": "integrity", "figure": "sum", "op": ">=", "value": 1},
        {"collector": "fast_responses", "figure": "share", "op": ">", "value": 0.5, "seconds": 1},
        {"collector": "consensus_agreement", "figure": "share"},
    ],
)
def test_a_pause_is_refused_without_evidence(changes):
    with pytest.raises(ValidationError):
        rule(**changes)


@pytest.mark.parametrize("kind", ["close_account", "withhold_pay", "reject"])
def test_no_rule_touches_accounts_or_pay(kind):
    with pytest.raises(ValidationError):
        rule(action={"kind": kind})


def test_no_action_is_taken_that_nothing_carries_out():
    with pytest.raises(ValidationError):
        rule(action={"kind": "review_sample", "share": 0.5, "hours": 24})


def test_pause_comes_with_the_twentieth_gold_answer_and_not_before():
    fired = replay([rule()], WORKER, bundles(1, 4, 8))
    assert [(each.event, each.figures["count"]) for each in fired] == [(UUID(int=4), 20)]
    assert fired[0].until == fired[0].at + timedelta(hours=24)


def test_good_worker_is_never_paused():
    assert replay([rule()], WORKER, bundles(9, 10, 50)) == []


def test_nobody_is_paused_twice_on_the_same_evidence():
    short = rule(action={"kind": "pause", "hours": 0.001, "reason": "r"})
    fired = replay([short], WORKER, bundles(1, 4, 11))
    assert [each.event.int for each in fired] == [4, 9]


def test_rule_rests_while_its_action_is_in_force():
    assert len(replay([rule()], WORKER, bundles(1, 4, 30))) == 1


def test_window_counts_the_last_events_only():
    events = bundles(10, 10, 5) + bundles(0, 10, 2, first=5)
    windowed = rule(window={"last": 2}, value=0.6)
    assert [each.event.int for each in replay([windowed], WORKER, events)] == [6]
    assert replay([rule(value=0.6)], WORKER, events) == []


def test_hours_count_what_is_not_older():
    paid = [happened(n * 60, accepted=True, decided=True, earned_minor=100) for n in range(6)]
    limit = rule(
        "earnings", "sum", ">=", 300, min_count=1, window={"hours": 2.5},
        action={"kind": "pause", "hours": 12, "reason": "Enough for today."},
    )  # fmt: skip
    assert [each.event.int for each in replay([limit], WORKER, paid)] == [120]


def test_bundles_given_up_count_only_in_a_row():
    skipped = rule(
        "skipped_in_a_row", "sum", ">=", 3, min_count=1, action={"kind": "pause", "hours": 1, "reason": "r"}
    )  # fmt: skip
    work = [happened(n, given_up=n != 2) for n in range(7)]
    assert [each.event.int for each in replay([skipped], WORKER, work)] == [5]


@pytest.mark.parametrize(
    ("collector", "figure", "op", "value", "more"),
    [
        ("consensus_agreement", "share", "<", 0.5, {}),
        ("fast_responses", "share", ">", 0.9, {"seconds": 5}),
        ("submissions", "sum", ">=", 3, {}),
        ("acceptance", "share", "<", 1, {}),
        ("answers", "sum", ">=", 30, {}),
        ("review_results", "upper_bound", "<", 1, {}),
        ("integrity", "sum", ">=", 1, {}),
    ],
)
def test_each_collector_counts(collector, figure, op, value, more):
    bad = {
        "tasks": 10, "submitted": True, "decided": True, "accepted": False, "agreement": (1, 9), "seconds": 1.0,
        "review": (0, 1), "integrity": (1, 1),
    }  # fmt: skip
    told = {"kind": "notify", "message": "Look."}
    one = rule(collector, figure, op, value, action=told, min_count=1, **more)
    assert replay([one], WORKER, [happened(n, **bad) for n in range(4)])


def test_only_events_while_a_version_was_in_force_set_it_off():
    events = bundles(1, 4, 30)
    since = BEGAN + timedelta(minutes=10)
    fired = replay([rule()], WORKER, events, since=since)
    assert [(each.at, each.figures["count"]) for each in fired] == [(since, 44)]
    assert replay([rule()], WORKER, events, until=BEGAN + timedelta(minutes=4)) == []


def test_rule_counts_only_what_came_after_its_earlier_action():
    events = bundles(1, 4, 11)
    since = BEGAN + timedelta(minutes=5)
    used = {"a rule": Used(events[4].at, None), "another rule": Used(events[10].at, None)}
    fired = replay([rule()], WORKER, events, since=since, used=used)
    assert [(each.event.int, each.figures["count"]) for each in fired] == [(9, 20)]
    resting = {"a rule": Used(events[4].at, events[10].at)}
    fired = replay([rule()], WORKER, events, since=since, used=resting)
    assert [(each.event.int, each.figures["count"]) for each in fired] == [(10, 24)]


def test_version_is_the_hash_of_what_the_rules_say():
    one, same = ControlRules(rules=[rule()]), ControlRules(rules=[rule()])
    assert one.version == same.version != ControlRules(rules=[rule(value=0.6)]).version
