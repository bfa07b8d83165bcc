"""Bringing the database to the newest migration. The runner's lock stands in migrations/env.py."""

from importlib.util import find_spec

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from cli.console import problems_explained
from cli.errors import CannotRunError
from marketplace.core.db import plain_url
from marketplace.core.settings import get_settings


def migrate() -> None:
    """Bring the database of DATABASE_URL to the newest migration."""
    with problems_explained():
        if not get_settings().database_url:
            raise CannotRunError("DATABASE_URL is not set.", "`kapok up` migrates its own database by itself.")
        command.upgrade(_config(), "head")


def newest_revision() -> str:
    """The revision that this version of Kapok needs."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


async def stamped_revision(database_url: str) -> str | None:
    """The revision of the database; None for one that has never been migrated."""
    connection = await asyncpg.connect(plain_url(database_url), timeout=10)
    try:
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            return None
        revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
        return revision
    finally:
        await connection.close()


def _config() -> Config:
    package = find_spec("migrations")
    if package is None or not package.submodule_search_locations:
        raise CannotRunError("The migrations are not installed.", "Run `make setup`.")
    config = Config()
    config.set_main_option("script_location", next(iter(package.submodule_search_locations)))
    config.set_main_option("path_separator", "os")
    return config


if __name__ == "__main__":  # `kapok up` migrates so, without loading every other command
    migrate()
