"""The hashes of the seal: canonical JSON, and the Merkle tree of RFC 6962 §2.1 over it. Pure; works offline.

Canonical JSON is that of RFC 8785 for what stands here: keys sorted, no spaces, and numbers that are integers.
"""

import hashlib
from typing import Any

import msgspec


def canonical(value: Any) -> bytes:
    """Return the one way in which a value is written as JSON."""
    return msgspec.json.encode(value, order="sorted")


def sha256_hex(content: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def leaf_hash(content: bytes) -> bytes:
    """Return the hash of a leaf: SHA-256(0x00 || content)."""
    return hashlib.sha256(b"\x00" + content).digest()


def root_of(leaves: list[bytes]) -> bytes:
    """Return the Merkle tree hash over leaf hashes; that of no leaves is the hash of nothing."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return _node(root_of(leaves[:split]), root_of(leaves[split:]))


def path_of(leaves: list[bytes], position: int) -> list[bytes]:
    """Return the audit path of a leaf (RFC 6962 §2.1.1): the hashes from its sibling up to the root's child."""
    if not 0 <= position < len(leaves):
        raise IndexError(position)
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if position < split:
        return [*path_of(leaves[:split], position), root_of(leaves[split:])]
    return [*path_of(leaves[split:], position - split), root_of(leaves[:split])]


def root_by_path(leaf: bytes, position: int, count: int, path: list[bytes]) -> bytes | None:
    """Return the root that a leaf at this place and its audit path lead to, or None when the path cannot be one."""
    if not 0 <= position < count:
        return None
    if count == 1:
        return None if path else leaf
    if not path:
        return None
    split = _split(count)
    if position < split:
        below = root_by_path(leaf, position, split, path[:-1])
        return None if below is None else _node(below, path[-1])
    below = root_by_path(leaf, position - split, count - split, path[:-1])
    return None if below is None else _node(path[-1], below)


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(count: int) -> int:
    """Return the largest power of two below count."""
    return 1 << (count - 1).bit_length() - 1
