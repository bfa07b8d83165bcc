"""Rate limits per principal and per address, counted in Redis so that all API processes share them."""

from typing import Any

import structlog
from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from redis.asyncio import Redis

from api.session import Resources
from marketplace.core.errors import RateLimited

log = structlog.get_logger()


def make_limiter(redis_url: str, redis: Redis) -> SlidingWindowCounterRateLimiter:
    """Make the app's limiter on the app's own connections, which the app closes."""
    shared: dict[str, Any] = {"connection_pool": redis.connection_pool}
    storage = RedisStorage(f"async+{redis_url}", implementation="redispy", wrap_exceptions=True, **shared)
    return SlidingWindowCounterRateLimiter(storage)


async def _hit(request: Request, name: str, per_minute: int) -> None:
    limiter: SlidingWindowCounterRateLimiter = request.app.state.limiter
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
