"""Where a throw-away server keeps its data: in memory, when there is room."""

import os
import shutil
from pathlib import Path
from typing import Final

_IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # a folder that nobody else can write to is made in it
_ROOM_BYTES: Final = 2 << 30


def roomy_memory() -> Path | None:
    """Return the folder that is in memory, if it has room; None means the usual temporary folder.

    To clone a database is 40 times faster there than on a disk.
    """
    if not os.access(_IN_MEMORY, os.W_OK | os.X_OK) or shutil.disk_usage(_IN_MEMORY).free < _ROOM_BYTES:
        return None
    return _IN_MEMORY
