"""The demo market that `kapok up` offers on its first start."""

from dataclasses import dataclass

from marketplace.core.settings import Settings


@dataclass(frozen=True)
class DemoAccount:
    """Somebody to sign in as: what the person is, the sign-in name, and the password."""

    who: str
    sign_in: str
    password: str


async def load(settings: Settings) -> list[DemoAccount]:  # noqa: ARG001
    """Make what is missing of the demo market, and return its accounts; called on every start."""
    return []
