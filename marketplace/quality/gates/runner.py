"""A gate set as data, its version, and running a submission through it."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from marketplace.catalog.schemas import QualityPlan
from marketplace.quality.gates import agreement, completeness, gold_accuracy, minimum_time
from marketplace.quality.gates.facts import GateResult, Parameters, Submission
from marketplace.quality.policy import INTERVAL_LEVEL
from marketplace.quality.states import Outcome, ReasonCode


class Gate(NamedTuple):
    """A gate: its rule, and the names of the facts that the rule uses."""

    run: Callable[[Submission, Parameters], GateResult]
    inputs: tuple[str, ...]


GATES: Final[Mapping[str, Gate]] = MappingProxyType({
    completeness.NAME: Gate(completeness.run, completeness.INPUTS),
    minimum_time.NAME: Gate(minimum_time.run, minimum_time.INPUTS),
    gold_accuracy.NAME: Gate(gold_accuracy.run, gold_accuracy.INPUTS),
    agreement.NAME: Gate(agreement.run, agreement.INPUTS),
})  # fmt: skip
_MIN_FAST_TASKS: Final = 2
_GOLD_THAT_OUTRANKS: Final = 5
_SURE: Final = 0.9
_OTHERS_NEEDED: Final = 2
_SEVERITY: Final = (Outcome.ACCEPTED, Outcome.REWORK, Outcome.REJECTED)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What all gates together say."""

    outcome: Outcome
    reason: ReasonCode
    results: list[GateResult]

    @property
    def too_fast(self) -> bool:
        """Whether the work was implausibly fast: a signal, whatever the outcome."""
        return any(result.evidence.get("too_fast", False) for result in self.results)


def define_gates(plan: QualityPlan, label_schema_version: int) -> dict[str, Any]:
    """Return the gate set that a quality plan asks for: ordered gates with their parameters."""
    derived = _derived(plan)
    gates = [{"gate": name, **parameters} for name, parameters in derived.items()]
    if plan.gates is not None:
        gates = [{"gate": asked.gate, **derived[asked.gate], **asked.parameters()} for asked in plan.gates]
    return {"label_schema_version": label_schema_version, "max_reworks": plan.max_reworks, "gates": gates}


def _derived(plan: QualityPlan) -> dict[str, dict[str, Any]]:
    """Return each gate's parameters as they follow from the plan's bars, in the order in which gates run."""
    return {
        completeness.NAME: {},
        minimum_time.NAME: {
            "min_seconds_per_task": plan.min_seconds_per_task,
            "min_fast_tasks": _MIN_FAST_TASKS,
            "gold_bar": plan.gold_pass_share,
        },
        gold_accuracy.NAME: {"bar": plan.gold_pass_share, "level": INTERVAL_LEVEL},
        agreement.NAME: {
            "bar": plan.min_agreement,
            "level": INTERVAL_LEVEL,
            "gold_bar": plan.gold_pass_share,
            "gold_seen": _GOLD_THAT_OUTRANKS,
            "confidence": _SURE,
            "others": _OTHERS_NEEDED,
        },
    }


def version_of(definition: dict[str, Any]) -> str:
    """Return the hash that names a gate set: SHA-256 of its JSON with sorted keys."""
    return _hash(definition)


def parameters_of(definition: dict[str, Any], gate: str) -> Parameters | None:
    """Return a gate's parameters in a gate set; None when it is not among them."""
    return next((parameters for parameters in definition["gates"] if parameters["gate"] == gate), None)


def _hash(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def run_gates(facts: Submission, definition: dict[str, Any]) -> Judgement:
    """Run the gates in order; an incomplete bundle stops at once, else the gravest outcome decides, the first on a tie.

    A rework beyond `max_reworks` is a rejection.
    """
    results: list[GateResult] = []
    version = version_of(definition)
    for parameters in definition["gates"]:
        gate = GATES[parameters["gate"]]
        used = _hash({name: getattr(facts, name) for name in gate.inputs})
        results.append(replace(gate.run(facts, parameters), version=version, inputs_hash=used))
        if results[-1].reason is ReasonCode.INCOMPLETE:
            break
    gravest = max(results, key=lambda result: _SEVERITY.index(result.outcome))
    outcome = gravest.outcome
    if outcome is Outcome.REWORK and facts.revision > int(definition["max_reworks"]):
        outcome = Outcome.REJECTED
    return Judgement(outcome, gravest.reason, results)
