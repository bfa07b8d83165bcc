"""`kapok doctor`: one small check a cause of trouble; each says what it saw, or what is wrong and how to mend it."""

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import asyncpg
import httpx
import redis
import typer
from rich.console import Console
from rich.text import Text

from cli.console import problems_explained
from cli.embedded.binaries import find_postgres, find_valkey
from cli.embedded.postgres import major_version
from cli.embedded.process import server_account
from cli.embedded.server import port_is_free
from cli.errors import CannotRunError
from cli.home import resolve_home
from cli.migrate import newest_revision, stamped_revision
from cli.running import Running, running_in
from marketplace.core.clock import now
from marketplace.core.db import plain_url
from marketplace.core.settings import Settings, get_settings
from marketplace.settlement.law import law_facts

T = TypeVar("T")

OLDEST_PYTHON = (3, 11)
OLDEST_POSTGRES = 15  # NULLS NOT DISTINCT
OLDEST_REDIS = (6, 2)  # what the queue and the rate limits use
FREE_BYTES = 1024**3
CLOCK_SECONDS = 5.0  # tokens and leases tolerate less difference than that between two machines' clocks
WAITING_SECONDS = 60.0  # the relay takes a job within a second; one that waited so long has no relay
LATE_JOBS = "SELECT count(*) FROM outbox WHERE sent_at IS NULL AND due_at < now() - make_interval(secs => $1)"
FAILING_PROVIDERS = "SELECT string_agg(provider, ', ' ORDER BY provider) FROM provider_circuit WHERE state <> 'closed'"
MARKS = {"ok": ("✓", "green"), "skipped": ("–", "dim"), "missing": ("!", "yellow"), "problem": ("✗", "bold red")}


class MissingError(Exception):
    """Nothing is broken, but a choice that only the operator can make is not made; `mend` says where."""

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(reason)
        self.mend = mend


class SkippedError(Exception):
    """The check has nothing to look at; the message says what is missing."""


@dataclass(frozen=True)
class Patient:
    """What is examined: the settings, the data folder, and the Kapok that runs on it."""

    settings: Settings
    home: Path
    running: Running | None

    @property
    def database_url(self) -> str:
        """Where PostgreSQL is; raises SkippedError when ours is not up."""
        return self._url(self.settings.database_url, self.running.database_url if self.running else "")

    @property
    def redis_url(self) -> str:
        """Where Redis is; raises SkippedError when ours is not up."""
        return self._url(self.settings.redis_url, self.running.redis_url if self.running else "")

    @staticmethod
    def _url(given: str, own: str) -> str:
        if not (own or given):
            raise SkippedError("Kapok is not up; start it with `kapok up` to look further")
        return own or given


@dataclass(frozen=True)
class Finding:
    """What one check found; `mend` says what to do about a problem."""

    check: str
    state: Literal["ok", "skipped", "missing", "problem"]
    detail: str
    mend: str = ""


def check_python(_: Patient) -> str:
    """Python is new enough."""
    if sys.version_info < OLDEST_PYTHON:
        raise CannotRunError(f"Python {sys.version.split()[0]} is too old.", "Install Python 3.11 or newer.")
    return sys.version.split()[0]


def check_programs(patient: Patient) -> str:
    """The servers that `kapok up` would start are installed and fit the data."""
    if patient.settings.database_url and patient.settings.redis_url:
        raise SkippedError("DATABASE_URL and REDIS_URL name other servers")
    programs, valkey = find_postgres(), find_valkey()
    version, made_by = major_version(programs), patient.home / "postgres" / "data" / "PG_VERSION"
    if made_by.exists() and made_by.read_text().strip() != version:
        raise CannotRunError(
            f"The data were made by PostgreSQL {made_by.read_text().strip()}, installed is {version}.",
            "Dump them with that version (pg_dumpall), move the data folder away, start, load the dump.",
        )
    return f"PostgreSQL {version}, {valkey.name}"


def check_account(_: Patient) -> str:
    """As root, there is an account to hand the servers to."""
    account = server_account()
    return f"the servers run as {account.name}" if account else "not root"


def check_folder(patient: Patient) -> str:
    """The data folder is writable, and its secrets are private."""
    if not patient.home.exists():
        raise SkippedError(f"{patient.home} is made by the first `kapok up`")
    probe = patient.home / "doctor.probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CannotRunError(
            f"Cannot write to {patient.home}: {error.strerror}.",
            f"Run as {patient.home.owner()}, or choose KAPOK_HOME.",
        ) from error
    secrets = patient.home / "secrets.json"
    if secrets.exists() and secrets.stat().st_mode & 0o077:
        raise CannotRunError(f"Others may read {secrets}.", f"chmod 600 {secrets}")
    return str(patient.home)


