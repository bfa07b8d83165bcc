"""A worker process: `python -m workers.main [--queues quality,settlement]`.

One arq worker a queue, in one event loop, so that queues scale apart by giving processes different `--queues`. A
heartbeat keeps the in-progress keys of running jobs alive and short, so that a killed worker's job starts again soon.
"""

import argparse
import asyncio
import contextlib
import random
import signal
from collections.abc import Awaitable, Collection, Iterable
from datetime import timedelta
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog
import uvloop
from arq import Retry, Worker
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.constants import in_progress_key_prefix
from prometheus_client import Counter, Histogram
from redis.asyncio.retry import Retry as RedisRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy.exc import InterfaceError

from marketplace.core import db, telemetry
from marketplace.core.db import open_database
from marketplace.core.errors import DomainError, Kind
from marketplace.core.log import configure_logging
from marketplace.core.settings import Settings, get_settings
from marketplace.core.storage import open_store
from marketplace.payments.providers import close_gateways
from workers import jobs
from workers.handlers import HANDLERS, WorkerResources
from workers.relay import Relay, queue_of
from workers.session import bury, run_once

JOB_TIMEOUT_SECONDS: Final = 3600
COMPLETION_WAIT_SECONDS: Final = 3
ARQ_TRIES: Final = 1_000_000  # arq skips our code above its own limit; ours is JOB_MAX_TRIES
TIMEOUT_MARGIN_SECONDS: Final = 60  # arq's own limit, which forgets a job without a word, never comes first
JOBS: Final = Counter("kapok_jobs_total", "Jobs run", ["kind", "outcome"])
JOB_SECONDS: Final = Histogram("kapok_job_seconds", "Time a job took", ["kind"])

# what these say of a file or a name is the same at the next try, though they are errors of the operating system
_LASTING: Final = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)

log = structlog.get_logger()


class JobTooLongError(Exception):
    """A job ran longer than `JOB_TIMEOUT_SECONDS`; it counts as a failed try, or it would be begun again for ever."""


def load_handlers() -> None:
    """Import every module of workers/jobs, which fills the register."""
    for module in iter_modules(jobs.__path__):
        import_module(f"{jobs.__name__}.{module.name}")


def is_passing(error: Exception) -> bool:
    """Whether a failure may go away by itself: the database or Redis is away, a deadlock, a part not available."""
    if db.is_passing(error) or isinstance(error, InterfaceError):
        return True
    if isinstance(error, DomainError):
        return error.kind in {Kind.UNAVAILABLE, Kind.RATE_LIMITED}
    return isinstance(error, OSError | RedisError) and not isinstance(error, _LASTING)


def backoff_seconds(job_try: int) -> float:
    """Return the wait before the next try: half a second doubled each time up to a minute, with jitter (±25 %)."""
    wait: float = min(60.0, 0.5 * 2 ** min(job_try - 1, 7))
    return wait * random.uniform(0.75, 1.25)  # noqa: S311  # jitter


async def run_job(ctx: dict[str, Any], kind: str, payload: dict[str, Any], context: dict[str, str]) -> None:
    """The one arq function: runs the handler of the kind, retries with backoff, buries what fails for good."""
    shared: WorkerResources = ctx["shared"]
    job_id, job_try = UUID(ctx["job_id"]), int(ctx["job_try"])
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(job_id=str(job_id), kind=kind, **context)
    try:
        with JOB_SECONDS.labels(kind).time(), telemetry.job_span(kind, context):
            await _in_time(run_once(shared, job_id, kind, payload))
    except Exception as error:  # whatever a job raises ends as a retry or as a dead letter
        # A passing failure is tried for ever: work is never dropped because a server was away.
        if is_passing(error) or job_try < shared.settings.job_max_tries:
            JOBS.labels(kind, "retried").inc()
            log.warning("job.retried", job_try=job_try, error=repr(error))
            raise Retry(defer=timedelta(seconds=backoff_seconds(job_try))) from error
        JOBS.labels(kind, "dead").inc()
        log.exception("job.dead", job_try=job_try)
        await bury(shared, job_id, kind, payload, error=repr(error), tries=job_try)
        return
    JOBS.labels(kind, "done").inc()


