"""Every task of the bundle has an answer, and every answer fits the label schema."""

from typing import Final

from marketplace.quality.gates.facts import GateResult, Parameters, Submission
from marketplace.quality.gates.sentences import Sentence
from marketplace.quality.states import Outcome, ReasonCode

NAME = "completeness"
INPUTS: Final = ("tasks", "missing", "invalid", "problems")


def run(facts: Submission, _parameters: Parameters) -> GateResult:
    """Ask for rework when an answer is missing or invalid; it costs the worker nothing to mend it."""
    wrong = facts.missing + facts.invalid
    share = 1 - wrong / facts.tasks if facts.tasks else 0.0
    evidence = {"missing": facts.missing, "invalid": facts.invalid, "problems": facts.problems}
    if wrong == 0 and facts.tasks > 0:
        sentence = Sentence("completeness.passed", {"tasks": facts.tasks})
        return GateResult(NAME, Outcome.ACCEPTED, ReasonCode.PASSED, share, 1.0, evidence, sentence)
    params = {"tasks": facts.tasks, "missing": facts.missing, "invalid": facts.invalid}
    sentence = Sentence("completeness.incomplete", params)
    return GateResult(NAME, Outcome.REWORK, ReasonCode.INCOMPLETE, share, 1.0, evidence, sentence)
