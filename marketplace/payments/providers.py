"""Which payment provider this Kapok uses."""

from marketplace.core.db import Database
from marketplace.core.settings import Settings
from marketplace.payments.bank_file import gateway as bank_file
from marketplace.payments.errors import ProviderUnknown
from marketplace.payments.gateway import Gateway
from marketplace.payments.sandbox import gateway as sandbox
from marketplace.payments.stripe import gateway as stripe


def open_gateway(settings: Settings, database: Database, provider: str | None = None) -> Gateway:
    """Return the gateway to a provider: the one of the settings, or a named one (of an older row, or a webhook).

    It is cheap to make: the connections behind it are shared by all that an event loop makes.

    Raises:
        ProviderUnknown: there is no such provider, or this Kapok is not set up for it.
    """
    match provider or settings.payment_provider:
        case sandbox.NAME if _sandbox_allowed(settings):
            return sandbox.SandboxGateway(settings, database.sessions)
        case bank_file.NAME:
            return bank_file.BankFileGateway(settings, database.sessions)
        case stripe.NAME if settings.stripe_api_key.get_secret_value():
            return stripe.StripeGateway(settings)
        case _:
            raise ProviderUnknown


def open_gateways(settings: Settings, database: Database) -> list[Gateway]:
    """Return the gateways whose books are to match ours: where money comes in, and where it is paid out."""
    return [open_gateway(settings, database, name) for name in settings.providers_in_use]


async def close_gateways() -> None:
    """Close the connections that this event loop holds to providers, when the process ends."""
    await stripe.close_clients()


def _sandbox_allowed(settings: Settings) -> bool:
    return settings.env != "production" or settings.sandbox_in_production
