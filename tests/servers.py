"""Real PostgreSQL and Valkey for the tests: one pair for a whole run, in memory where it has room, without fsync."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.valkey import EmbeddedValkey
from cli.home import make_home

_IN_MEMORY: Final = Path("/dev/shm")  # a database is cloned for most tests: 40 times faster than on a disk
_ROOM_BYTES: Final = 4 << 30


def _folder() -> Path | None:
    roomy = _IN_MEMORY.is_dir() and shutil.disk_usage(_IN_MEMORY).free > _ROOM_BYTES
    return _IN_MEMORY if roomy and os.access(_IN_MEMORY, os.W_OK | os.X_OK) else None


@contextmanager
def test_servers() -> Iterator[tuple[str, str]]:
    """Yield (database_url, redis_url): those of KAPOK_TEST_DATABASE_URL and KAPOK_TEST_REDIS_URL, else our own."""
    given = os.environ.get("KAPOK_TEST_DATABASE_URL"), os.environ.get("KAPOK_TEST_REDIS_URL")
    if given[0] and given[1]:
        yield given[0], given[1]
        return
    with tempfile.TemporaryDirectory(prefix="kapok-tests-", dir=_folder()) as folder:
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
