"""Valkey in the data folder: append-only file, no eviction, because job queues live in it."""

import signal
from pathlib import Path

import redis

from cli.embedded.binaries import usable_valkey
from cli.embedded.process import Command, end, living_in
from cli.embedded.server import EmbeddedServer
from cli.home import Secrets

CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
appendonly {durable}
appendfsync everysec
save ""
maxmemory-policy noeviction
loglevel warning
"""


class EmbeddedValkey(EmbeddedServer):
    """One Valkey server; `start()` returns `redis://:…@127.0.0.1:port/0`."""

    name = "valkey"
    stop_signal = signal.SIGTERM

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        super().__init__(home, Secrets.of(home).valkey_password, durable=durable)

    @property
    def url(self) -> str:
        """The address with the password."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def prepare(self) -> Command:
        """Stop an orphan and write the settings; the password stands in a private file, not in the process list."""
        self.make_folder()
        program = usable_valkey(self.home, self.account)
        end(living_in(self.folder, [program.name]), signal.SIGTERM, seconds=3.0)
        self.choose_port()
        text = CONFIGURATION.format(
            port=self.port, password=self.password, folder=self.folder, durable="yes" if self.durable else "no"
        )
        settings = self.write_private("valkey.conf", text)
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
        return Command([str(program), str(settings)], self.folder, env, self.account, self.stop_signal)

    def ready(self, pid: int) -> bool:  # noqa: ARG002 (the port and the password identify the server)
        """Whether the server answers a PING; while it loads its file it answers with an error."""
        client = redis.Redis.from_url(self.url, socket_timeout=1.0, socket_connect_timeout=1.0)
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError):
            return False
        finally:
            client.close()
