"""Home folders of measured servers, deleted when the program ends and not between two figures.

ext4 is slow to make files for minutes after thousands were deleted nearby: it looks at each inode
that was freed lately (`recently_deleted` in fs/ext4/ialloc.c). That is no property of a contestant.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path


def new_home(name: str) -> Path:
    """An empty folder for as long as the program runs."""
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    home = folder / "home"
    home.mkdir()
    return home
