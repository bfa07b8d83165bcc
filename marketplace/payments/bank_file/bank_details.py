"""Where a payee is paid by a bank file: the account that the payee gave for this rail and currency."""

from typing import Final
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.sealed import seal_text, unseal_text
from marketplace.core.settings import Settings
from marketplace.payments.methods import BankAccount, account_in, method_of
from marketplace.payments.models import Payee

TAIL: Final = 4
_PURPOSE: Final = "kapok bank file line v1"


async def payee_bank_details(
    session: AsyncSession, settings: Settings, payee: Payee, currency: str
) -> BankAccount | None:
    """Return where a payee is paid in a currency; None when they have not said."""
    method = await method_of(session, payee, currency)
    return None if method is None else account_in(method, settings)


def seal_number(secret: str, line_id: UUID, number: str) -> bytes:
    """Seal an account number for a line, which keeps it whatever the payee changes later."""
    return seal_text(secret, _PURPOSE, line_id, number)


def open_number(secret: str, line_id: UUID, sealed: bytes) -> str:
    """Return the account number of a line; raises `SecretBroken`."""
    return unseal_text(secret, _PURPOSE, line_id, sealed)
