"""One plan for one lot: from what the reviewer asks for to bounds, risks, and the order in which items are drawn."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from marketplace.quality.sampling.iso2859 import Inspection, SinglePlan, single_plan
from marketplace.quality.sampling.sprt import Bounds, Risks, Step, Wald, risks_at, wald_lines


class Method(StrEnum):
    """How a lot's sample is decided on: one by one, or when all of it has been looked at."""

    SPRT = "sprt"
    SINGLE = "single"


@dataclass(frozen=True, slots=True)
class LotPlan:
    """All that decides a lot, fixed and hashed before its first review.

    `aql` is in per cent, `p1`, `alpha` and `beta` are shares; `limit` items are looked at at most, and of these
    `accept_number` may be wrong. `double_share` of the items go to two reviewers. `seed` draws the items.
    """

    method: Method
    lot_size: int
    aql: float
    p1: float
    alpha: float
    beta: float
    inspection: Inspection
    letter: str
    limit: int
    accept_number: int
    double_share: float
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Return the plan as it is stored and hashed."""
        return asdict(self)

    @property
    def bounds(self) -> Bounds:
        """The bounds that decide."""
        lines = wald_lines(self.aql / 100, self.p1, self.alpha, self.beta)
        return Bounds(self.limit, self.accept_number, lines if self.method is Method.SPRT else None)

    def risks(self) -> list[Risks]:
        """Return the exact characteristic at half the AQL, at the AQL, between it and p1, at p1, and at twice p1."""
        p0 = self.aql / 100
        points = (p0 / 2, p0, (p0 + self.p1) / 2, self.p1, min(2 * self.p1, 1.0))
        return [risks_at(self.bounds, p) for p in points]


def read_plan(stored: dict[str, Any]) -> LotPlan:
    """Return a stored plan."""
    named = {"method": Method(stored["method"]), "inspection": Inspection(stored["inspection"])}
    return LotPlan(**{**stored, **named})


def hash_of(plan: LotPlan) -> str:
    """Return the SHA-256 over the plan's JSON with sorted keys, in hexadecimal digits."""
    return hashlib.sha256(msgspec.json.encode(plan.as_json(), order="sorted")).hexdigest()


def make_plan(
    asked: dict[str, Any], lot_size: int, seed: int, *, inspection: Inspection = Inspection.NORMAL
) -> LotPlan:
    """Return the plan for a lot: ISO 2859-1 says how many items at most, Wald's test when to stop before.

    `asked` has `method`, `aql`, `p1`, `alpha`, `beta` and `double_share`. A single plan keeps the standard's
    acceptance number; a sequential one gets its own (`fitting_accept_number`).

    Raises:
        ValueError: as `single_plan` and `wald_lines`.
    """
    single = single_plan(lot_size, asked["aql"], inspection)
    lines = wald_lines(asked["aql"] / 100, asked["p1"], asked["alpha"], asked["beta"])
    accept = single.accept
    if asked["method"] is Method.SPRT:
        accept = fitting_accept_number(single, lines, asked["aql"] / 100, asked["alpha"])
    return LotPlan(
        **asked,
        lot_size=lot_size,
        inspection=inspection,
        letter=single.letter,
        limit=single.size,
        accept_number=accept,
        seed=seed,
    )


def fitting_accept_number(single: SinglePlan, lines: Wald, p0: float, alpha: float) -> int:
    """Return how many wrong items the truncated test accepts at its end.

    The middle between Wald's lines there (his own proposal, §5.8) or, where that would reject good lots too often, the
    first greater number that keeps `alpha` at p0, up to the single plan's: the buyer gets as much as that allows.
    """
    middle = int(lines.slope * single.size + (lines.h1 - lines.h0) / 2)
    for accept in range(max(middle, 0), single.accept):
        if 1 - risks_at(Bounds(single.size, accept, lines), p0).accepted <= alpha:
            return accept
    return single.accept


def drawn(seed: int, ids: Iterable[UUID]) -> list[UUID]:
    """Return ids in the order in which a seed draws them; who has seed and ids gets the same order anywhere."""
    return sorted(ids, key=lambda each: hashlib.sha256(f"review:{seed}:".encode() + each.bytes).digest())


def is_double(seed: int, item_id: UUID, share: float) -> bool:
    """Return whether an item goes to two reviewers: a fixed share of all, which nobody can tell beforehand."""
    digest = hashlib.sha256(f"double:{seed}:".encode() + item_id.bytes).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def walk(bounds: Bounds, findings: Sequence[bool | None]) -> tuple[int, int, Step]:
    """Return how many items count, how many of them are wrong, and what follows.

    `findings` are in the order in which items were drawn: True for wrong, None while people have not agreed. What
    stands behind an undecided item waits, so that the speed of a review never decides which items count.
    """
    wrong = 0
    for items, finding in enumerate(findings, 1):
        if finding is None:
            return items - 1, wrong, Step.GO_ON
        wrong += finding
        step = bounds.step(items, wrong)
        if step is not Step.GO_ON:
            return items, wrong, step
    return len(findings), wrong, Step.GO_ON
