"""What the hot path needs of a request and never changes once work has begun: kept in the process.

Gold, label schema and plan are fixed with the award (domain.md, rule 5), so a copy made after it cannot go stale.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from marketplace.catalog.answers import AnswerValidator, make_validator
from marketplace.catalog.label_schemas import read_definition
from marketplace.catalog.states import LabelKind
from marketplace.tasks.errors import WorkUnknown
from marketplace.tasks.policy import gold_of_worker

CACHED_REQUESTS: Final = 500
_ITEM_KINDS: Final = frozenset({LabelKind.TEXT_SPANS, LabelKind.IMAGE_SHAPES})

_REQUEST: Final = """
SELECT r.seed, r.guideline_version, l.kind, l.definition,
       (SELECT coalesce(array_agg(item_id ORDER BY item_id), '{}') FROM gold WHERE request_id = r.id) AS gold_ids
FROM dataset_request r JOIN label_schema l ON l.request_id = r.id AND l.version = r.label_schema_version
WHERE r.id = $1 AND coalesce(r.suspended_from, r.state) NOT IN ('draft', 'funded', 'open', 'cancelled')
"""


@dataclass(frozen=True, slots=True)
class RequestPool:
    """A running request's seed, gold ids and answer validator; `needs_items`: answers are checked against the data."""

    seed: int
    guideline_version: int
    gold_ids: list[UUID]
    validator: AnswerValidator
    needs_items: bool

    def gold_span(self, worker_id: UUID, start: int, count: int) -> list[UUID]:
        """Return the gold that a worker meets from a place in their order on."""
        return gold_of_worker(self.seed, worker_id, self.gold_ids)[start : start + count]


_pools: OrderedDict[UUID, RequestPool] = OrderedDict()


async def request_pool(connection: Any, request_id: UUID) -> RequestPool:
    """Return the pool of a request whose work has begun.

    Raises:
        WorkUnknown: there is no such request, or no work on it yet.
    """
    pool = _pools.get(request_id)
    if pool is None:
        row = await connection.fetchrow(_REQUEST, request_id)
        if row is None:
            raise WorkUnknown
        validator = make_validator(read_definition(row["definition"]))
        kind = LabelKind(row["kind"])
        pool = RequestPool(row["seed"], row["guideline_version"], list(row["gold_ids"]), validator, kind in _ITEM_KINDS)
        _pools[request_id] = pool
        if len(_pools) > CACHED_REQUESTS:
            _pools.popitem(last=False)
    return pool
