"""The hidden gold tasks were answered right often enough, in this bundle or over the worker's record.

A bundle holds few gold tasks, so its own share decides little: a good worker gets one of two wrong every fifth time.
The gate therefore weighs the bundle together with the record:

1. the record's upper Jeffreys bound lies below the bar: the record is surely below it, the bundle is rejected;
2. this bundle reaches the bar: it passes (a rework must reach it together with what was submitted before, because
   a second try at the same tasks is easier to get right by luck);
3. the record has `newcomer_seen` answers or more, and its smoothed mean reaches the bar: one bad bundle of a good
   worker passes. A newcomer's record is too short for that: the prior would speak for them, not their answers;
4. else it goes back once, and is rejected when it comes back no better.

With two gold tasks a bundle, a bar of .7 and one rework, who answers a choice of two by a coin gets a first bundle
accepted with probability 1/4 + 1/2 · 1/4 = .375 (.75 without rule 3's limit), who is right in .9 with .956, in .95
with .988; without a rework .25, .81 and .90 (`tests/quality/test_gates.py` computes them).
"""

from marketplace.quality.gates.facts import GateResult, Parameters, Submission
from marketplace.quality.policy import jeffreys_upper, smoothed_accuracy
from marketplace.quality.states import Outcome, ReasonCode

NAME = "gold_accuracy"


def run(facts: Submission, parameters: Parameters) -> GateResult:
    """Judge by the four rules above; parameters: `bar`, the share of gold that must be right, and `level`.

    `newcomer_seen` is 0 in gate sets that were fixed before there was such a limit.
    """
    bar, level = float(parameters["bar"]), float(parameters["level"])
    record = facts.gold_record + facts.gold
    upper = jeffreys_upper(record.right, record.seen, level)
    outcome = _outcome(facts, bar, upper, int(parameters.get("newcomer_seen", 0)))
    reason = ReasonCode.PASSED if outcome is Outcome.ACCEPTED else ReasonCode.GOLD_ACCURACY
    evidence = {
        "right": facts.gold.right,
        "seen": facts.gold.seen,
        "record_right": record.right,
        "record_seen": record.seen,
        "record_upper_bound": round(upper, 4),
    }
    return GateResult(NAME, outcome, reason, facts.gold.share, bar, evidence)


def _outcome(facts: Submission, bar: float, upper: float, newcomer_seen: int) -> Outcome:
    if facts.gold.seen == 0:
        return Outcome.ACCEPTED
    if upper < bar:
        return Outcome.REJECTED
    if facts.gold.share >= bar and _rework_holds(facts, bar):
        return Outcome.ACCEPTED
    record = facts.gold_record + facts.gold
    if record.seen >= newcomer_seen and smoothed_accuracy(record.right, record.seen) >= bar:
        return Outcome.ACCEPTED
    return Outcome.REWORK


def _rework_holds(facts: Submission, bar: float) -> bool:
    together = facts.earlier_gold + facts.gold
    return facts.earlier_gold.seen == 0 or smoothed_accuracy(together.right, together.seen) >= bar
