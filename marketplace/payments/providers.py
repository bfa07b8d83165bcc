"""Which payment provider this Kapok uses."""

from marketplace.core.db import Database
from marketplace.core.settings import Settings
from marketplace.payments.errors import ProviderUnknown
from marketplace.payments.gateway import Gateway
from marketplace.payments.sandbox import gateway as sandbox


def open_gateway(settings: Settings, database: Database, provider: str | None = None) -> Gateway:
    """Return the gateway to a provider: the one of the settings, or a named one (of an older row, or a webhook).

    Raises:
        ProviderUnknown: there is no such provider.
    """
    if (provider or settings.payment_provider) != sandbox.NAME:
        raise ProviderUnknown
    return sandbox.SandboxGateway(settings, database.sessions)
