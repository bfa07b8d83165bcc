# ruff: noqa: INP001  (a script, no package)
"""For try-offline.sh: `servers FOLDER` runs PostgreSQL and Valkey, `operator` makes the operator for the page."""

import asyncio
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.valkey import EmbeddedValkey
from cli.home import make_home
from cli.scenario.staff import ensure_operator
from marketplace.core.db import open_database
from marketplace.core.settings import get_settings


def servers(home: Path) -> None:
    """Print the addresses of both on one line, and run them until a signal comes."""
    make_home(home)
    postgres, valkey = EmbeddedPostgres(home), EmbeddedValkey(home)
    wanted = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    try:
        sys.stdout.write(f"{postgres.start()} {valkey.start()}\n")
        sys.stdout.flush()
        signal.sigwait(wanted)
    finally:
        valkey.stop()
        postgres.stop()


async def operator() -> None:
    """Make the operator of the walk-through in the database of the settings."""
    async with open_database(get_settings()) as database:
        await ensure_operator(database)


if __name__ == "__main__":
    if sys.argv[1] == "servers":
        servers(Path(sys.argv[2]))
    else:
        asyncio.run(operator())
