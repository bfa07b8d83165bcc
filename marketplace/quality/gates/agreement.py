"""The answers agree with the consensus of others, where that is sure: many answers, and a high calibrated confidence.

Others may be wrong together, so this gate is softer than gold: it takes both this bundle and the upper bound of the
record to fail, and never against a worker whose gold says that they are right. The consensus holds accepted work only,
and a worker meets a task once, so that it was made without the answers that are judged.
"""

from typing import Final

from marketplace.quality.gates.facts import GateResult, Parameters, Submission
from marketplace.quality.gates.sentences import Sentence, needed
from marketplace.quality.policy import jeffreys_upper
from marketplace.quality.states import Outcome, ReasonCode

NAME = "agreement"
INPUTS: Final = ("agreement", "agreement_record", "gold", "gold_record")


def run(facts: Submission, parameters: Parameters) -> GateResult:
    """Judge this bundle's agreement with the record's.

    Parameters: `bar`, the share that must agree; `level` of the bound; `gold_bar` and `gold_seen`, the gold record that
    outranks the crowd. `others` and `confidence` say with which labels answers are compared (`cases.gather_facts`).
    """
    bar, level = float(parameters["bar"]), float(parameters["level"])
    record = facts.agreement_record + facts.agreement
    upper = jeffreys_upper(record.right, record.seen, level)
    gold = facts.gold_record + facts.gold
    trusted = gold.seen >= int(parameters["gold_seen"]) and gold.share >= float(parameters["gold_bar"])
    evidence = {
        "agreed": facts.agreement.right,
        "compared": facts.agreement.seen,
        "record_agreed": record.right,
        "record_compared": record.seen,
        "record_upper_bound": round(upper, 4),
        "gold_outranks": trusted,
    }
    figure = facts.agreement.share
    passed = trusted or figure >= bar or upper >= bar
    params = {
        "agreed": facts.agreement.right, "compared": facts.agreement.seen, "needed": needed(bar, facts.agreement.seen),
    }  # fmt: skip
    sentence = Sentence(_key(facts, passed, bar), params)
    if passed:
        return GateResult(NAME, Outcome.ACCEPTED, ReasonCode.PASSED, figure, bar, evidence, sentence)
    return GateResult(NAME, Outcome.REWORK, ReasonCode.AGREEMENT, figure, bar, evidence, sentence)


def _key(facts: Submission, passed: bool, bar: float) -> str:
    if facts.agreement.seen == 0:
        return "agreement.none"
    if not passed:
        return "agreement.below"
    return "agreement.passed" if facts.agreement.share >= bar else "agreement.outweighed"
