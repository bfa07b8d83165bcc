"""The register of job handlers, and what a handler is given."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from obstore.store import ObjectStore
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.db import Database
from marketplace.core.errors import DomainError
from marketplace.core.settings import Settings


@dataclass(frozen=True, slots=True)
class WorkerResources:
    """What a worker process opened at start and every job shares."""

    settings: Settings
    database: Database
    store: ObjectStore


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a job may use: its transaction's session, and the process's resources for work outside of it."""

    session: AsyncSession
    settings: Settings
    database: Database
    store: ObjectStore


Handler = Callable[[JobContext, dict[str, Any]], Awaitable[None]]
# Does several jobs of a kind in one transaction; returns those it refused by their place, which are not done.
BatchHandler = Callable[[JobContext, list[dict[str, Any]]], Awaitable[dict[int, DomainError]]]


@dataclass(frozen=True, slots=True)
class Periodic:
    """A job that runs every so often; one process of all sends it, by a lease row in PostgreSQL."""

    kind: str
    every: timedelta


@dataclass(frozen=True, slots=True)
class Batch:
    """A kind whose waiting jobs are done together, up to `limit` in one transaction."""

    handler: BatchHandler
    limit: int


HANDLERS: dict[str, Handler] = {}
BATCHES: dict[str, Batch] = {}
SCHEDULE: list[Periodic] = []


def handles(kind: str, *, every: timedelta | None = None) -> Callable[[Handler], Handler]:
    """Register the handler of an outbox kind, and let it run on a schedule too when `every` is given."""

    def register(handler: Handler) -> Handler:
        _check_new(kind)
        HANDLERS[kind] = handler
        if every is not None:
            SCHEDULE.append(Periodic(kind, every))
        return handler

    return register


def handles_together(kind: str, *, limit: int) -> Callable[[BatchHandler], BatchHandler]:
    """Register the handler of an outbox kind whose cost is in the transaction, so that jobs that wait share one."""

    def register(handler: BatchHandler) -> BatchHandler:
        _check_new(kind)
        BATCHES[kind] = Batch(handler, limit)
        return handler

    return register


def _check_new(kind: str) -> None:
    if kind in HANDLERS or kind in BATCHES:
        raise ValueError(f"two handlers for {kind}")
