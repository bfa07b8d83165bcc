"""Real PostgreSQL and Valkey for the tests: one pair for a whole run, in memory where it has room, without fsync."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.embedded.memory import roomy_memory
from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.valkey import EmbeddedValkey
from cli.home import make_home


@contextmanager
def test_servers() -> Iterator[tuple[str, str]]:
    """Yield (database_url, redis_url): those of KAPOK_TEST_DATABASE_URL and KAPOK_TEST_REDIS_URL, else our own."""
    given = os.environ.get("KAPOK_TEST_DATABASE_URL"), os.environ.get("KAPOK_TEST_REDIS_URL")
    if given[0] and given[1]:
        yield given[0], given[1]
        return
    with tempfile.TemporaryDirectory(prefix="kapok-tests-", dir=roomy_memory()) as folder:
        home = Path(folder)
        make_home(home)
        postgres = EmbeddedPostgres(home, durable=False, max_connections=300)
        valkey = EmbeddedValkey(home, durable=False)
        try:
            yield postgres.start(), valkey.start()
        finally:
            valkey.stop()
            postgres.stop()


test_servers.__test__ = False  # type: ignore[attr-defined]  # pytest takes the name for a test
