"""PostgreSQL in the data folder: made by initdb once, then started, stopped and recovered."""

import locale
import shutil
import signal
import subprocess
from pathlib import Path

import psutil

from cli.embedded.binaries import usable_postgres
from cli.embedded.process import Command, end, living_in, start_options
from cli.embedded.server import EmbeddedServer
from cli.errors import CannotRunError
from cli.home import Secrets

DATABASE = "kapok"  # the name of the database and of its owner
READY_LINE = 7  # the line of postmaster.pid that says "ready", counted from 0 (utils/pidfile.h)
MEBIBYTE = 1024 * 1024


class EmbeddedPostgres(EmbeddedServer):
    """One PostgreSQL server; `start()` returns `postgresql://kapok:…@127.0.0.1:port/kapok`."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends the sessions, writes a checkpoint, leaves no recovery for the next start

    def __init__(self, home: Path, *, durable: bool = True, max_connections: int = 200) -> None:
        super().__init__(home, Secrets.of(home).postgres_password, durable=durable)
        self.max_connections = max_connections
        self.data = self.folder / "data"

    @property
    def url(self) -> str:
        """The address with user and password."""
        return f"postgresql://{DATABASE}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    def prepare(self) -> Command:
        """Stop orphans, drop their stale lock, run initdb on the first start, refuse the data of another version."""
        self.make_folder()
        programs = usable_postgres(self.home, self.account)
        self._clear_stale()
        if not (self.data / "PG_VERSION").exists():
            self._initialise(programs)
        self._refuse_other_version(programs)
        self.choose_port()
        options = [f"--{name}={value}" for name, value in self._options().items()]
        return self._command([str(programs / "postgres"), "-D", str(self.data), *options])

    def ready(self, pid: int) -> bool:
        """Whether `pid` is the server of this folder and accepts connections, by the status line pg_ctl reads."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > READY_LINE and lines[0] == str(pid) and lines[READY_LINE].strip() == "ready"

    def _command(self, argv: list[str]) -> Command:
        cwd = self.data if self.data.exists() else self.folder
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": utf8_locale(), "TZ": "UTC"}
        return Command(argv, cwd, env, self.account, self.stop_signal)

    def _clear_stale(self) -> None:
        """End servers that outlived their supervisor; the lock file may go only when nobody works in the data."""
        end(living_in(self.data, ["postgres"]), signal.SIGINT, seconds=5.0)
        if living_in(self.data, ["postgres"]):
            raise CannotRunError(f"An old PostgreSQL still works in {self.data} and cannot be stopped.", "Restart it.")
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _initialise(self, programs: Path) -> None:
        """Make the data in a folder beside, then rename: a start cut short leaves nothing half made."""
        fresh = self.folder / "data.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        password = self.write_private("password", self.password)
        collation = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", f"--locale={utf8_locale()}"]
        access = ["-A", "scram-sha-256", f"--pwfile={password}", f"--username={DATABASE}"]
        sync = [] if self.durable else ["--no-sync"]
        self._run([str(programs / "initdb"), "-D", str(fresh), "-E", "UTF8", *access, *collation, *sync])
        password.unlink()
        single = [str(programs / "postgres"), "--single", "-D", str(fresh), "postgres"]
        self._run(single, f"CREATE DATABASE {DATABASE}\n")
        fresh.rename(self.data)

    def _run(self, argv: list[str], text: str = "") -> None:
        options = start_options(self._command(argv))
        del options["stdin"]  # `input` makes a pipe of it
        done = subprocess.run(argv, input=text.encode(), capture_output=True, check=False, **options)
        if done.returncode:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise CannotRunError(f"{Path(argv[0]).name} failed: {said}", "`kapok doctor` checks disk and permissions.")

    def _refuse_other_version(self, programs: Path) -> None:
        made_by = (self.data / "PG_VERSION").read_text().strip()
        ours = major_version(programs)
        if made_by != ours:
            raise CannotRunError(
                f"The data in {self.data} were made by PostgreSQL {made_by}; this is PostgreSQL {ours}.",
                f"Dump them with PostgreSQL {made_by} (pg_dumpall), move the folder away, start, and load the dump.",
            )

    def _options(self) -> dict[str, str | int]:
        """Server settings for a small machine: an eighth of the memory, no JIT, every commit on disk."""
        shared = min(max(psutil.virtual_memory().total // 8 // MEBIBYTE, 64), 512)
        switch = "on" if self.durable else "off"
        return {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
            "max_connections": self.max_connections,
            "shared_buffers": f"{shared}MB",
            "work_mem": "8MB",
            "maintenance_work_mem": "64MB",
            "effective_cache_size": f"{shared * 3}MB",
            "max_wal_size": "2GB",
            "checkpoint_completion_target": "0.9",
            "random_page_cost": "1.1",
            "jit": "off",
            "fsync": switch,
            "synchronous_commit": switch,
            "full_page_writes": switch,
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
        }


def major_version(programs: Path) -> str:
    """The major version of the PostgreSQL in this folder, as its data folders name it."""
    answer = subprocess.run([programs / "postgres", "--version"], capture_output=True, check=True, text=True)
    return answer.stdout.split("(PostgreSQL) ")[1].split(".")[0]


def utf8_locale() -> str:
    """A UTF-8 locale of this machine: with LC_CTYPE=C pg_trgm finds no trigram in Chinese text."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        for name in ("C.UTF-8", "en_US.UTF-8", "UTF-8"):
            try:
                locale.setlocale(locale.LC_CTYPE, name)
            except locale.Error:
                continue
            return name
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    raise CannotRunError("This machine has no UTF-8 locale.", "Install one (Debian: apt-get install locales).")
