"""Running many seeds: servers and a database for them, the mutants, and what all of it comes to."""

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Final
from uuid import uuid4

import asyncpg
import uvloop

from cli.embedded.memory import roomy_memory
from cli.embedded.postgres import EmbeddedPostgres
from cli.home import make_home, resolve_home
from cli.simulation.checks import Findings
from cli.simulation.faults import Coverage
from cli.simulation.mutants import MUTANTS
from cli.simulation.scenario import live
from cli.simulation.world import World, open_world
from marketplace.core.db import plain_url
from marketplace.core.log import configure_logging
from marketplace.core.settings import Settings
from marketplace.ledger.verify import verify as verify_ledger
from marketplace.payments.reconcile import reconcile

SEEDS_A_MUTANT: Final = 200
SEEDS_A_PART: Final = 100


@dataclass(slots=True)
class Outcome:
    """What a run found; `broken` names seeds with what is wrong after them, `killed` mutants with the seed that did it.

    `verified` are the ledger's and the provider's own checks at the end of the run, and what breaks them.
    """

    seeds: int = 0
    found: Findings = field(default_factory=Findings)
    coverage: Coverage = field(default_factory=Coverage)
    broken: dict[int, list[str]] = field(default_factory=dict)
    killed: dict[str, int | None] = field(default_factory=dict)
    verified: dict[str, list[str]] = field(default_factory=dict)

    def add(self, other: "Outcome") -> None:
        """Count what another process found."""
        self.seeds += other.seeds
        self.found = self.found.and_those(other.found)
        self.coverage.add(other.coverage)
        self.broken |= other.broken
        self.killed |= other.killed
        for name, breaks in other.verified.items():
            self.verified.setdefault(name, []).extend(breaks)


async def run_seeds(template_url: str, seeds: range) -> Outcome:
    """Live through the seeds on a fresh copy of a migrated database, then re-add everything."""
    outcome = Outcome()
    async with _clone(template_url) as url, open_world(_settings(url)) as world:
        for seed in seeds:
            found = await live(world, seed)
            outcome.seeds += 1
            outcome.found = outcome.found.and_those(found)
            if found.problems:
                outcome.broken[seed] = found.problems
        outcome.coverage = world.luck.coverage
        outcome.verified = await _verify(world)
    return outcome


async def _verify(world: World) -> dict[str, list[str]]:
    async with world.shared.database.sessions() as session:
        checks = [*(await verify_ledger(session)).checks, *await reconcile(session, world.gateway)]
    return {check.name: check.breaks for check in checks}


async def try_mutant(template_url: str, name: str, *, limit: int = SEEDS_A_MUTANT) -> int | None:
    """Return the first seed that notices a mutant, on a fresh copy of the database; None when none of `limit` does."""
    async with _clone(template_url) as url, open_world(_settings(url)) as world:
        with MUTANTS[name]():
            for seed in range(limit):
                if (await live(world, seed)).problems:
                    return seed
    return None


@asynccontextmanager
async def _clone(template_url: str) -> AsyncIterator[str]:
    server, _, template = template_url.rpartition("/")
    name = f"simulation_{uuid4().hex}"
    await execute(f"{server}/postgres", f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield f"{server}/{name}"
    finally:
        await execute(f"{server}/postgres", f"DROP DATABASE {name} WITH (FORCE)")


async def execute(url: str, statement: str) -> None:
    """Run one statement as the server's owner."""
    connection = await asyncpg.connect(plain_url(url))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def migrated(server_url: str, name: str) -> str:
    """Make a database and bring it to the newest migration; return its address."""
    uvloop.run(execute(server_url, f"CREATE DATABASE {name}"))
    url = f"{server_url.rpartition('/')[0]}/{name}"
    migrate = [sys.executable, "-m", "cli.migrate"]
    subprocess.run(migrate, check=True, env={**os.environ, "DATABASE_URL": url, "ENV": "test"})
    return url


@contextmanager
def own_server() -> Iterator[str]:
    """Start a PostgreSQL without fsync, in memory where that has room, and stop it afterwards; yield its address."""
    with tempfile.TemporaryDirectory(prefix="kapok-simulation-", dir=roomy_memory()) as folder:
        home = Path(folder)
        make_home(home)
        server = EmbeddedPostgres(resolve_home(home), durable=False)
        try:
            yield server.start()
        finally:
            server.stop()


def _settings(database_url: str) -> Settings:
    settings = Settings(
        _env_file=None, env="test", database_url=database_url, redis_url="", db_pool_size=5, log_level="CRITICAL",
        secret_key=uuid4().hex,
    )  # fmt: skip
    configure_logging(settings)
    return settings


def _part(template_url: str, seeds: range) -> Outcome:
    return uvloop.run(run_seeds(template_url, seeds))


def _mutant(template_url: str, name: str) -> Outcome:
    return Outcome(killed={name: uvloop.run(try_mutant(template_url, name))})


def run_all(seeds: range, *, processes: int, mutants: bool, done: Callable[[int], None]) -> Outcome:
    """Run all seeds, and the mutants if asked, in processes; `done` is told how many seeds have come to their end."""
    outcome = Outcome()
    parts = [seeds[start : start + SEEDS_A_PART] for start in range(0, len(seeds), SEEDS_A_PART)]
    with own_server() as server, ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        template = migrated(server, "simulation")
        running = [pool.submit(_part, template, part) for part in parts]
        running += [pool.submit(_mutant, template, name) for name in MUTANTS if mutants]
        for part in running:
            found = part.result()
            outcome.add(found)
            done(found.seeds)
    return outcome
