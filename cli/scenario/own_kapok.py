"""A Kapok for a command: the one that runs, or one of the command's own with settings of its own."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.embedded.server import port_is_free
from cli.errors import CannotRunError
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
    """Yield the running Kapok, or start one on a temporary folder and stop it afterwards.

    A provider other than the sandbox is set up for one Kapok: it always gets one of its own, on the port of the
    settings, where that provider's webhooks are expected.

    Raises:
        CannotRunError: that port is taken, or Stripe has no key.
    """
    if settings.payment_provider != "sandbox":
        _check_reachable(settings)
        with own_kapok({}, port=settings.port) as target:
            yield target
        return
    if running is not None:
        yield _target(running, settings, is_own=False)
        return
    with own_kapok({}) as target:
        yield target


def _check_reachable(settings: Settings) -> None:
    if not settings.stripe_api_key.get_secret_value() or not settings.webhook_secrets_of_stripe:
        raise CannotRunError(
            "Payments by Stripe need STRIPE_API_KEY and STRIPE_WEBHOOK_SECRETS.",
            "`make demo-stripe` starts a fake Stripe and sets them.",
        )
    if not port_is_free(settings.port, settings.host):
        raise CannotRunError(
            f"Port {settings.port}, where the webhooks of Stripe are expected, is taken.", "Stop what listens there."
        )


@contextmanager
def own_kapok(environment: Mapping[str, str], *, port: int = 0) -> Iterator[Target]:
    """Start a Kapok on a temporary folder with embedded servers, with these settings, and stop it afterwards.

    Its API listens on `port`, by default on any free one.
    """
    kept = dict(os.environ)
    for name in ("DATABASE_URL", "REDIS_URL", "PUBLIC_URL", "KAPOK_HOME", "PORT"):
        os.environ.pop(name, None)
    os.environ.update(environment)
    get_settings.cache_clear()
    try:
        with _home() as home, started(settings := Settings(), home=home, port=port) as running:
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
