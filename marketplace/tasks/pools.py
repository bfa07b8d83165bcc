"""What the hot path needs of a request and hardly changes once work has begun: kept in the process.

Label schema and plan are fixed with the award (domain.md, rule 5). Gold may join and rest while work goes on: it is
read again every `dealing.POOL_SECONDS`, and `dealing` says why that is soon enough.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, Final
from uuid import UUID

from marketplace.catalog.answers import AnswerValidator, make_validator
from marketplace.catalog.label_schemas import read_definition
from marketplace.catalog.states import LabelKind
from marketplace.core.clock import now
from marketplace.tasks.dealing import GOLD_ROWS, POOL_SECONDS, GoldPool, GoldRow, make_gold_pool
from marketplace.tasks.errors import WorkUnknown

CACHED_REQUESTS: Final = 500
_ITEM_KINDS: Final = frozenset({LabelKind.TEXT_SPANS, LabelKind.IMAGE_SHAPES})

_REQUEST: Final = """
SELECT r.seed, r.guideline_version, l.kind, l.definition
FROM dataset_request r JOIN label_schema l ON l.request_id = r.id AND l.version = r.label_schema_version
WHERE r.id = $1 AND coalesce(r.suspended_from, r.state) NOT IN ('draft', 'funded', 'open', 'cancelled')
"""
_GOLD: Final = GOLD_ROWS.format(request="$1")


@dataclass(frozen=True, slots=True)
class RequestPool:
    """A running request's seed, gold and answer validator; `needs_items`: answers are checked against the data."""

    seed: int
    guideline_version: int
    gold: GoldPool
    validator: AnswerValidator
    needs_items: bool

    @property
    def gold_ids(self) -> list[UUID]:
        """The gold that may be dealt by now, in the order in which it came."""
        return [each for batch in self.gold.batches for each in batch][: self.gold.dealt]

    def gold_span(self, worker_id: UUID, start: int, count: int, claimed_at: datetime) -> list[UUID]:
        """Return the gold of a worker's claim, from a place in their order on."""
        return self.gold.span(worker_id, start, count, claimed_at)


_pools: OrderedDict[UUID, tuple[float, RequestPool]] = OrderedDict()


async def request_pool(connection: Any, request_id: UUID) -> RequestPool:
    """Return the pool of a request whose work has begun.

    Raises:
        WorkUnknown: there is no such request, or no work on it yet.
    """
    kept = _pools.get(request_id)
    if kept is not None and monotonic() - kept[0] < POOL_SECONDS:
        return kept[1]
    begun = monotonic()
    row = await connection.fetchrow(_REQUEST, request_id)
    if row is None:
        raise WorkUnknown
    gold = await connection.fetch(_GOLD, request_id)
    pool = RequestPool(
        seed=row["seed"],
        guideline_version=row["guideline_version"],
        gold=make_gold_pool(row["seed"], (GoldRow(*each.values()) for each in gold), now()),
        validator=kept[1].validator if kept else make_validator(read_definition(row["definition"])),
        needs_items=LabelKind(row["kind"]) in _ITEM_KINDS,
    )
    _pools[request_id] = begun, pool
    _pools.move_to_end(request_id)
    if len(_pools) > CACHED_REQUESTS:
        _pools.popitem(last=False)
    return pool
