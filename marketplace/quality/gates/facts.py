"""What a gate is given, and what it answers."""

from dataclasses import dataclass, field
from typing import Any

from marketplace.quality.gates.sentences import Sentence
from marketplace.quality.states import Outcome, ReasonCode

Parameters = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many of how many were right."""

    right: int = 0
    seen: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.right + other.right, self.seen + other.seen)

    @property
    def share(self) -> float:
        """The share that was right; 1 when nothing was seen."""
        return self.right / self.seen if self.seen else 1.0


@dataclass(frozen=True, slots=True)
class Submission:
    """The facts of one revision of a claim, as the server knows them.

    `elapsed_seconds` runs from the claim (or from the verdict that asked for more care) to the submission on the
    server's clock; `reported_seconds` are the client's, one a task. `gold` and `agreement` count this revision,
    `earlier_gold` the revisions before it, and the records everything the worker did on the request before this claim's
    revision. `invalid` and `missing` count answers that the label schema refuses or that are not there.
    """

    revision: int
    tasks: int
    missing: int = 0
    invalid: int = 0
    problems: list[str] = field(default_factory=list)
    elapsed_seconds: float = 0.0
    reported_seconds: tuple[float, ...] = ()
    gold: Tally = Tally()
    earlier_gold: Tally = Tally()
    gold_record: Tally = Tally()
    agreement: Tally = Tally()
    agreement_record: Tally = Tally()


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a gate found: its figure, the bound, the outcome it asks for, and what the worker is told.

    `version` is the gate set's, `inputs_hash` the SHA-256 over the canonical JSON of the facts that the gate used; the
    runner sets both.
    """

    gate: str
    outcome: Outcome
    reason: ReasonCode
    figure: float
    bound: float
    evidence: dict[str, Any]
    sentence: Sentence
    version: str = ""
    inputs_hash: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the row of the verdict's evidence."""
        return {
            "gate": self.gate,
            "version": self.version,
            "inputs_hash": self.inputs_hash,
            "outcome": self.outcome.value,
            "reason": self.reason.value,
            "figure": round(self.figure, 4),
            "bound": round(self.bound, 4),
            "sentence": self.sentence.as_json(),
            **self.evidence,
        }
