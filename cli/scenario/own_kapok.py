"""A Kapok for a command: the one that runs, or one of the command's own with settings of its own."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.home import resolve_home
from cli.running import Running, started
from marketplace.core.settings import Settings, get_settings


@dataclass(frozen=True)
class Target:
    """A Kapok that a command works on: where it answers, and settings by which its database is reached."""

    running: Running
    settings: Settings
    is_own: bool

    @property
    def base_url(self) -> str:
        """Where the API answers."""
        return self.running.base_url


def _target(running: Running, settings: Settings, *, is_own: bool) -> Target:
    urls = {"database_url": running.database_url, "redis_url": running.redis_url}
    return Target(running, settings.model_copy(update=urls), is_own)


@contextmanager
def kapok_at_hand(settings: Settings, running: Running | None) -> Iterator[Target]:
    """Yield the running Kapok, or start one on a temporary folder and stop it afterwards."""
    if running is not None:
        yield _target(running, settings, is_own=False)
        return
    with own_kapok({}) as target:
        yield target


@contextmanager
def own_kapok(environment: Mapping[str, str]) -> Iterator[Target]:
    """Start a Kapok on a temporary folder with embedded servers, with these settings, and stop it afterwards."""
    kept = dict(os.environ)
    for name in ("DATABASE_URL", "REDIS_URL", "PUBLIC_URL", "KAPOK_HOME", "PORT"):
        os.environ.pop(name, None)
    os.environ.update(environment)
    get_settings.cache_clear()
    try:
        with _home() as home, started(settings := Settings(), home=home) as running:
            yield _target(running, settings, is_own=True)
    finally:
        os.environ.clear()
        os.environ.update(kept)
        get_settings.cache_clear()


@contextmanager
def _home() -> Iterator[Path]:
    """Yield a data folder and remove it afterwards, also where it had to go for the servers' account to enter it."""
    with tempfile.TemporaryDirectory(prefix="kapok-") as folder:
        home = Path(folder)
        try:
            yield home
        finally:
            elsewhere = resolve_home(home)
            if elsewhere != home.resolve():
                shutil.rmtree(elsewhere, ignore_errors=True)
