"""The database: one engine and one asyncpg pool a process, sessions that never commit by themselves.

Most code uses a session. The hot path (claim, heartbeat, submit) uses `Database.hot`, an asyncpg pool: the ORM costs
2.8 times as much there. Both connect as the application role, which may not change what is append-only.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import msgspec
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.settings import Settings

# connection lost, serialization and deadlock, no room, server stopping or starting (PostgreSQL, appendix A)
PASSING_SQLSTATES: Final = ("08", "40", "53", "57P")
_STATEMENTS_KEPT: Final = 500  # prepared on each connection; the dialect's own 100 are fewer than a worker has


def plain_url(url: str) -> str:
    """Return the URL as asyncpg reads it, without SQLAlchemy's driver suffix."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme="postgresql"))


def sqlalchemy_url(url: str) -> str:
    """Return the URL as SQLAlchemy's asyncpg dialect reads it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme="postgresql+asyncpg"))


def _connect_args(settings: Settings) -> dict[str, Any]:
    """Options of each connection: the application role, and no named statements behind a transaction pooler.

    A transaction pooler takes no role at connecting, so there the URL's own user must be a member with its rights.
    """
    if settings.db_pooler == "transaction":
        return {"statement_cache_size": 0}
    if not settings.database_role:
        return {}
    return {"server_settings": {"role": settings.database_role, "application_name": "kapok"}}


def make_engine(settings: Settings, *, ping: bool = True) -> AsyncEngine:
    """Make the process's engine; it connects when first used.

    `ping` asks a connection from the pool whether it lives before it is used: three round trips. Only a program that
    starts its own server may do without.
    """
    options = _connect_args(settings)
    if settings.db_pooler == "transaction":
        options["prepared_statement_name_func"] = lambda: f"kapok_{uuid4().hex}"
    else:
        options["prepared_statement_cache_size"] = _STATEMENTS_KEPT
    return create_async_engine(
        sqlalchemy_url(settings.database_url),
        echo=settings.db_echo,
        hide_parameters=not settings.db_echo,  # people's data stay out of errors and so out of logs
        pool_size=settings.db_pool_size,
        max_overflow=settings.db_max_overflow,
        pool_pre_ping=ping,
        pool_use_lifo=True,  # the connection that was used last knows most statements
        connect_args=options,
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )


class HotConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """A connection of the hot pool; nobody there changes its session, so nothing is reset when it is given back.

    The usual reset is a round trip as long as the statement of a hot call.
    """

    def get_reset_query(self) -> str:
        """Return no statement; a transaction left open is still rolled back."""
        return ""


async def _teach_json(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="text", decoder=msgspec.json.decode,
        encoder=lambda value: msgspec.json.encode(value).decode(),
    )  # fmt: skip


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


def is_passing(error: BaseException) -> bool:
    """Whether a database error may go away by itself: no connection, a deadlock, no room, a server that stops."""
    state = str(getattr(getattr(error, "orig", error), "sqlstate", "") or "")
    if state.startswith(PASSING_SQLSTATES) or isinstance(error, PoolTimeout):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return any(_broke(cause) for cause in causes(error))


def _broke(cause: BaseException) -> bool:
    """Whether asyncpg says that its connection broke; it has no state for one that it closed itself, only words.

    A connection whose server said good-bye while it lay in the pool fails as one that is busy with that message.
    """
    if isinstance(cause, asyncpg.InternalClientError):
        return "another operation" in str(cause)
    return isinstance(cause, asyncpg.InterfaceError) and "connection" in str(cause)


@dataclass(frozen=True, slots=True)
class Database:
    """The process's ways to PostgreSQL: `sessions` for everything, `hot` for the three hot statements."""

    engine: AsyncEngine
    sessions: async_sessionmaker[AsyncSession]
    hot: "asyncpg.Pool[asyncpg.Record]"


@asynccontextmanager
async def open_database(
    settings: Settings, *, hot_size: int | None = None, ping: bool = True
) -> AsyncIterator[Database]:
    """Open engine and pool, and close both at the end."""
    engine = make_engine(settings, ping=ping)
    sessions = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)
    size = settings.db_pool_size if hot_size is None else hot_size
    pool = asyncpg.create_pool(
        plain_url(settings.database_url),
        min_size=0,
        max_size=max(size, 1),
        init=_teach_json,
        connection_class=HotConnection,
        **_connect_args(settings),
    )
    try:
        async with pool:
            yield Database(engine, sessions, pool)
    finally:
        await engine.dispose()
