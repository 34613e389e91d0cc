"""Home folders of measured servers: in memory where there is room, deleted when the program ends.

Disks are no property of a contestant. On ext4 one that makes and deletes thousands of files makes
the next one slow for minutes: it looks at each inode that was freed lately (`recently_deleted` in
fs/ext4/ialloc.c). `TMPDIR` names another place.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps files in memory
ROOM = 3 * 1024**3
"""Bytes that must be free there."""


def place() -> Path:
    """Where homes are made."""
    fits = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM
    in_memory = "TMPDIR" not in os.environ and fits and os.access(MEMORY, os.W_OK)
    return MEMORY if in_memory else Path(tempfile.gettempdir())


def new_home(name: str) -> Path:
    """An empty folder for as long as the program runs."""
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=place()))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    home = folder / "home"
    home.mkdir()
    return home
