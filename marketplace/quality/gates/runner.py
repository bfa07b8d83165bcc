"""A gate set as data, its version, and running a submission through it."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec

from marketplace.catalog.schemas import QualityPlan
from marketplace.quality.gates import agreement, completeness, gold_accuracy, minimum_time
from marketplace.quality.gates.facts import GateResult, Parameters, Submission
from marketplace.quality.policy import INTERVAL_LEVEL
from marketplace.quality.states import Outcome, ReasonCode

Gate = Callable[[Submission, Parameters], GateResult]
GATES: Final[Mapping[str, Gate]] = MappingProxyType({
    completeness.NAME: completeness.run,
    minimum_time.NAME: minimum_time.run,
    gold_accuracy.NAME: gold_accuracy.run,
    agreement.NAME: agreement.run,
})  # fmt: skip
_MIN_FAST_TASKS: Final = 2
_GOLD_THAT_OUTRANKS: Final = 5
_NEWCOMER_GOLD: Final = 8
_SEVERITY: Final = (Outcome.ACCEPTED, Outcome.REWORK, Outcome.REJECTED)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What all gates together say."""

    outcome: Outcome
    reason: ReasonCode
    results: list[GateResult]


def define_gates(plan: QualityPlan, label_schema_version: int) -> dict[str, Any]:
    """Return the gate set that a quality plan asks for: ordered gates with their parameters."""
    return {
        "label_schema_version": label_schema_version,
        "max_reworks": plan.max_reworks,
        "gates": [
            {"gate": completeness.NAME},
            {
                "gate": minimum_time.NAME,
                "min_seconds_per_task": plan.min_seconds_per_task,
                "min_fast_tasks": _MIN_FAST_TASKS,
            },
            {
                "gate": gold_accuracy.NAME,
                "bar": plan.gold_pass_share,
                "level": INTERVAL_LEVEL,
                "newcomer_seen": _NEWCOMER_GOLD,
            },
            {
                "gate": agreement.NAME,
                "bar": plan.min_agreement,
                "level": INTERVAL_LEVEL,
                "gold_bar": plan.gold_pass_share,
                "gold_seen": _GOLD_THAT_OUTRANKS,
            },
        ],
    }


def version_of(definition: dict[str, Any]) -> str:
    """Return the hash that names a gate set: SHA-256 of its JSON with sorted keys."""
    return hashlib.sha256(msgspec.json.encode(definition, order="sorted")).hexdigest()


def run_gates(facts: Submission, definition: dict[str, Any]) -> Judgement:
    """Run the gates in order; an incomplete bundle stops at once, else the gravest outcome decides, the first on a tie.

    A rework beyond `max_reworks` is a rejection.
    """
    results: list[GateResult] = []
    for parameters in definition["gates"]:
        results.append(GATES[parameters["gate"]](facts, parameters))
        if results[-1].reason is ReasonCode.INCOMPLETE:
            break
    gravest = max(results, key=lambda result: _SEVERITY.index(result.outcome))
    outcome = gravest.outcome
    if outcome is Outcome.REWORK and facts.revision > int(definition["max_reworks"]):
        outcome = Outcome.REJECTED
    return Judgement(outcome, gravest.reason, results)
