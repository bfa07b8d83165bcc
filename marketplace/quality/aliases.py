"""Under which names a request's readers know its workers."""

import hashlib
from uuid import UUID


def worker_alias(request_id: UUID, worker_id: UUID) -> str:
    """Return the name under which a request's readers know a worker: stable in the request, and no clue outside it."""
    return "w" + hashlib.sha256(request_id.bytes + worker_id.bytes).hexdigest()[:10]
