"""What is known of the files of a folder, so that only those that changed are read again.

A file is the same while its size, its times and its inode are. Files that are as young as the look
at them are not kept: they could change within one tick of the clock.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

VERSION = 1
"""Of what is known, and of the rules that were applied."""


class Seen(NamedTuple):
    """What a file was when it had these times. Without a language it is no script."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    language: str | None
    sha256: str
    problem: str
    warning: str

    @classmethod
    def of(
        cls,
        found: os.stat_result,
        language: str | None = None,
        sha256: str = "",
        problem: str = "",
        warning: str = "",
    ) -> Seen:
        """The same with the times of a file."""
        times = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        return cls(*times, language, sha256, problem, warning)

    def same(self, now: os.stat_result) -> bool:
        """Whether the file has not changed since."""
        return (
            self.mtime_ns == now.st_mtime_ns
            and self.size == now.st_size
            and self.ctime_ns == now.st_ctime_ns
            and self.inode == now.st_ino
        )


Index = dict[str, Seen]


def load_index(path: Path, folder: Path) -> Index:
    """What was kept of this folder; what cannot be read is as good as nothing."""
    try:
        kept = json.loads(path.read_bytes())
        if kept["version"] == VERSION and kept["folder"] == str(folder):
            return {name: Seen(*values) for name, values in kept["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return {}


def save_index(path: Path, folder: Path, index: Index) -> None:
    """Keep it for the next time; without it the next look takes longer, and that is all."""
    new = path.with_name(f".{path.name}.{threading.get_ident()}")
    kept = {"version": VERSION, "folder": str(folder), "files": index}
    try:
        new.write_text(json.dumps(kept), encoding="utf-8")
        new.replace(path)
    except (OSError, ValueError) as error:
        log.warning("what is known of %s was not kept: %s", folder, error)
        with contextlib.suppress(OSError):
            new.unlink()
