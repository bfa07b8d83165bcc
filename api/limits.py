"""Rate limits per principal and per address, counted in Redis so that all API processes share them."""

import time
from typing import Any, Final

import structlog
from fastapi import Request
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from redis.asyncio import Redis

from api.session import Resources
from marketplace.core.errors import RateLimited

BLOCKS: Final = 300
BLOCK_SECONDS: Final = 5.0
REMEMBERED: Final = 100_000

log = structlog.get_logger()


class BlockLimiter:
    """Counts calls in Redis, those of generous limits a block at once: asking for each one costs a fifth of a hot call.

    A block is a `BLOCKS`-th of the limit, taken in advance and given up after `BLOCK_SECONDS`; so a process lets nobody
    call more often, and refuses at most a block too early. Limits below 2 · `BLOCKS` are counted call by call.
    """

    def __init__(self, limiter: SlidingWindowCounterRateLimiter) -> None:
        self._limiter = limiter
        self._taken: dict[str, tuple[int, float]] = {}

    async def hit(self, item: RateLimitItem, name: str) -> bool:
        """Count a call and return whether it is allowed; raises StorageError while Redis is away."""
        left, until = self._taken.get(name, (0, 0.0))
        if left > 0 and time.monotonic() < until:
            self._taken[name] = (left - 1, until)
            return True
        block = max(1, item.amount // BLOCKS)
        if not await self._limiter.hit(item, name, cost=block):
            return block > 1 and await self._limiter.hit(item, name)
        if block > 1:
            if len(self._taken) >= REMEMBERED:
                self._taken.clear()
            self._taken[name] = (block - 1, time.monotonic() + BLOCK_SECONDS)
        return True


def make_limiter(redis_url: str, redis: Redis) -> BlockLimiter:
    """Make the app's limiter on the app's own connections, which the app closes."""
    shared: dict[str, Any] = {"connection_pool": redis.connection_pool}
    storage = RedisStorage(f"async+{redis_url}", implementation="redispy", wrap_exceptions=True, **shared)
    return BlockLimiter(SlidingWindowCounterRateLimiter(storage))


async def _hit(request: Request, name: str, per_minute: int) -> None:
    limiter: BlockLimiter = request.app.state.limiter
    try:
        allowed = await limiter.hit(RateLimitItemPerMinute(per_minute), name)
    except StorageError:
        # Redis is the doorbell, not the truth: while it restarts people keep working, and the log says so.
        log.warning("limits.unavailable", name=name)
        return
    if not allowed:
        raise RateLimited(f"More than {per_minute} calls a minute.", retry_after_seconds=10)


async def limit_principal(request: Request, shared: Resources, principal: str) -> None:
    """Count a call of a known caller; raise `RateLimited` above the limit."""
    await _hit(request, principal, shared.settings.rate_limit_per_minute)


async def limit_address(request: Request, _shared: Resources, purpose: str, per_minute: int) -> None:
    """Count a call of an unknown caller by network address; raise `RateLimited` above the limit."""
    address = request.client.host if request.client else "unknown"
    await _hit(request, f"{purpose}:{address}", per_minute)
