"""The output of runs: files the children write themselves, read in bounded pieces."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi_app.models import LogPiece, Stream

CHUNK = 256 * 1024
POLL = 0.02
_SUFFIX = {Stream.STDOUT: ".out", Stream.STDERR: ".err"}


@dataclass(frozen=True, slots=True)
class LogFiles:
    """Where the output of runs lies. Sizes and offsets are bytes."""

    folder: Path

    def path(self, run_id: str, stream: Stream) -> str:
        return f"{self.folder}/{run_id}{_SUFFIX[stream]}"

    def state(self, run_id: str) -> str:
        return f"{self.folder}/{run_id}.state"

    def size(self, run_id: str, stream: Stream) -> int:
        try:
            return os.stat(self.path(run_id, stream)).st_size  # noqa: PTH116 - hot path
        except FileNotFoundError:
            return 0

    def head(self, run_id: str, stream: Stream, limit: int) -> bytes:
        """At most `limit` bytes from the start."""
        try:
            fd = os.open(self.path(run_id, stream), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            return os.read(fd, limit) if limit else b""
        finally:
            os.close(fd)

    def pieces(
        self, run_id: str, stream: Stream, offset: int = 0, *, final: bool = False
    ) -> Iterator[LogPiece]:
        """What is there now, from byte `offset` on, as text cut between characters.

        A character at the end that the writer has not finished is left for the next call, unless
        this is the `final` one.
        """
        yield from _read(self.path(run_id, stream), stream, offset, final=final)

    def tail_lines(self, run_id: str, stream: Stream, lines: int) -> str:
        """The last `lines` lines, read backwards in chunks."""
        try:
            with Path(self.path(run_id, stream)).open("rb") as file:
                return _last_lines(file.fileno(), lines).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    async def follow(
        self,
        run_id: str,
        offsets: Mapping[Stream, int],
        streams: Collection[Stream],
        over: asyncio.Event,
    ) -> AsyncIterator[LogPiece]:
        """What is there, then what comes, until the run is over and everything has been read."""
        position = {stream: offsets.get(stream, 0) for stream in streams}
        while True:
            last = over.is_set()
            for stream in streams:
                path = self.path(run_id, stream)
                for piece in _read(path, stream, position[stream], final=last):
                    position[stream] = piece.offset
                    yield piece
            if last:
                return
            # The file says nothing when it grows; the end of the run does, and cuts the wait.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), POLL)

    def complain(self, run_id: str, message: str) -> None:
        """Say in the run's own stderr why it never started."""
        with Path(self.path(run_id, Stream.STDERR)).open("a", encoding="utf-8") as file:
            file.write(f"{message}\n")


def _read(path: str, stream: Stream, offset: int, *, final: bool) -> Iterator[LogPiece]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        while data := os.pread(fd, CHUNK, offset):
            whole = len(data) if final and len(data) < CHUNK else _whole_characters(data)
            if whole == 0:
                return
            offset += whole
            yield LogPiece(stream, data[:whole].decode("utf-8", "replace"), offset)
    finally:
        os.close(fd)


def _whole_characters(data: bytes) -> int:
    """How many bytes to take so that no UTF-8 character is cut in two (RFC 3629, section 3)."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:  # ASCII: nothing is open
            return len(data)
        if byte >= 0xC0:  # a first byte: does its character end within the data?
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) if back >= length else len(data) - back
    return len(data)


def _last_lines(fd: int, lines: int) -> bytes:
    if lines == 0:
        return b""
    end = os.fstat(fd).st_size
    start, found = end, 0
    while start > 0:
        chunk_start = max(0, start - CHUNK)
        chunk = os.pread(fd, start - chunk_start, chunk_start)
        # The newline that ends the file closes its last line; it opens none.
        cut = len(chunk) - 1 if start == end and chunk.endswith(b"\n") else len(chunk)
        while (cut := chunk.rfind(b"\n", 0, cut)) != -1:
            found += 1
            if found == lines:
                return os.pread(fd, end - chunk_start - cut - 1, chunk_start + cut + 1)
        start = chunk_start
    return os.pread(fd, end, 0)
