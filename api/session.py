"""One request is one transaction, and this is the only place in the API that commits it.

`scope="function"` makes the commit happen before the answer is sent: a commit that fails is an error the caller sees.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, cast

import asyncpg
from fastapi import Depends, Request
from obstore.store import ObjectStore
from redis.asyncio import Redis
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.db import Database
from marketplace.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Resources:
    """What the app opened at start and every request shares."""

    settings: Settings
    database: Database
    redis: Redis
    store: ObjectStore


def resources(request: Request) -> Resources:
    """Return the app's resources."""
    return cast(Resources, request.app.state.resources)


async def _shared(request: Request) -> Resources:
    """Return the app's resources as a dependency; a plain function would be sent to a thread, for each request."""
    return resources(request)


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    async with resources(request).database.sessions() as session:
        try:
            yield session
        except BaseException:
            await session.rollback()
            raise
        await session.commit()


async def _hot_connection(request: Request) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Lend an asyncpg connection whose single statements commit by themselves; several need `transaction()`."""
    async with resources(request).database.hot.acquire() as connection:
        yield cast(Any, connection)


Session = Annotated[AsyncSession, Depends(_session, scope="function")]
HotConnection = Annotated[Any, Depends(_hot_connection, scope="function")]
Shared = Annotated[Resources, Depends(_shared)]
