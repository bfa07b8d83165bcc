"""The hidden gold tasks were answered right often enough, in this bundle or over the worker's record.

A bundle holds few gold tasks, so its own share decides little: a good worker gets one of two wrong every fifth time.
The gate therefore weighs the bundle together with the record:

1. the record's upper Jeffreys bound lies below the bar: the record is surely below it, the bundle is rejected;
2. this bundle reaches the bar: it passes (a rework must reach it together with what was submitted before, because
   a second try at the same tasks is easier to get right by luck);
3. the record's smoothed mean reaches the bar: one bad bundle of a good worker passes;
4. else it goes back once, and is rejected when it comes back no better.

How often that passes workers of a known accuracy is computed in `characteristic`.
"""

from math import floor
from typing import Final

from marketplace.quality.gates.facts import GateResult, Parameters, Submission, Tally
from marketplace.quality.gates.sentences import Sentence, needed, per_cent
from marketplace.quality.policy import jeffreys_upper, smoothed_accuracy
from marketplace.quality.states import Outcome, ReasonCode

NAME = "gold_accuracy"
INPUTS: Final = ("gold", "earlier_gold", "gold_record")


def run(facts: Submission, parameters: Parameters) -> GateResult:
    """Judge by the four rules above; parameters: `bar`, the share of gold that must be right, and `level`."""
    bar, level = float(parameters["bar"]), float(parameters["level"])
    record = facts.gold_record + facts.gold
    upper = jeffreys_upper(record.right, record.seen, level)
    outcome = decide(facts.gold, facts.earlier_gold, record, bar, level)
    reason = ReasonCode.PASSED if outcome is Outcome.ACCEPTED else ReasonCode.GOLD_ACCURACY
    evidence = {
        "right": facts.gold.right,
        "seen": facts.gold.seen,
        "record_right": record.right,
        "record_seen": record.seen,
        "record_upper_bound": round(upper, 4),
    }
    params = {**evidence, "needed": needed(bar, facts.gold.seen), "upper": per_cent(upper), "bar": per_cent(bar)}
    return GateResult(
        NAME, outcome, reason, facts.gold.share, bar, evidence, Sentence(_key(facts, outcome, bar), params)
    )


def decide(gold: Tally, earlier: Tally, record: Tally, bar: float, level: float) -> Outcome:
    """Return what becomes of a bundle with this gold, after `earlier` tries at it; `record` holds all, it included."""
    if gold.seen == 0:
        return Outcome.ACCEPTED
    if jeffreys_upper(record.right, record.seen, level) < bar:
        return Outcome.REJECTED
    if gold.share >= bar and _rework_holds(gold, earlier, bar):
        return Outcome.ACCEPTED
    if smoothed_accuracy(record.right, record.seen) >= bar:
        return Outcome.ACCEPTED
    return Outcome.REWORK


def _rework_holds(gold: Tally, earlier: Tally, bar: float) -> bool:
    """Return whether all tries together reach the bar, to the nearest whole task or by their smoothed mean.

    Without the first, one mistake among two would stand for ever where the bar is above 0.775.
    """
    together = earlier + gold
    return together.right >= floor(bar * together.seen + 0.5) or smoothed_accuracy(together.right, together.seen) >= bar


def _key(facts: Submission, outcome: Outcome, bar: float) -> str:
    if facts.gold.seen == 0:
        return "gold_accuracy.none"
    if outcome is Outcome.REJECTED:
        return "gold_accuracy.record_below"
    if outcome is Outcome.REWORK:
        return "gold_accuracy.below"
    return "gold_accuracy.passed" if facts.gold.share >= bar else "gold_accuracy.record"
