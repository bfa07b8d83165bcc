"""Fixtures on a real PostgreSQL and a real Valkey: one server pair a run, one migrated template, a clone where needed.

`session` works on the process's own clone inside one outer transaction that is rolled back (10 ms a test).
`database` is a fresh clone with real commits, for races and for the app; `client` is the whole API on that clone.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlmodel.ext.asyncio.session import AsyncSession

from api.app import create_app
from api.session import Resources
from marketplace.core.db import Database, make_engine, open_database, plain_url
from marketplace.core.settings import Settings
from marketplace.core.storage import open_store
from tests.servers import test_servers
from workers.handlers import WorkerResources
from workers.main import load_handlers

ROOT = Path(__file__).parents[1]


def _with_database(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(plain_url(url))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[str, str]]:
    """The addresses of PostgreSQL and Valkey; each xdist worker has a logical Valkey database of its own."""
    with test_servers() as (database_url, redis_url):
        worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
        yield database_url, f"{redis_url.rpartition('/')[0]}/{worker}"


@pytest.fixture(scope="session")
def template(servers: tuple[str, str]) -> Iterator[str]:
    """The name of a migrated template database, made once a process."""
    name = f"template_{uuid4().hex}"
    asyncio.run(_execute(servers[0], f"CREATE DATABASE {name}"))
    subprocess.run(
        [sys.executable, "-c", "from cli.migrate import migrate; migrate()"],
        cwd=ROOT,
        check=True,
        env={**os.environ, "DATABASE_URL": _with_database(servers[0], name)},
    )
    yield name
    asyncio.run(_execute(servers[0], f"DROP DATABASE {name} WITH (FORCE)"))


def _settings(servers: tuple[str, str], name: str, home: Path) -> Settings:
    return Settings(
        _env_file=None,
        env="test",
        database_url=_with_database(servers[0], name),
        redis_url=servers[1],
        secret_key="a secret of the tests, long enough for HMAC",
        sandbox_webhook_secret="another secret of the tests",
        proof_signing_key="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        kapok_home=home,
        log_level="WARNING",
        db_pool_size=5,
        platform_fee_bps=1000,
    )


@pytest.fixture(scope="session")
async def _own_database(servers: tuple[str, str], template: str) -> AsyncIterator[str]:
    name = f"own_{uuid4().hex}"
    await _execute(servers[0], f"CREATE DATABASE {name} TEMPLATE {template}")
    yield name
    await _execute(servers[0], f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def session(servers: tuple[str, str], _own_database: str, tmp_path: Path) -> AsyncIterator[AsyncSession]:
    """A session whose work is rolled back at the end, also what the code under test commits."""
    engine = make_engine(_settings(servers, _own_database, tmp_path))
    async with engine.connect() as connection:
        transaction = await connection.begin()
        options = {"join_transaction_mode": "create_savepoint", "expire_on_commit": False}
        async with AsyncSession(bind=connection, **options) as session:
            yield session
        await transaction.rollback()
    await engine.dispose()


@pytest.fixture
async def settings(servers: tuple[str, str], template: str, tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings on a fresh clone of the template, which is dropped at the end."""
    name = f"clone_{uuid4().hex}"
    await _execute(servers[0], f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _settings(servers, name, tmp_path)
    await _execute(servers[0], f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """A database of the test's own, with real commits."""
    async with open_database(settings) as opened:
        yield opened


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The whole API, started, on the same clone as `database`; its Valkey database is emptied first."""
    application = create_app(settings)
    async with application.router.lifespan_context(application):
        resources: Resources = application.state.resources
        await resources.redis.flushdb()
        yield application


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the API, without a network between."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://kapok.test") as opened:
        yield opened


@pytest.fixture
def worker_resources(settings: Settings, database: Database) -> WorkerResources:
    """What jobs share, for tests that run the outbox by `tests.jobs.run_outbox`."""
    load_handlers()
    return WorkerResources(settings, database, open_store(settings))


@pytest.fixture
def taxed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator withholds tax per payment, by the table that Kapok ships."""
    table = ROOT / "marketplace/payments/tax_tables/cn_per_payment_61_2018.json"
    monkeypatch.setenv("TAX_MODE", "per_payment")
    monkeypatch.setenv("TAX_TABLE_FILE", str(table))
