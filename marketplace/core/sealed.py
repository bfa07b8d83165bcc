"""Short secrets at rest, such as a bank account's number: AES-256-GCM under a key of its own for each purpose and row.

The blob is nonce ‖ ciphertext. The key is derived from the installation's `SECRET_KEY`, so a copy of the database alone
does not tell the text, and the associated data tie the blob to its row, so that it cannot be moved into another one.
"""

import secrets
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from marketplace.core.errors import Unavailable

NONCE_BYTES: Final = 12  # 96 bits, NIST SP 800-38D §8.2.2 (random nonces)
KEY_BYTES: Final = 32


class SecretKeyMissing(Unavailable):
    """This Kapok has no SECRET_KEY, without which it may keep no account numbers."""

    code = "secret_key_missing"


class SecretBroken(Unavailable):
    """A sealed text was changed, moved to another row, or sealed under another SECRET_KEY."""

    code = "secret_broken"


def _cipher(secret: str, purpose: str, row_id: UUID) -> AESGCM:
    """HKDF-SHA256 (RFC 5869) of the installation's secret: salt is the row, info the purpose."""
    if not secret:
        raise SecretKeyMissing
    derive = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=row_id.bytes, info=purpose.encode())
    return AESGCM(derive.derive(secret.encode()))


def seal_text(secret: str, purpose: str, row_id: UUID, text: str) -> bytes:
    """Seal a text for a row; raises `SecretKeyMissing`."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + _cipher(secret, purpose, row_id).encrypt(nonce, text.encode(), row_id.bytes)


def unseal_text(secret: str, purpose: str, row_id: UUID, blob: bytes) -> str:
    """Return the text that was sealed for a row; raises `SecretBroken` or `SecretKeyMissing`."""
    try:
        plain = _cipher(secret, purpose, row_id).decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], row_id.bytes)
    except (InvalidTag, ValueError) as error:
        raise SecretBroken from error
    return plain.decode()
