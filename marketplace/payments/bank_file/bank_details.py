"""Where a payee is paid.

An account number is kept by AES-256-GCM under a key derived from SECRET_KEY, and tied to its row.
"""

import secrets
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.payments.bank_file.errors import AccountSealBroken, BankAccountUnknown, BankDetailsMissing
from marketplace.payments.bank_file.models import BankAccount
from marketplace.payments.bank_file.schemas import SetBankAccount
from marketplace.payments.models import Payee
from marketplace.payments.states import PayeeKind

NONCE_BYTES: Final = 12  # 96 bits, NIST SP 800-38D §8.2.2 (random nonces)
TAIL: Final = 4
_PURPOSE: Final = b"kapok bank account v1"


@dataclass(frozen=True, slots=True)
class BankDetails:
    """What a bank needs to pay somebody."""

    holder_name: str
    bank_code: str
    account_number: str


async def payee_bank_details(session: AsyncSession, secret: str, payee: Payee) -> BankDetails | None:
    """Return where a payee is paid; None when they have not said."""
    account = await _account(session, payee.kind, payee.owner_id)
    if account is None:
        return None
    number = open_number(secret, account.id, account.account_sealed)
    return BankDetails(account.holder_name, account.bank_code, number)


async def need_bank_details(session: AsyncSession, payee: Payee) -> None:
    """Raise `BankDetailsMissing` when the payee has not said where to pay."""
    if not await has_bank_details(session, payee):
        raise BankDetailsMissing


async def has_bank_details(session: AsyncSession, payee: Payee) -> bool:
    """Whether the payee has said where to pay."""
    return await _account(session, payee.kind, payee.owner_id) is not None


async def bank_account_of(session: AsyncSession, kind: PayeeKind, owner_id: UUID) -> BankAccount:
    """Return the bank account of a vendor or worker, or raise `BankAccountUnknown`."""
    account = await _account(session, kind, owner_id)
    if account is None:
        raise BankAccountUnknown
    return account


async def set_bank_account(
    session: AsyncSession, actor: Actor, secret: str, kind: PayeeKind, owner_id: UUID, command: SetBankAccount
) -> BankAccount:
    """Keep where a vendor or worker is paid from now on; payments that wait already keep what they have."""
    await session.execute(
        insert(BankAccount)
        .values(
            id=new_id(), created_at=now(), kind=kind, owner_id=owner_id, holder_name="", bank_code="",
            account_sealed=b"", account_tail="", changed_at=now(),
        )
        .on_conflict_do_nothing(index_elements=["kind", "owner_id"])
    )  # fmt: skip
    account = await _account(session, kind, owner_id, lock=True)
    if account is None:
        raise BankAccountUnknown
    account.holder_name, account.bank_code = command.holder_name, command.bank_code
    account.account_sealed = seal_number(secret, account.id, command.account_number)
    account.account_tail, account.changed_at = command.account_number[-TAIL:], now()
    record(
        session, actor, "bank_account.set", f"bank_account:{account.id}",
        organisation_id=owner_id if kind is PayeeKind.VENDOR else None, tail=account.account_tail,
    )  # fmt: skip
    return account


async def _account(session: AsyncSession, kind: PayeeKind, owner_id: UUID, *, lock: bool = False) -> BankAccount | None:
    chosen = select(BankAccount).where(col(BankAccount.kind) == kind, col(BankAccount.owner_id) == owner_id)
    if lock:
        chosen = chosen.with_for_update().execution_options(populate_existing=True)
    return (await session.exec(chosen)).first()


def seal_number(secret: str, row_id: UUID, number: str) -> bytes:
    """Return nonce and ciphertext of an account number that stands in this row."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + _cipher(secret).encrypt(nonce, number.encode(), row_id.bytes)


def open_number(secret: str, row_id: UUID, sealed: bytes) -> str:
    """Return the account number of a row, or raise `AccountSealBroken`."""
    try:
        return _cipher(secret).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], row_id.bytes).decode()
    except (InvalidTag, ValueError) as error:
        raise AccountSealBroken from error


def _cipher(secret: str) -> AESGCM:
    """HKDF-SHA256 (RFC 5869) of the installation's secret."""
    if not secret:
        raise AccountSealBroken("SECRET_KEY is not set")
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode()))
