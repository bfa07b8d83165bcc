"""Migrations: one line of history, up and down again, ending in just what the models say."""

import asyncio
import os
import subprocess
import sys
from uuid import uuid4

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from marketplace.core.db import plain_url, sqlalchemy_url
from marketplace.registry import metadata
from tests.conftest import ROOT

SCRIPTS = ScriptDirectory(str(ROOT / "migrations"))


@pytest.fixture
async def empty(servers):
    name = f"empty_{uuid4().hex}"
    connection = await asyncpg.connect(plain_url(servers[0]))
    await connection.execute(f"CREATE DATABASE {name}")
    yield f"{servers[0].rpartition('/')[0]}/{name}"
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


async def _alembic(url, command):
    script = f"from alembic import command; from cli.migrate import _config; command.{command}"
    environment = {**os.environ, "DATABASE_URL": url}
    arguments = [sys.executable, "-c", script]
    await asyncio.to_thread(subprocess.run, arguments, cwd=ROOT, check=True, env=environment, capture_output=True)


def test_history_is_one_line():
    assert len(SCRIPTS.get_heads()) == 1
    assert len(SCRIPTS.get_bases()) == 1


async def test_head_is_what_the_models_say(empty):
    await _alembic(empty, "upgrade(_config(), 'head')")
    engine = create_async_engine(sqlalchemy_url(empty))
    async with engine.connect() as connection:
        found = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts={"compare_type": True}), metadata)
        )
    await engine.dispose()
    assert found == []


async def test_every_step_goes_up_and_down_and_up_again(empty):
    steps = [script.revision for script in reversed(list(SCRIPTS.walk_revisions()))]
    assert len(steps) >= 9
    stairs = "; ".join(
        f"command.upgrade(c, {step!r}); command.downgrade(c, '-1'); command.upgrade(c, {step!r})" for step in steps
    )
    await _alembic(empty, f"upgrade; c = _config(); {stairs}; command.downgrade(c, 'base')")
