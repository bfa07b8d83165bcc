"""Runs migrations against DATABASE_URL, one runner at a time (an advisory lock that ends with the transaction)."""

import asyncio

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from marketplace.core.db import sqlalchemy_url
from marketplace.core.settings import get_settings
from marketplace.registry import metadata

MIGRATION_LOCK = 0x6B61706F6B  # "kapok"


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_type=True, compare_server_default=False)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        context.run_migrations()


async def _connect() -> None:
    url = context.config.get_main_option("sqlalchemy.url") or get_settings().database_url
    engine = create_async_engine(sqlalchemy_url(url), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


if context.is_offline_mode():
    raise SystemExit("Kapok migrates a live database only; give DATABASE_URL.")
asyncio.run(_connect())
