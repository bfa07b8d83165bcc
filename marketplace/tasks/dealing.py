"""Which gold a claim holds: a span of its worker's own order, less what rested when the claim was made.

Spans are places in an order, so nothing may ever move in it: gold that rests keeps its place and is left out, and new
gold stands behind all that came before. Every process reads the same rows at most `POOL_SECONDS` late; what changes
therefore takes effect only `EFFECT_DELAY` later, when all of them know it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from marketplace.tasks.policy import gold_of_worker

POOL_SECONDS: Final = 30.0
EFFECT_DELAY: Final = timedelta(seconds=60)
GOLD_ROWS: Final = """
SELECT g.item_id, a.created_at AS added_at, a.met, p.from_at, p.until_at FROM gold g
LEFT JOIN gold_addition a ON a.request_id = g.request_id AND a.item_id = g.item_id
LEFT JOIN gold_pause p ON p.request_id = g.request_id AND p.item_id = g.item_id
WHERE g.request_id = {request} ORDER BY g.item_id
"""
"""All gold of a request; `{request}` is the driver's placeholder."""

Pause = tuple[datetime, datetime | None]


class GoldRow(NamedTuple):
    """One row of `GOLD_ROWS`: a gold item with one of its pauses, if it has any."""

    item_id: UUID
    added_at: datetime | None
    met: list[UUID] | None
    from_at: datetime | None
    until_at: datetime | None


@dataclass(frozen=True, slots=True)
class GoldPool:
    """A request's gold in the batches in which it came, the pauses of each, and who never gets it."""

    seed: int
    batches: tuple[tuple[UUID, ...], ...]
    dealt: int
    pauses: Mapping[UUID, list[Pause]]
    met: Mapping[UUID, frozenset[UUID]]

    def span(self, worker_id: UUID, start: int, count: int, claimed_at: datetime) -> list[UUID]:
        """Return the gold of a worker's claim that was made at `claimed_at`, in the worker's order."""
        order = [gold for batch in self.batches for gold in gold_of_worker(self.seed, worker_id, batch)]
        return [gold for gold in order[start : start + count] if not self._is_left_out(gold, worker_id, claimed_at)]

    def _is_left_out(self, gold: UUID, worker_id: UUID, claimed_at: datetime) -> bool:
        if worker_id in self.met.get(gold, ()):
            return True
        spans = self.pauses.get(gold, ())
        return any(start <= claimed_at and (end is None or claimed_at < end) for start, end in spans)


def make_gold_pool(seed: int, rows: Iterable[GoldRow], moment: datetime) -> GoldPool:
    """Build the pool from `GOLD_ROWS` as read at `moment`; `dealt` counts the gold that may be dealt by now."""
    batches: dict[datetime | None, dict[UUID, None]] = defaultdict(dict)
    pauses: dict[UUID, list[Pause]] = defaultdict(list)
    met: dict[UUID, frozenset[UUID]] = {}
    for row in rows:
        batches[row.added_at][row.item_id] = None
        if row.met:
            met[row.item_id] = frozenset(row.met)
        if row.from_at is not None:
            pauses[row.item_id].append((row.from_at, row.until_at))
    first = batches.pop(None, {})
    later = [(added, batches[added]) for added in sorted(added for added in batches if added is not None)]
    ripe = sum(len(batch) for added, batch in later if added + EFFECT_DELAY <= moment)
    ordered = (tuple(first), *(tuple(batch) for _, batch in later))
    return GoldPool(seed, ordered, len(first) + ripe, pauses, met)
