"""The answers agree with the consensus of others, on tasks that enough others have answered.

Others may be wrong together, so this gate is softer than gold: it takes both this bundle and the upper bound of the
record to fail, and never against a worker whose gold says that they are right.
"""

from marketplace.quality.gates.facts import GateResult, Parameters, Submission
from marketplace.quality.policy import jeffreys_upper
from marketplace.quality.states import Outcome, ReasonCode

NAME = "agreement"


def run(facts: Submission, parameters: Parameters) -> GateResult:
    """Judge this bundle's agreement with the record's.

    Parameters: `bar`, the share that must agree; `level` of the bound; `gold_bar` and `gold_seen`, the gold record that
    outranks the crowd.
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
    if trusted or figure >= bar or upper >= bar:
        return GateResult(NAME, Outcome.ACCEPTED, ReasonCode.PASSED, figure, bar, evidence)
    return GateResult(NAME, Outcome.REWORK, ReasonCode.AGREEMENT, figure, bar, evidence)
