"""Under which names a request's readers know its workers and reviewers.

A name is a keyed hash, HMAC-SHA256 (RFC 2104) of request and person, under a key derived from the installation's
`SECRET_KEY`: a worker's id stands in their signed skill record, and who knows it must not find them in a delivery.
"""

import hashlib
import hmac
from functools import lru_cache
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from marketplace.core.sealed import KEY_BYTES
from marketplace.core.settings import get_settings

_PURPOSE: Final = b"pseudonyms"
_DIGITS: Final = 10


def worker_alias(request_id: UUID, worker_id: UUID) -> str:
    """Return the name under which a request's readers know a worker: stable in the request, and no clue outside it."""
    return "w" + _digits(request_id, worker_id)


def reviewer_alias(request_id: UUID, reviewer_id: UUID) -> str:
    """Return the name under which a request's readers know who reviewed its samples."""
    return "r" + _digits(request_id, reviewer_id)


def _digits(request_id: UUID, person_id: UUID) -> str:
    key = _key(get_settings().secret_key.get_secret_value())
    return hmac.new(key, request_id.bytes + person_id.bytes, hashlib.sha256).hexdigest()[:_DIGITS]


@lru_cache(maxsize=4)
def _key(secret: str) -> bytes:
    """HKDF-SHA256 (RFC 5869); without a secret, which production refuses, names are stable but can be guessed."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=_PURPOSE).derive(secret.encode())
