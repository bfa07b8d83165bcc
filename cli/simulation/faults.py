"""What can go wrong, as a list that must be hit, and the drawing of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from random import Random
from typing import Final, TypeVar

from marketplace.payments.sandbox.faults import Fault, Faults
from marketplace.payments.states import Leg


class JobFault(StrEnum):
    """What happens to a job: killed after its work and before its commit, run by two workers, sent again."""

    KILLED = "killed"
    TWO_WORKERS = "two_workers"
    SENT_AGAIN = "sent_again"


class WebhookFault(StrEnum):
    """What happens to a webhook.

    `EARLY`: it comes while our call is still open, or a chargeback's while we do not know that its charge succeeded.
    """

    DUPLICATED = "duplicated"
    LOST = "lost"
    FORGED = "forged"
    STALE = "stale"
    EARLY = "early"


class TimeFault(StrEnum):
    """The key of an open call can no longer be repeated."""

    KEY_EXPIRED = "key_expired"


F = TypeVar("F")
Pair = tuple[str, str]  # (leg or kind of job, what went wrong)

JOBS: Final = ("payments.advance", "payments.send", "payments.resolve", "payments.webhook")
CALLED: Final = tuple(leg for leg in Leg if leg is not Leg.DISPUTE)  # a chargeback is the payer's call, not ours
ENDS: Final[tuple[Pair, ...]] = (
    ("charge", "declined"), ("charge", "failed_later"), ("payee", "refused"), ("payout", "bank_refused"),
    ("payout", "returned_after_paid"), ("transfer", "balance_insufficient"), ("refund", "charge_disputed"),
    ("chargeback", "won"), ("chargeback", "lost"), ("chargeback", "after_release"),
    ("chargeback", "not_all_frozen"), ("chargeback", "first_heard_of_when_over"),
)  # fmt: skip
PAIRS: Final[frozenset[Pair]] = frozenset(
    [(leg.value, fault.value) for leg, fault in product(CALLED, [*Fault, *WebhookFault, *TimeFault])]
    + [(Leg.DISPUTE.value, fault.value) for fault in WebhookFault]
    + [(job, fault.value) for job, fault in product(JOBS, JobFault)]
    + list(ENDS)
)


@dataclass(slots=True)
class Coverage:
    """Which pairs have happened, and how often."""

    hits: dict[Pair, int] = field(default_factory=dict)

    def hit(self, what: str, fault: str) -> None:
        """Count a pair that happened."""
        self.hits[what, fault] = self.hits.get((what, fault), 0) + 1

    def add(self, other: "Coverage") -> None:
        """Count what happened elsewhere too."""
        for pair, times in other.hits.items():
            self.hits[pair] = self.hits.get(pair, 0) + times

    @property
    def missing(self) -> list[Pair]:
        """The listed pairs that have not happened."""
        return sorted(PAIRS - self.hits.keys())

    @property
    def share(self) -> float:
        """The part of the listed pairs that happened, 0 to 1."""
        return 1 - len(self.missing) / len(PAIRS)


@dataclass(slots=True)
class Luck(Faults):
    """Draws every fault from one seed; `calm` ends the bad luck, so that all can come to rest."""

    rng: Random = field(default_factory=Random)
    coverage: Coverage = field(default_factory=Coverage)
    calm: bool = False

    def next(self, leg: Leg) -> Fault | None:
        """Draw the fault of a call; nothing goes wrong on most."""
        fault = self._draw(tuple(Fault), 0.4)
        if fault is not None:
            self.coverage.hit(leg.value, fault.value)
        return fault

    def of_job(self, kind: str) -> JobFault | None:
        """Draw the fault of a job."""
        fault = self._draw(tuple(JobFault), 0.25)
        if fault is not None:
            self.coverage.hit(kind, fault.value)
        return fault

    def of_webhook(self, leg: Leg) -> WebhookFault | None:
        """Draw the fault of a webhook; whether it is early depends on when it comes, and is not drawn."""
        kinds = [WebhookFault.DUPLICATED, WebhookFault.LOST, WebhookFault.FORGED, WebhookFault.STALE]
        fault = self._draw(kinds, 0.45)
        if fault is not None:
            self.coverage.hit(leg.value, fault.value)
        return fault

    def _draw(self, faults: Sequence[F], chance: float) -> F | None:
        if self.calm or self.rng.random() >= chance:
            return None
        return self.rng.choice(faults)
