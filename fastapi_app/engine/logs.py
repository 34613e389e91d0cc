"""The output of runs: files the children write themselves, read in bounded pieces."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastapi_app.engine.masking import NOTHING, Mask
from fastapi_app.engine.tail import (
    PACKED,
    Extract,
    Piece,
    PlainLog,
    SharedLog,
    SharedRun,
    SharedRuns,
    Source,
    View,
    open_log,
)
from fastapi_app.errors import LogRemovedError
from fastapi_app.models import LogPiece, Run, Stream

BACKWARDS = 256 * 1024
"""Bytes read at once while looking for the beginning of the last lines."""
LONGEST_TAIL = 16 * 1024 * 1024
"""Bytes the last lines may have together: one line may be as long as the log."""
_SUFFIX = {Stream.STDOUT: ".out", Stream.STDERR: ".err"}


@dataclass(frozen=True, slots=True)
class LogFiles:
    """Where the output of runs lies. Sizes and offsets are bytes.

    Readers get at most `max_bytes` of each stream (`None`: all): whatever a run prints beyond that
    is cut off, sooner or later. What is behind a `mask` never leaves here unmasked. Compressed logs
    read as if they were not.
    """

    folder: Path
    max_bytes: int | None = None
    _shared: SharedRuns = field(default_factory=SharedRuns, compare=False, repr=False)

    def path(self, run_id: str, stream: Stream) -> str:
        return f"{self.folder}/{run_id}{_SUFFIX[stream]}"

    def state(self, run_id: str, attempt: int = 1) -> str:
        return f"{self.folder}/{run_id}{'' if attempt == 1 else f'.{attempt}'}.state"

    def stdin(self, run_id: str) -> str:
        return f"{self.folder}/{run_id}.in"

    def size(self, run_id: str, stream: Stream) -> int:
        """Bytes that can be read."""
        size = self._whole_size(run_id, stream)
        return size if self.max_bytes is None else min(size, self.max_bytes)

    def is_cut(self, run_id: str) -> bool:
        """Whether the run has printed more than can be read."""
        if self.max_bytes is None:
            return False
        return any(self._whole_size(run_id, stream) > self.max_bytes for stream in Stream)

    def expect(self, run: Run) -> None:
        """Make sure that there is a log to read.

        Raises:
            LogRemovedError: the run has printed something, and all of it has been removed.
        """
        sizes = {Stream.STDOUT: run.stdout_bytes, Stream.STDERR: run.stderr_bytes}
        printed = [stream for stream, size in sizes.items() if size]
        if printed and not any(self._exists(run.id, stream) for stream in printed):
            raise LogRemovedError(run.id)

    def head(self, run_id: str, stream: Stream, limit: int, mask: Mask = NOTHING) -> bytes:
        """At most `limit` bytes from the start, as they are shown."""
        shown = limit if self.max_bytes is None else min(limit, self.max_bytes)
        with self._opened(run_id, stream) as source:
            return View(shown, mask).whole(source, 0) if source and shown else b""

    def pieces(
        self,
        run_id: str,
        stream: Stream,
        offset: int = 0,
        *,
        final: bool = False,
        mask: Mask = NOTHING,
    ) -> Iterator[LogPiece]:
        """What is there now, from byte `offset` on, as text cut between characters.

        A character (or a secret) at the end that the writer has not finished is left for the next
        call, unless this is the `final` one.
        """
        view = View(self.max_bytes, mask)
        with self._opened(run_id, stream) as source:
            while source and (extract := view.extract(source, offset, final=final)):
                offset = extract.offset
                yield LogPiece(stream, extract.text, offset)

    async def read(
        self,
        run_id: str,
        offsets: Mapping[Stream, int],
        streams: Collection[Stream],
        *,
        final: bool,
        mask: Mask = NOTHING,
    ) -> AsyncGenerator[Piece, None]:
        """What is there now, as `pieces`, but one stream after the other and off the event loop."""
        view = View(self.max_bytes, mask)
        for stream in streams:
            offset = offsets.get(stream, 0)
            with self._opened(run_id, stream) as source:
                while source and (extract := await _extract(view, source, offset, final=final)):
                    offset = extract.offset
                    yield Piece(stream, extract.text, offset)

    def tail_lines(self, run_id: str, stream: Stream, lines: int, mask: Mask = NOTHING) -> str:
        """The last `lines` lines, read backwards in chunks, of the last `LONGEST_TAIL` bytes."""
        view = View(self.max_bytes, mask)
        with self._opened(run_id, stream) as source:
            if source is None or lines == 0:
                return ""
            start = _start_of_lines(source, view.size(source), lines)
            return view.whole(source, start).decode("utf-8", "replace")

    def tail_offset(self, run_id: str, stream: Stream, lines: int) -> int:
        """The byte at which the last `lines` lines begin, as far back as `tail_lines` looks."""
        view = View(self.max_bytes)
        with self._opened(run_id, stream) as source:
            if source is None:
                return 0
            end = view.size(source)
            return _start_of_lines(source, end, lines) if lines else end

    async def follow(
        self,
        run_id: str,
        offsets: Mapping[Stream, int],
        streams: Collection[Stream],
        over: asyncio.Event,
        mask: Mask = NOTHING,
    ) -> AsyncGenerator[Piece, None]:
        """What is there, then what comes, until the run is over and everything has been read.

        The log is read once for all who follow it at the same time. One that is compressed or
        removed meanwhile is read to its end all the same.
        """

        def opened() -> SharedRun:
            view = View(self.max_bytes, mask)
            logs = {stream: SharedLog(self.path(run_id, stream), stream, view) for stream in Stream}
            return SharedRun(logs, over)

        pieces = self._shared.follow(run_id, opened, offsets, streams)
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                yield piece

    def complain(self, run_id: str, message: str) -> None:
        """Say in the run's own stderr why it never started."""
        with Path(self.path(run_id, Stream.STDERR)).open("a", encoding="utf-8") as file:
            file.write(f"{message}\n")

    @contextlib.contextmanager
    def _opened(self, run_id: str, stream: Stream) -> Iterator[Source | None]:
        source = open_log(self.path(run_id, stream))
        try:
            yield source
        finally:
            if source is not None:
                source.close()

    def _whole_size(self, run_id: str, stream: Stream) -> int:
        try:
            return os.stat(self.path(run_id, stream)).st_size  # noqa: PTH116 - hot path
        except FileNotFoundError:
            with self._opened(run_id, stream) as source:
                return source.size() if source else 0

    def _exists(self, run_id: str, stream: Stream) -> bool:
        path = self.path(run_id, stream)
        return Path(path).exists() or Path(path + PACKED).exists()


async def _extract(view: View, source: Source, offset: int, *, final: bool) -> Extract | None:
    if isinstance(source, PlainLog):
        return view.extract(source, offset, final=final)
    return await asyncio.to_thread(view.extract, source, offset, final=final)


def _start_of_lines(source: Source, end: int, lines: int) -> int:
    """Where the last `lines` lines begin."""
    start, found = end, 0
    earliest = max(0, end - LONGEST_TAIL)
    while start > earliest:
        chunk_start = max(earliest, start - BACKWARDS)
        chunk = source.read(chunk_start, start - chunk_start)
        # The newline that ends the file closes its last line; it opens none.
        cut = len(chunk) - 1 if start == end and chunk.endswith(b"\n") else len(chunk)
        while (cut := chunk.rfind(b"\n", 0, cut)) != -1:
            found += 1
            if found == lines:
                return chunk_start + cut + 1
        start = chunk_start
    return start
