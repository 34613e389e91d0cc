"""The output files of runs, as text."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BLOCK_BYTES = 65536


def content(stream: IO[bytes]) -> bytes:
    """Read a whole open file, without moving the offset that a grandchild may still write at."""
    fd = stream.fileno()
    return os.pread(fd, os.fstat(fd).st_size, 0)


def whole(path: Path) -> str:
    """Read a whole file, `""` when there is none."""
    try:
        return path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return ""


def tail(path: Path, lines: int) -> str:
    """Read the last `lines` lines of a file, read from its end; `""` when there is none."""
    if lines == 0:
        return ""
    try:
        with path.open("rb") as stream:
            return _last(stream, lines).decode(errors="replace")
    except FileNotFoundError:
        return ""


def _last(stream: IO[bytes], lines: int) -> bytes:
    blocks: list[bytes] = []
    position = stream.seek(0, os.SEEK_END)
    newlines = 0
    # The newline that ends the last line is one more than the ones that separate lines.
    while position > 0 and newlines <= lines:
        size = min(BLOCK_BYTES, position)
        position = stream.seek(position - size)
        block = stream.read(size)
        newlines += block.count(b"\n")
        blocks.append(block)
    parts = b"".join(reversed(blocks)).split(b"\n")
    # Behind a final newline there is an empty part, which is no line.
    return b"\n".join(parts[-lines if parts[-1] else -lines - 1 :])
