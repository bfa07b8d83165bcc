"""Ed25519 keys (RFC 8032) by which the operator signs files that others check without Kapok: reading, naming."""

import base64
import hashlib

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from marketplace.core.errors import Unavailable
from marketplace.core.settings import Settings


class ProofKeyMissing(Unavailable):
    """The operator has set no key for signed files (PROOF_SIGNING_KEY)."""

    code = "proof_key_missing"


def signing_key(settings: Settings) -> Ed25519PrivateKey:
    """Return the operator's key for signed files, or raise `ProofKeyMissing`."""
    text = settings.proof_signing_key.get_secret_value()
    if not text:
        raise ProofKeyMissing
    return private_key(text)


def published_keys(settings: Settings) -> list[Ed25519PublicKey]:
    """Return the public keys that this operator's signed files are checked with: today's, then the retired ones."""
    retired = (part.strip() for part in settings.proof_retired_keys.split(","))
    return [signing_key(settings).public_key(), *(key for text in retired if text for key in public_keys(text))]


def kid_of(key: Ed25519PublicKey) -> str:
    """Return the name of a public key: the beginning of its hash."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def private_key(text: str) -> Ed25519PrivateKey:
    """Read PROOF_SIGNING_KEY: the 32 bytes of an Ed25519 private key in base64; raise `ValueError` if it is not one."""
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True))


def public_jwk(key: Ed25519PublicKey) -> dict[str, str]:
    """Return a public key as a JWK (RFC 8037)."""
    x = base64.urlsafe_b64encode(key.public_bytes_raw()).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid_of(key), "alg": "EdDSA", "use": "sig"}


def public_keys(text: str) -> list[Ed25519PublicKey]:
    """Read public keys: the answer of /v1/proof-keys, one JWK of it, or 32 bytes in base64.

    Raises `ValueError` when the text holds none.
    """
    text = text.strip()
    encoded = [text]
    if text.startswith("{"):
        try:
            found = msgspec.json.decode(text)
            encoded = [jwk["x"] for jwk in found.get("keys", [found])]
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError("the key file is no JWK") from error
    return [Ed25519PublicKey.from_public_bytes(_raw(x)) for x in encoded]


def _raw(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