async def _in_time(job: Awaitable[None]) -> None:
    limit = asyncio.timeout(JOB_TIMEOUT_SECONDS)
    try:
        async with limit:
            await job
    except TimeoutError as error:
        if limit.expired():
            raise JobTooLongError(f"{JOB_TIMEOUT_SECONDS} s") from error
        raise


def redis_settings(settings: Settings) -> RedisSettings:
    """Return arq's connection settings, which survive a Redis that is away for a while."""
    base = RedisSettings.from_dsn(settings.redis_url)
    base.retry = RedisRetry(ExponentialBackoff(cap=2, base=0.1), 20)
    base.retry_on_error = [RedisConnectionError, RedisTimeoutError, OSError]
    base.retry_on_timeout = True
    base.conn_retries = 30
    return base


def make_worker(queue: str, redis: ArqRedis, shared: WorkerResources) -> Worker:
    """Make the arq worker of one queue."""
    worker = Worker(
        functions=[run_job],
        queue_name=queue,
        redis_pool=redis,
        handle_signals=False,
        job_completion_wait=COMPLETION_WAIT_SECONDS,
        max_jobs=8,
        job_timeout=JOB_TIMEOUT_SECONDS + TIMEOUT_MARGIN_SECONDS,
        keep_result=0,
        poll_delay=0.05,
        max_tries=ARQ_TRIES,
        health_check_interval=10,
        ctx={"shared": shared},
        job_serializer=msgspec.json.encode,
        job_deserializer=msgspec.json.decode,
        log_results=False,
    )
    worker.in_progress_timeout_s = shared.settings.job_lease_seconds
    return worker


async def keep_alive(workers: list[Worker], redis: ArqRedis, lease_seconds: float) -> None:
    """Renew the in-progress keys of all running jobs; when this process dies they lapse within the lease."""
    while True:
        await asyncio.sleep(lease_seconds / 4)
        keys = [in_progress_key_prefix + job_id for worker in workers for job_id in list(worker.tasks)]
        with contextlib.suppress(RedisError, OSError):
            async with redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.pexpire(key, int(lease_seconds * 1000))
                await pipe.execute()


async def serve(settings: Settings, queues: list[str]) -> None:
    """Run the workers of the queues, the relay and the schedule until a signal comes or one of them dies."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    redis = await create_pool(
        redis_settings(settings), job_serializer=msgspec.json.encode, job_deserializer=msgspec.json.decode
    )
    async with open_database(settings, hot_size=2) as database:
        shared = WorkerResources(settings, database, open_store(settings))
        workers = [make_worker(queue, redis, shared) for queue in queues]
        relay = Relay(shared, redis)
        picking = [asyncio.ensure_future(worker.async_run()) for worker in workers]
        parts = [relay.run(), relay.run_schedule(), keep_alive(workers, redis, settings.job_lease_seconds)]
        running = [*picking, *(asyncio.ensure_future(part) for part in parts)]
        log.info("worker.ready", queues=queues)
        await asyncio.wait([*running, asyncio.ensure_future(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        died = [task.exception() for task in running if task.done() and not task.cancelled()]
        await end(picking)
        await drain([task for worker in workers for task in worker.tasks.values() if not task.done()])
        await end(running)
    await close_gateways()
    await redis.aclose()
    for error in died:
        if error is not None:
            raise error


async def end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def drain(running: Collection[asyncio.Future[Any]]) -> None:
    """Let running jobs end for a moment; what is left is rolled back, and run again by another worker."""
    if running:
        _, left = await asyncio.wait(running, timeout=COMPLETION_WAIT_SECONDS)
        await end(left)


def main() -> None:
    """Parse the arguments and run."""
    load_handlers()
    every = sorted({queue_of(kind).partition(":")[2] for kind in HANDLERS})
    parser = argparse.ArgumentParser(description="Run Kapok's jobs.")
    parser.add_argument("--queues", default=",".join(every), help=f"comma-separated, of: {', '.join(every)}")
    chosen = parser.parse_args().queues.split(",")
    settings = get_settings()
    configure_logging(settings)
    telemetry.configure(settings, "kapok-worker")
    with telemetry.metrics_server(settings), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, [f"kapok:{queue}" for queue in chosen]))


if __name__ == "__main__":
    main()
