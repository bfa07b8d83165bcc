"""Sealing of bids: AES-256-GCM under a key of its own for each vendor and request, and a salted hash as commitment.

What this protects against and what not is written in docs/decisions/sealed-bids.md. The row holds nonce ‖ ciphertext;
the associated data tie it to its bid and request, so that it cannot be copied into another row.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from marketplace.matching.errors import SealBroken, SealingKeyMissing
from marketplace.matching.schemas import BidTerms

NONCE_BYTES: Final = 12  # 96 bits, NIST SP 800-38D §8.2.2 (random nonces)
KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
PURPOSE: Final = b"kapok bid seal v1"


@dataclass(frozen=True, slots=True)
class BidName:
    """Which bid: what its key and its associated data are made of."""

    request_id: UUID
    bid_id: UUID
    vendor_id: UUID


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the row holds, and the salt that stays inside of it."""

    blob: bytes
    commitment: str
    salt: str


def canonical(terms: BidTerms) -> bytes:
    """Return the one byte form of the terms: JSON, keys sorted, no spaces, moments in UTC."""
    fields = set(BidTerms.model_fields)
    return msgspec.json.encode(terms.model_dump(mode="json", include=fields), order="sorted")


def commitment_of(terms: BidTerms, salt: str) -> str:
    """Return SHA-256(salt ‖ canonical terms) in hex; `salt` is hex. Anybody can compute it after the opening."""
    return hashlib.sha256(bytes.fromhex(salt) + canonical(terms)).hexdigest()


def _cipher(secret: str, name: BidName) -> AESGCM:
    """HKDF-SHA256 (RFC 5869) of the installation's secret: salt is the request, info the vendor."""
    if not secret:
        raise SealingKeyMissing
    derive = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=name.request_id.bytes, info=PURPOSE + name.vendor_id.bytes)
    return AESGCM(derive.derive(secret.encode()))


def _tied_to(name: BidName) -> bytes:
    return name.bid_id.bytes + name.request_id.bytes


def seal(secret: str, name: BidName, terms: BidTerms) -> Sealed:
    """Seal the terms; raise `SealingKeyMissing` when there is no secret."""
    salt, nonce = secrets.token_hex(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    plain = msgspec.json.encode({"salt": salt, "terms": canonical(terms).decode()})
    blob = nonce + _cipher(secret, name).encrypt(nonce, plain, _tied_to(name))
    return Sealed(blob, commitment_of(terms, salt), salt)


def unseal(secret: str, name: BidName, blob: bytes, commitment: str) -> tuple[BidTerms, str]:
    """Return the terms and the salt.

    Raises:
        SealBroken: the ciphertext was changed or moved, or does not keep what its commitment said.
    """
    try:
        plain = _cipher(secret, name).decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], _tied_to(name))
    except (InvalidTag, ValueError) as error:
        raise SealBroken from error
    inside = msgspec.json.decode(plain)
    terms, salt = BidTerms.model_validate_json(inside["terms"]), str(inside["salt"])
    if commitment_of(terms, salt) != commitment:
        raise SealBroken("The bid is not the one that its commitment was given for.")
    return terms, salt
