"""`kapok up`: the whole marketplace on this machine, kept running until Ctrl-C."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import asyncpg
import httpx
import typer
from pydantic import ValidationError
from rich.panel import Panel
from rich.table import Table

from cli import demo_market
from cli.console import Voice, problems_explained
from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.process import Command, end, marked, server_account, start_options
from cli.embedded.server import EmbeddedServer, free_port, port_is_free
from cli.embedded.valkey import EmbeddedValkey
from cli.errors import CannotRunError
from cli.home import Secrets, link_home, locked, make_home, resolve_home
from cli.migrate import newest_revision, stamped_revision
from cli.running import Running
from cli.supervisor import ChildSpec, Supervisor
from marketplace.core.settings import Settings, get_settings

MARK = "KAPOK_SUPERVISED_BY"  # in the environment of every Python child, so that the next start knows its orphans
PORTS_TRIED = 50
ANY_ADDRESS = {"0.0.0.0", "::", ""}  # noqa: S104 (compared with, not bound to)

# Together below 5 s, the time in which Ctrl-C ends everything. uvicorn looks for signals twice a second, then gives
# open requests one; PostgreSQL writes a checkpoint.
WORK_STOP_SECONDS, VALKEY_STOP_SECONDS, POSTGRES_STOP_SECONDS = 1.9, 0.4, 1.7


def up(
    port: Annotated[int | None, typer.Option(help="Port of the API; 0 takes any free one.")] = None,
    home: Annotated[Path | None, typer.Option(help="Data folder (KAPOK_HOME).")] = None,
    no_demo: Annotated[bool, typer.Option("--no-demo", help="Do not make the demo market.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but what goes wrong.")] = False,
) -> None:
    """Start the whole marketplace on this machine; Ctrl-C stops it."""
    voice = Voice(quiet=quiet)
    os.umask(0o077)  # data and logs are the business of nobody else on this machine
    with problems_explained():
        settings = _settings()
        place = _make_home(home or settings.kapok_home, voice)
        with locked(place):
            end(marked(MARK, str(place)), seconds=2.0)
            (place / "run.json").unlink(missing_ok=True)
            kapok = Kapok(settings, place, _api_port(settings, port, voice), voice)
            with Supervisor(voice.child, place / "logs") as supervisor:
                try:
                    kapok.start(supervisor)
                    kapok.announce(demo=not no_demo)
                    supervisor.wait()
                except KeyboardInterrupt:
                    voice.out.print("Stopping …")
                finally:
                    (place / "run.json").unlink(missing_ok=True)


@dataclass
class Kapok:
    """One start of the marketplace: which servers it uses, what its children are told, and how it is announced."""

    settings: Settings
    home: Path
    port: int
    voice: Voice

    def start(self, supervisor: Supervisor) -> None:
        """Bring everything up in order: servers, migrations, workers and API."""
        with self.voice.step("Servers"):
            postgres, valkey = EmbeddedPostgres(self.home), EmbeddedValkey(self.home)
            database_url = _use(self.settings.database_url, postgres, POSTGRES_STOP_SECONDS, supervisor)
            redis_url = _use(self.settings.redis_url, valkey, VALKEY_STOP_SECONDS, supervisor)
            for stage in supervisor.stages:
                stage[0].wait_ready()
        self._tell_children(database_url(), redis_url())
        self._migrate()
        with self.voice.step("Workers and API"):
            workers = [self._worker(number) for number in range(1, self.settings.worker_processes + 1)]
            api, *_ = supervisor.start(self._api(), *workers)
            api.wait_ready()
        Running(self._address(), database_url(), redis_url(), os.getpid()).write(self.home)

    def announce(self, *, demo: bool) -> None:
        """Print where everything is, and who there is to sign in as."""
        accounts = []
        if demo:
            with self.voice.step("Demo market"):
                accounts = asyncio.run(demo_market.load(self.settings))
        facts = Table.grid(padding=(0, 2))
        facts.add_row("Address", f"[bold]{self.settings.base_url}[/]")
        facts.add_row("API docs", f"{self.settings.base_url}/docs")
        for number, account in enumerate(accounts):
            label = "" if number else "Demo accounts"
            facts.add_row(label, f"{account.who}: [bold]{account.sign_in}[/]  password [bold]{account.password}[/]")
        facts.add_row("Data", str(self.home))
        facts.add_row("Stop", "Ctrl-C")
        self.voice.out.print(Panel(facts, title="Kapok 木棉 is up", border_style="green", expand=False))

    def _tell_children(self, database_url: str, redis_url: str) -> None:
        """Put what this start knows into the environment, from where this process and its children take settings."""
        secrets = Secrets.of(self.home)
        known = {
            "SECRET_KEY": self.settings.secret_key.get_secret_value() or secrets.secret_key,
            "JWT_KEYS": self.settings.jwt_keys.get_secret_value() or secrets.jwt_keys,
            "PROOF_SIGNING_KEY": self.settings.proof_signing_key.get_secret_value() or secrets.proof_signing_key,
            "SANDBOX_WEBHOOK_SECRET": self.settings.sandbox_webhook_secret.get_secret_value()
            or secrets.sandbox_webhook_secret,
            "PUBLIC_URL": self.settings.public_url or self._address(),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "KAPOK_HOME": str(self.home),
            "PORT": str(self.port),
        }
        os.environ.update(known)
        get_settings.cache_clear()
        self.settings = get_settings()

    def _migrate(self) -> None:
        try:
            stamped = asyncio.run(stamped_revision(self.settings.database_url))
        except (OSError, asyncpg.PostgresError, TimeoutError) as error:
            raise CannotRunError(
                f"PostgreSQL does not answer: {error}", "Check DATABASE_URL and the server."
            ) from error
        if stamped != newest_revision():
            with self.voice.step("Migrations"):
                self._run_migrations()

    def _run_migrations(self) -> None:
        """Migrate in a process of its own, whose memory is given back afterwards."""
        command = self._python("cli.migrate")
        done = subprocess.run(
            command.argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            **start_options(command),
        )  # fmt: skip
        if done.returncode:
            raise CannotRunError(f"The migrations failed.\n{done.stdout[-3000:]}", "Nothing was changed; see above.")

    def _worker(self, number: int) -> ChildSpec:
        return ChildSpec(f"worker-{number}", lambda: self._python("workers.main"), stop_seconds=WORK_STOP_SECONDS)

    def _api(self) -> ChildSpec:
        arguments = ["uvicorn", "api.app:create_app", "--factory", "--host", self.settings.host]
        arguments += ["--port", str(self.port), "--workers", str(self.settings.api_workers)]
        arguments += ["--loop", "uvloop", "--http", "httptools", "--timeout-graceful-shutdown", "1"]
        arguments += ["--no-access-log", "--log-level", "warning"]
        return ChildSpec("api", lambda: self._python(*arguments), self._api_is_ready, stop_seconds=WORK_STOP_SECONDS)

    def _python(self, module: str, *arguments: str) -> Command:
        env = os.environ | {MARK: str(self.home), "PYTHONUNBUFFERED": "1"}
        return Command([sys.executable, "-m", module, *arguments], Path.cwd(), env)

    def _api_is_ready(self, _pid: int) -> bool:
        try:
            return httpx.get(f"{self._address()}/healthz/ready", timeout=5, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def _address(self) -> str:
        host = "127.0.0.1" if self.settings.host in ANY_ADDRESS else self.settings.host
        return f"http://{host}:{self.port}"


def _use(given: str, own: EmbeddedServer, stop_seconds: float, supervisor: Supervisor) -> Callable[[], str]:
    """Use the server that the settings name, or start our own; its URL is known once it is up."""
    if given:
        return lambda: given
    supervisor.start(ChildSpec(own.name, own.prepare, own.ready, stop_seconds=stop_seconds, show_output=False))
    return lambda: own.url


def _settings() -> Settings:
    try:
        return get_settings()
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, one['loc']))} {one['msg']}".strip() for one in error.errors())
        raise CannotRunError(
            f"The settings are wrong: {reasons}", "Correct the environment or the file .env."
        ) from error


def _make_home(wanted: Path, voice: Voice) -> Path:
    home = resolve_home(wanted)
    make_home(home)
    if home != wanted.absolute().resolve():
        account = server_account()
        voice.note(
            f"The data live in {home}: the servers never run as root but as {account.name if account else 'you'}, "
            f"who may not enter {wanted.absolute().parent}. Another place: KAPOK_HOME or --home."
        )
        link_home(wanted, home)
    if shutil.disk_usage(home).free < 512 * 1024 * 1024:
        voice.note(f"Less than 512 MB are free where the data live ({home}).")
    return home


def _api_port(settings: Settings, wanted: int | None, voice: Voice) -> int:
    first = settings.port if wanted is None else wanted
    if first == 0:
        return free_port()
    for port in range(first, min(first + PORTS_TRIED, 65536)):
        if port_is_free(port, settings.host):
            if port != first:
                voice.note(f"Port {first} is taken; using {port}.")
            return port
    raise CannotRunError(f"The ports from {first} on are all taken.", "Name a free one: kapok up --port N")
