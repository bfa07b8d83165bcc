"""Passwords as argon2id hashes, computed off the event loop and a few at a time (each takes 64 MiB for its while)."""

import asyncio
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# the library's defaults are the second recommended option of RFC 9106 §4 (low memory): 3 passes, 64 MiB, 4 lanes
_HASHER: Final = PasswordHasher()
# the pool is the cap: more sign-ins than processors at once would only take memory and slow each other
_POOL: Final = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 4), thread_name_prefix="argon2")


@lru_cache(maxsize=1)
def _decoy() -> str:
    """Return a hash that no password fits, to spend the same time on an unknown person."""
    return _HASHER.hash(secrets.token_urlsafe())


def _verify(stored: str | None, password: str) -> bool:
    decoy = _decoy()
    try:
        _HASHER.verify(stored or decoy, password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


async def hash_password(password: str) -> str:
    """Return the argon2id hash of a password."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, _HASHER.hash, password)


async def verify_password(stored: str | None, password: str) -> bool:
    """Return whether the password fits the stored hash; takes as long when there is none."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, _verify, stored, password)


def needs_rehash(stored: str) -> bool:
    """Return whether the hash was made with weaker parameters than today's."""
    return _HASHER.check_needs_rehash(stored)
