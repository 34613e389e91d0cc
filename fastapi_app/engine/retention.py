"""What becomes of old logs: compressed, and in the end removed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fastapi_app.engine.packed import pack
from fastapi_app.engine.tail import PACKED

log = logging.getLogger(__name__)

LOGS = (".out", ".err")
TEMPORARY = f"{PACKED}.tmp"
SETTLED = 10.0
"""Seconds a file must have been left alone: who says which runs are active may be that late."""
TRACES_KEPT = 3600.0
"""Seconds for which the files of an ended run stay that say nothing to anybody."""
SMALLEST = 4096
"""Bytes below which a log takes one block of a disk, compressed or not."""
_NAME = re.compile(
    r"(?P<run_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"(?P<suffix>\.(?:out|err)(?:\.gz(?:\.tmp)?)?|(?:\.[0-9]+)?\.state|\.in|\.eof)"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be kept; `None` is no limit.

    Seconds since the last output until a log is compressed, and until it is removed; how many runs
    may have a log, and how many bytes all logs may have together.
    """

    compress_after: float | None = None
    max_age: float | None = None
    max_runs: int | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Swept:
    """How many logs were compressed, of how many runs the log was removed, and bytes freed."""

    compressed: int = 0
    removed: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Files:
    """The files of one run: sizes in bytes by suffix, and when the last one was written to."""

    sizes: dict[str, int] = field(default_factory=dict)
    written: float = 0.0

    @property
    def size(self) -> int:
        return sum(self.sizes.values())

    @property
    def has_log(self) -> bool:
        return any(suffix.startswith(LOGS) and size for suffix, size in self.sizes.items())


def scan(folder: Path) -> dict[str, Files]:
    """The files of each run in `folder`; what is no file of a run is left out."""
    found: dict[str, Files] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if (name := _NAME.fullmatch(entry.name)) is None:
                continue
            with contextlib.suppress(FileNotFoundError):
                stat = entry.stat(follow_symlinks=False)
                files = found.setdefault(name["run_id"], Files())
                files.sizes[name["suffix"]] = stat.st_size
                files.written = max(files.written, stat.st_mtime)
    return found


def superfluous(runs: dict[str, Files], limits: Limits, now: float, others: int = 0) -> list[str]:
    """Whose log must go, of these ended runs, oldest first. `others` are bytes of other logs."""
    logged = [run_id for run_id, files in runs.items() if files.has_log]
    oldest = sorted(logged, key=lambda run_id: (runs[run_id].written, run_id))
    left, size = len(oldest), others + sum(runs[run_id].size for run_id in oldest)
    for number, run_id in enumerate(oldest):
        too_old = limits.max_age is not None and now - runs[run_id].written > limits.max_age
        too_many = limits.max_runs is not None and left > limits.max_runs
        too_big = limits.max_bytes is not None and size > limits.max_bytes
        if not (too_old or too_many or too_big):
            return oldest[:number]
        left, size = left - 1, size - runs[run_id].size
    return oldest


def remove(folder: Path, run_id: str) -> int:
    """Delete every file of a run that is over; returns the bytes that frees."""
    logs = [log + ending for log in LOGS for ending in ("", PACKED, TEMPORARY)]
    freed = _unlink(folder, run_id, [*logs, ".state", ".in", ".eof"])
    attempt = 2  # each attempt has left a state file
    while removed := _unlink(folder, run_id, [f".{attempt}.state"]):
        freed, attempt = freed + removed, attempt + 1
    return freed


def compress(path: Path) -> int:
    """Put a compressed log in the place of a plain one; returns the bytes that saves.

    Whatever happens on the way, one of the two is there and whole.

    Raises:
        OSError: the disk is full, for example; the plain log stays.
    """
    temporary, packed = Path(f"{path}{TEMPORARY}"), Path(f"{path}{PACKED}")
    before = path.stat()
    try:
        pack(path, temporary)
        os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = temporary.stat().st_size
        temporary.replace(packed)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    try:
        path.unlink()
    except FileNotFoundError:  # the run was removed meanwhile
        packed.unlink(missing_ok=True)
    return before.st_size - after


class Janitor:
    """Keeps the logs of ended runs within their limits. One for each folder."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._working = asyncio.Lock()

    async def run_once(self, active: Collection[str]) -> Swept:
        """Go over all logs but those of `active` runs. Works in a thread."""
        async with self._working:
            removed, freed, due = await asyncio.to_thread(self._sweep, frozenset(active))
            compressed = 0
            for path in due:
                try:
                    freed += await asyncio.to_thread(compress, path)
                except FileNotFoundError:  # removed since
                    continue
                except OSError as error:
                    log.warning("%s cannot be compressed: %s", path, error.strerror)
                    break
                compressed += 1
        return Swept(compressed, removed, freed)

    def _sweep(self, active: Collection[str]) -> tuple[int, int, list[Path]]:
        """Remove what must go; returns how many logs, how many bytes, and what to compress."""
        now = time.time()
        every = scan(self._folder)
        ended = {
            run_id: files
            for run_id, files in every.items()
            if run_id not in active and files.written < now - SETTLED
        }
        others = sum(files.size for run_id, files in every.items() if run_id not in ended)
        freed = sum(self._tidy(run_id, files, now) for run_id, files in ended.items())
        going = superfluous(ended, self._limits, now, others)
        for run_id in going:
            freed += _unlink(self._folder, run_id, ended.pop(run_id).sizes)
        return len(going), freed, list(self._due(ended, now))

    def _tidy(self, run_id: str, files: Files, now: float) -> int:
        """Remove what is of no use to anybody."""
        useless = [suffix for suffix in files.sizes if suffix.endswith(TEMPORARY)]
        # Both are there when the plain one was about to go; it is the one that surely is whole.
        useless += [log + PACKED for log in LOGS if {log, log + PACKED} <= files.sizes.keys()]
        if files.written < now - TRACES_KEPT:
            useless += [
                suffix
                for suffix, size in files.sizes.items()
                if not suffix.startswith(LOGS) or size == 0
            ]
        freed = _unlink(self._folder, run_id, useless)
        for suffix in useless:
            files.sizes.pop(suffix, None)
        return freed

    def _due(self, runs: dict[str, Files], now: float) -> Iterator[Path]:
        if self._limits.compress_after is None:
            return
        for run_id, files in runs.items():
            if now - files.written > self._limits.compress_after:
                for suffix in LOGS:
                    if files.sizes.get(suffix, 0) >= SMALLEST:
                        yield self._folder / f"{run_id}{suffix}"


def _unlink(folder: Path, run_id: str, suffixes: Iterable[str]) -> int:
    freed = 0
    for suffix in suffixes:
        path = f"{folder}/{run_id}{suffix}"
        with contextlib.suppress(FileNotFoundError):
            size = os.stat(path).st_size  # noqa: PTH116 - there may be very many
            os.unlink(path)  # noqa: PTH108
            freed += size
    return freed
