"""The hidden gold tasks were answered right often enough, in this bundle or over the worker's record.

A bundle holds few gold tasks, so its own share decides little: a good worker gets one of two wrong every fifth time.
The gate therefore weighs the bundle together with the record:

1. the record's upper Jeffreys bound lies below the bar: the record is surely below it, the bundle is rejected;
2. this bundle reaches the bar: it passes (a rework must reach it together with what was submitted before, because
   a second try at the same tasks is easier to get right by luck);
3. the record's smoothed mean reaches the bar: one bad bundle of a good worker passes;
4. else it goes back once, and is rejected when it comes back no better.
"""

from marketplace.quality.gates.facts import GateResult, Parameters, Submission
from marketplace.quality.policy import jeffreys_upper, smoothed_accuracy
from marketplace.quality.states import Outcome, ReasonCode

NAME = "gold_accuracy"


def run(facts: Submission, parameters: Parameters) -> GateResult:
    """Judge by the four rules above; parameters: `bar`, the share of gold that must be right, and `level`."""
    bar, level = float(parameters["bar"]), float(parameters["level"])
    record = facts.gold_record + facts.gold
    upper = jeffreys_upper(record.right, record.seen, level)
    outcome = _outcome(facts, bar, upper)
    reason = ReasonCode.PASSED if outcome is Outcome.ACCEPTED else ReasonCode.GOLD_ACCURACY
    evidence = {
        "right": facts.gold.right,
        "seen": facts.gold.seen,
        "record_right": record.right,
        "record_seen": record.seen,
        "record_upper_bound": round(upper, 4),
    }
    return GateResult(NAME, outcome, reason, facts.gold.share, bar, evidence)


def _outcome(facts: Submission, bar: float, upper: float) -> Outcome:
    if facts.gold.seen == 0:
        return Outcome.ACCEPTED
    if upper < bar:
        return Outcome.REJECTED
    if facts.gold.share >= bar and _rework_holds(facts, bar):
        return Outcome.ACCEPTED
    record = facts.gold_record + facts.gold
    if smoothed_accuracy(record.right, record.seen) >= bar:
        return Outcome.ACCEPTED
    return Outcome.REWORK


def _rework_holds(facts: Submission, bar: float) -> bool:
    together = facts.earlier_gold + facts.gold
    return facts.earlier_gold.seen == 0 or smoothed_accuracy(together.right, together.seen) >= bar
