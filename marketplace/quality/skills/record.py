"""A worker's skills as a signed file that they may take elsewhere: writing it, and checking it without Kapok.

Canonical JSON, byte for byte: `document` says whose skills these are and what they rest on, `signature` is the
operator's Ed25519 (RFC 8032) signature in hexadecimal over the canonical form of everything else.
"""

import binascii
from typing import Any, Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from marketplace.core.clock import now
from marketplace.core.settings import Settings
from marketplace.core.signatures import kid_of, signing_key
from marketplace.ledger.merkle import canonical
from marketplace.quality.skills.schemas import WorkerSkills

FORMAT: Final = "kapok-skill-record/1"


class RecordBroken(ValueError):
    """The record does not hold; the message says where."""


def sign_record(settings: Settings, worker_id: UUID, skills: WorkerSkills) -> bytes:
    """Return the signed record of a worker's measured skills; requesters' own ones stay with them.

    Raises:
        ProofKeyMissing: the operator set no key.
    """
    key = signing_key(settings)
    document = {
        "worker_id": str(worker_id),
        "issued_at": now().isoformat(),
        "scale": "0-100, posterior mean with a 95 % interval; evidence in known answers, faded by half in 180 days",
        "skills": [each.model_dump(mode="json", exclude={"history"}) for each in skills.measured],
    }
    signed = {"format": FORMAT, "kid": kid_of(key.public_key()), "document": document}
    return canonical(signed | {"signature": key.sign(canonical(signed)).hex()})


def check_record(content: bytes, keys: list[Ed25519PublicKey]) -> dict[str, Any]:
    """Return the document of a record that one of these keys signed.

    Raises:
        RecordBroken: it is no such record, or was changed since.
    """
    try:
        found = msgspec.json.decode(content)
        exact = canonical(found) == content
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise RecordBroken("the file is not JSON") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT or not exact:
        raise RecordBroken(f"the file is not, byte for byte, a {FORMAT}")
    signature = found.pop("signature", None)
    key = next((key for key in keys if kid_of(key) == found.get("kid")), None)
    if key is None:
        raise RecordBroken("it is signed with another key than the operator's")
    try:
        key.verify(binascii.unhexlify(signature), canonical(found))
    except (TypeError, ValueError, InvalidSignature) as error:
        raise RecordBroken("the signature does not fit the content") from error
    return dict(found["document"])