def check_disk(patient: Patient) -> str:
    """There is room for the data."""
    place = next(folder for folder in (patient.home, *patient.home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < FREE_BYTES:
        raise CannotRunError(f"Only {free // 1024**2} MB are free at {place}.", "Free some, or move KAPOK_HOME.")
    return f"{free / 1024**3:.0f} GB free"


def check_port(patient: Patient) -> str:
    """The API's port is free, or ours."""
    if patient.running:
        return f"in use by Kapok (process {patient.running.pid})"
    port = patient.settings.port
    if not port_is_free(port, patient.settings.host):
        raise CannotRunError(f"Another program listens on port {port}.", "Stop it, or kapok up --port N (or PORT).")
    return f"{port} is free"


def check_clock(patient: Patient) -> str:
    """The clock has not gone back, and agrees with the database's."""
    written = [path.stat().st_mtime for path in patient.home.glob("logs/*.log")]
    ahead = max(written, default=0.0) - time.time()
    if ahead > CLOCK_SECONDS:
        raise CannotRunError(f"The clock stands {ahead:.0f} s before the newest log.", "Set it: timedatectl set-ntp on")
    began = time.time()
    theirs = float(_query(patient, "SELECT extract(epoch FROM clock_timestamp())"))
    apart = abs(theirs - (began + time.time()) / 2)
    if apart > CLOCK_SECONDS:
        raise CannotRunError(f"The database's clock is {apart:.0f} s away from ours.", "Let both follow NTP.")
    return f"{apart:.1f} s from the database's"


def check_postgres(patient: Patient) -> str:
    """PostgreSQL answers, is new enough, and stores text as UTF-8."""
    version = str(_query(patient, "SHOW server_version"))
    encoding = _query(patient, "SHOW server_encoding")
    if int(version.split(".", maxsplit=1)[0]) < OLDEST_POSTGRES:
        raise CannotRunError(f"PostgreSQL {version} is too old.", f"Use {OLDEST_POSTGRES} or newer.")
    if encoding != "UTF8":
        raise CannotRunError(f"The database stores text as {encoding}.", "Make it with ENCODING 'UTF8'.")
    return version


def check_redis(patient: Patient) -> str:
    """Redis answers, is new enough, and evicts nothing."""
    with redis.Redis.from_url(patient.redis_url, socket_timeout=5, socket_connect_timeout=5) as client:
        try:
            facts = client.info()
        except redis.RedisError as error:
            raise CannotRunError(f"Redis does not answer: {error}", "Check REDIS_URL and the server.") from error
    version = str(facts["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        raise CannotRunError(f"Redis {version} is too old.", "Use 6.2 or newer.")
    if facts["maxmemory_policy"] != "noeviction":
        raise CannotRunError(
            f"Redis drops keys when full ({facts['maxmemory_policy']}).", "CONFIG SET maxmemory-policy noeviction"
        )
    return version


def check_migrations(patient: Patient) -> str:
    """The database has the tables of this version."""
    newest, stamped = newest_revision(), _run(stamped_revision(patient.database_url))
    if stamped != newest:
        raise CannotRunError(f"The database is at {stamped or 'nothing'}, Kapok needs {newest}.", "kapok migrate")
    return f"at {newest}"


def check_jobs(patient: Patient) -> str:
    """No job has failed for good, and none waits for a worker that is not there."""
    if not _query(patient, "SELECT to_regclass('dead_letter') IS NOT NULL"):
        raise SkippedError("the database has no tables yet")
    dead = _query(patient, "SELECT count(*) FROM dead_letter WHERE resolved_at IS NULL")
    if dead:
        raise CannotRunError(f"{dead} jobs failed for good.", "See why with `kapok jobs`; replay or drop them.")
    waiting = _query(patient, LATE_JOBS, WAITING_SECONDS)
    if waiting:
        raise CannotRunError(f"{waiting} jobs wait for a worker.", "Start one: `kapok up`, or python -m workers.main")
    return "none dead, none late"


def check_providers(patient: Patient) -> str:
    """Every payment provider answers: no circuit is open."""
    if not _query(patient, "SELECT to_regclass('provider_circuit') IS NOT NULL"):
        raise SkippedError("the database has no tables yet")
    failing = _query(patient, FAILING_PROVIDERS)
    if failing:
        mend = "Payments wait until it answers; see GET /v1/operator/providers, and its own status page."
        raise CannotRunError(f"{failing} does not answer.", mend)
    return "no provider fails"


def check_api(patient: Patient) -> str:
    """The API answers and reaches its servers."""
    if not patient.running:
        raise SkippedError("Kapok is not up")
    try:
        answer = httpx.get(f"{patient.running.base_url}/healthz/ready", timeout=10, trust_env=False)
    except httpx.HTTPError as error:
        raise CannotRunError(
            f"The API does not answer: {error}", f"Read {patient.home / 'logs' / 'api.log'}"
        ) from error
    if not answer.is_success:
        raise CannotRunError(f"The API is not ready: {answer.text}", f"Read the logs in {patient.home / 'logs'}")
    return patient.running.base_url


def check_papers(patient: Patient) -> str:
    """The operator has said which legal entity issues invoices and receipts."""
    missing = patient.settings.missing_for_papers
    if not missing:
        return f"{patient.settings.operator_legal_name} issues them, as {patient.settings.invoice_prefix}-…"
    if patient.settings.env != "production":
        raise SkippedError(f"none are issued: {', '.join(missing)} not set")
    raise CannotRunError(f"No invoices: {', '.join(missing)} not set.", "Set them to your company's own; see the docs.")


def check_law(name: str) -> Callable[[Patient], str]:
    """Return the check of one choice that law asks of the operator (tax, minimum pay, retention)."""

    def check(patient: Patient) -> str:
        fact = next(fact for fact in law_facts(patient.settings, now().date()) if fact.name == name)
        mend = f"See to {' and '.join(fact.settings)}; Law in docs/operations.md says how."
        if fact.state == "invalid":
            raise CannotRunError(fact.detail, mend)
        if fact.state == "missing":
            raise MissingError(fact.detail, mend)
        return fact.detail

    return check


CHECKS: tuple[tuple[str, Callable[[Patient], str]], ...] = (
    ("Python", check_python),
    ("Server programs", check_programs),
    ("Account", check_account),
    ("Data folder", check_folder),
    ("Disk", check_disk),
    ("Port", check_port),
    ("PostgreSQL", check_postgres),
    ("Redis", check_redis),
    ("Clock", check_clock),
    ("Migrations", check_migrations),
    ("Jobs", check_jobs),
    ("Invoices", check_papers),
    ("Payment providers", check_providers),
    ("API", check_api),
    ("Tax", check_law("tax")),
    ("Tax forms", check_law("tax_forms")),
    ("Minimum pay", check_law("minimum_pay")),
    ("Retention", check_law("retention")),
    ("Payees' countries", check_law("payee_countries")),
)


def examine(patient: Patient) -> list[Finding]:
    """Run every check."""
    return [_examine(name, check, patient) for name, check in CHECKS]


def doctor(
    home: Annotated[Path | None, typer.Option(help="Data folder (KAPOK_HOME).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what is wrong on this machine and how to mend it."""
    with problems_explained():
        settings = get_settings()
        place = resolve_home(home or settings.kapok_home)
        findings = examine(Patient(settings, place, running_in(place)))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=1))
    else:
        _show(findings)
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)


def _examine(name: str, check: Callable[[Patient], str], patient: Patient) -> Finding:
    try:
        return Finding(name, "ok", check(patient))
    except SkippedError as reason:
        return Finding(name, "skipped", str(reason))
    except MissingError as error:
        return Finding(name, "missing", str(error), error.mend)
    except CannotRunError as error:
        return Finding(name, "problem", str(error), error.mend)


def _show(findings: list[Finding]) -> None:
    console = Console(highlight=False)
    for finding in findings:
        mark = MARKS[finding.state]
        console.print(Text.assemble(mark, f" {finding.check:<18} {finding.detail}"), soft_wrap=True)
        if finding.mend:
            console.print(Text.assemble(("  ➜ ", "bold"), finding.mend), soft_wrap=True)


def _query(patient: Patient, sql: str, *values: float) -> Any:
    async def ask() -> Any:
        connection = await asyncpg.connect(plain_url(patient.database_url), timeout=5)
        try:
            return await connection.fetchval(sql, *values)
        finally:
            await connection.close()

    return _run(ask())


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        raise CannotRunError(f"PostgreSQL does not answer: {error}", "Check DATABASE_URL and the server.") from error
