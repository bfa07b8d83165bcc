from uuid import UUID

import numpy as np
import pytest

from marketplace.quality.fraud.copying import MIN_COMMON, find_copiers
from marketplace.quality.fraud.patterns import find_pattern, longest_fast_run
from marketplace.quality.fraud.spammers import FALSE_ALARMS, find_spammers, spammer_score
from marketplace.quality.fraud.tails import at_least, discoveries
from marketplace.quality.fraud.votes import MOST_CLASSES, Vote, encode, fit


def crowd(seed, *, honest=20, spammers=4, tasks=160, labels=40, classes=3, copies=(), accuracy=(0.75, 0.95)):
    """Votes of honest workers, then spammers with habits of their own; `copies` are (who, of whom, their accuracy)."""
    dice = np.random.default_rng(seed)
    truth = dice.integers(classes, size=tasks)
    votes, keys, of = [], {}, dict(copies)
    for worker in range(honest + spammers):
        mine = dice.choice(tasks, labels, replace=False)
        skill = dice.uniform(*accuracy)
        habit = dice.dirichlet(np.ones(classes))
        for task in keys[of[worker]] if worker in of else mine:
            if worker in of:
                said = keys[of[worker]][task]
            elif worker >= honest:
                said = dice.choice(classes, p=habit)
            else:
                said = truth[task] if dice.random() < skill else (truth[task] + dice.integers(1, classes)) % classes
            keys.setdefault(worker, {})[int(task)] = int(said)
            votes.append(Vote(UUID(int=int(task)), UUID(int=worker), str(said), float(worker)))
    return votes


def auc(scores, is_bad):
    bad, good = scores[is_bad], scores[~is_bad]
    return float((bad[:, None] < good[None]).mean() + 0.5 * (bad[:, None] == good[None]).mean())


def test_score_is_zero_for_who_never_looks_and_one_for_the_perfect_of_two_classes():
    assert spammer_score(np.array([[0.3, 0.7], [0.3, 0.7]])) == 0
    assert spammer_score(np.eye(2)) == 1


def test_spammers_rank_below_honest_workers_when_each_gave_forty_labels():
    found = []
    for seed in range(5):
        votes = encode(crowd(seed), {})
        scores = np.array([each.score for each in find_spammers(votes, fit(votes), seed)])
        found.append(auc(scores, np.arange(24) >= 20))
    assert min(found) >= 0.9


def test_false_alarms_hold_their_rate_when_the_crowd_is_honest():
    alarms = [
        each.is_spammer
        for seed in range(10)
        for votes in [encode(crowd(seed, spammers=0, honest=30), {})]
        for each in find_spammers(votes, fit(votes), seed)
    ]
    # 300 workers, at the rate itself three are expected; more than 9 has a chance of one in a thousand
    assert sum(alarms) <= 9
    assert FALSE_ALARMS == 0.01


def test_most_spammers_are_caught_when_each_gave_eighty_labels():
    caught = [
        each.is_spammer
        for seed in range(5)
        for votes in [encode(crowd(seed, labels=80), {})]
        for each in find_spammers(votes, fit(votes), seed)[20:]
    ]
    assert np.mean(caught) >= 0.8


def test_nobody_is_judged_when_labels_are_few():
    votes = encode(crowd(1, labels=10), {})
    assert all(each.p_value is None and not each.is_spammer for each in find_spammers(votes, fit(votes), 1))


def test_gold_is_held_fast_when_everybody_is_wrong():
    gold = UUID(int=1)
    votes = encode([Vote(gold, UUID(int=w), "a") for w in range(5)], {gold: "b"})
    assert fit(votes).posterior[0].tolist() == [0.0, 1.0]


def test_copiers_are_found_and_told_from_their_source_when_they_share_forty_tasks():
    votes = encode(crowd(3, honest=16, spammers=0, tasks=80, copies=[(14, 2), (15, 3)], accuracy=(0.65, 0.8)), {})
    pairs = [pair for pair in find_copiers(votes, fit(votes)) if pair.is_copied]
    assert {(pair.one, pair.other, pair.later) for pair in pairs} == {(2, 14, 14), (3, 15, 15)}


def test_no_pair_is_named_more_often_than_stated_when_all_look_for_themselves():
    named = tested = 0
    for seed in range(8):
        votes = encode(crowd(seed, spammers=0, tasks=80, labels=50), {})
        pairs = find_copiers(votes, fit(votes))
        tested += len(pairs)
        named += sum(pair.is_copied for pair in pairs)
    assert tested > 1000
    assert named <= 2


def test_pairs_with_few_common_tasks_are_not_tested():
    votes = encode(crowd(1, tasks=2000, copies=[(5, 1)]), {})
    assert [(p.one, p.other) for p in find_copiers(votes, fit(votes))] == [(1, 5)]
    assert MIN_COMMON == 20


@pytest.mark.parametrize(("codes", "period"), [([0] * 30, 1), ([0, 1] * 15, 2), ([0, 0, 1, 1] * 8, 4)])
def test_a_repeated_pattern_is_a_bot(codes, period):
    honest = np.full((len(codes), 2), 0.5)
    found = find_pattern([np.array(codes)], [honest])
    assert (found.is_bot, found.period) == (True, period)


def test_a_constant_answer_is_no_bot_when_the_truth_is_constant():
    found = find_pattern([np.zeros(40, dtype=np.int64)], [np.tile([0.97, 0.03], (40, 1))])
    assert not found.is_bot


def test_honest_sequences_raise_no_alarm():
    dice = np.random.default_rng(5)
    runs = [find_pattern([dice.integers(2, size=40)], [np.full((40, 2), 0.5)]) for _ in range(300)]
    assert sum(run.is_bot for run in runs) <= 1


def test_longest_fast_run_counts_only_neighbours():
    assert longest_fast_run([1, 0.1, 0.1, 1, 0.1], 0.5) == 2


def test_rare_classes_are_taken_together_when_there_are_thousands():
    votes = encode([Vote(UUID(int=n), UUID(int=0), f"c{n}") for n in range(3000)], {})
    assert votes.classes == MOST_CLASSES


def test_tail_and_discoveries_agree_with_hand_counts():
    assert at_least(2, np.array([0.5, 0.5])) == pytest.approx(0.25)
    assert discoveries([0.001, 0.2, 0.012], 0.02) == [True, False, True]
    assert discoveries([], 0.1) == []
