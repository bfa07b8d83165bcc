import uuid

import pytest
from limits import RateLimitItemPerMinute
from redis.asyncio import Redis

from api.limits import BLOCKS, make_limiter


@pytest.fixture
async def redis(settings):
    async with Redis.from_url(settings.redis_url) as opened:
        yield opened


async def allowed(limiter, item, name, calls):
    return sum([await limiter.hit(item, name) for _ in range(calls)])


async def test_a_small_limit_is_kept_to_the_call_when_two_processes_count(settings, redis):
    limiters = [make_limiter(settings.redis_url, redis) for _ in range(2)]
    item, name = RateLimitItemPerMinute(7), uuid.uuid4().hex
    assert sum([await allowed(limiter, item, name, 10) for limiter in limiters]) == 7


async def test_a_generous_limit_is_never_exceeded_when_calls_are_counted_in_blocks(settings, redis):
    limiters = [make_limiter(settings.redis_url, redis) for _ in range(2)]
    limit = 4 * BLOCKS + 3
    item, name = RateLimitItemPerMinute(limit), uuid.uuid4().hex
    passed = sum([await allowed(limiter, item, name, limit) for limiter in limiters])
    assert limit - 2 * 4 <= passed <= limit


async def test_principals_are_counted_apart(settings, redis):
    limiter = make_limiter(settings.redis_url, redis)
    item = RateLimitItemPerMinute(3)
    assert [await allowed(limiter, item, uuid.uuid4().hex, 5) for _ in range(2)] == [3, 3]
