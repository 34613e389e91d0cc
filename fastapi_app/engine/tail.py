"""A log as it grows: read once for all who follow it, in pieces that are made once."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from fastapi_app.engine.background import Background
from fastapi_app.engine.encoded import Encoded
from fastapi_app.engine.masking import NOTHING, STARS, Mask, Span, merged, stretches
from fastapi_app.engine.packed import PackedLog
from fastapi_app.models import LogPiece, Stream

CHUNK = 64 * 1024
"""Bytes a piece has at most. Pieces end at its multiples, so that followers get the same ones."""
KEPT = 16
"""Pieces of one stream that are kept for followers who come behind."""
POLL = 0.02
LONGEST_CHARACTER = 4
"""Bytes of the longest character in UTF-8 (RFC 3629, section 3)."""
PACKED = ".gz"


class Source(Protocol):
    """The bytes of a log, however they are stored."""

    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes: ...

    def close(self) -> None: ...


class PlainLog:
    """A log as its writers leave it.

    Raises:
        FileNotFoundError: there is none at `path`.
    """

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, length, offset)

    def close(self) -> None:
        os.close(self._fd)


def open_log(path: str) -> Source | None:
    """The log at `path`, compressed or not; `None` when there is none (yet, or any more)."""
    with contextlib.suppress(FileNotFoundError):
        return PlainLog(path)
    # Whoever compresses a log puts the new file in place before the old one goes.
    with contextlib.suppress(FileNotFoundError):
        return PackedLog(path + PACKED)
    return None


@dataclass(frozen=True)
class Piece(LogPiece, Encoded):
    """A piece that many readers get."""


@dataclass(frozen=True, slots=True)
class Extract:
    """Part of a log as it may be shown: text and the position behind it."""

    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class View:
    """How a log is shown: at most `limit` bytes of it, without the secrets."""

    limit: int | None = None
    mask: Mask = NOTHING

    def size(self, source: Source) -> int:
        """Bytes that may be shown."""
        size = source.size()
        return size if self.limit is None else min(size, self.limit)

    def whole(self, source: Source, offset: int) -> bytes:
        """All bytes from `offset` to the end, which must fit into memory."""
        size = self.size(source)
        if not self.mask:
            return source.read(offset, max(0, size - offset))
        start = max(0, offset - self.mask.reach)
        data = source.read(start, max(0, size - start))
        covered = self._covered(data, cut=size < source.size())
        return STARS.encode().join(stretches(data, covered, offset - start, len(data)))

    def extract(
        self, source: Source, offset: int, *, final: bool, upto: int | None = None
    ) -> Extract | None:
        """What is there from `offset` on, up to the next multiple of `CHUNK`, at most to `upto`.

        `None` when there is nothing, or nothing that can be told yet: until the log is `final` a
        character or a secret may be on its way. How a log is cut changes nothing in its text.
        """
        size = source.size()
        end = size if self.limit is None else min(size, self.limit)
        if offset >= end:
            return None
        # So close to a multiple there may be a character that was left whole for the next piece.
        stop = min(end, ((offset + LONGEST_CHARACTER - 1) // CHUNK + 1) * CHUNK)
        stop = stop if upto is None else min(stop, upto)
        if stop <= offset:
            return None
        last = final or end < size
        if self.mask:
            return self._masked(source, offset, stop, end, last=last, cut=end < size)
        data = source.read(offset, stop - offset)
        text, used = codecs.utf_8_decode(data, "replace", last and offset + len(data) == end)
        return Extract(text, offset + used) if used else None

    def _masked(
        self, source: Source, offset: int, stop: int, end: int, *, last: bool, cut: bool
    ) -> Extract | None:
        start = max(0, offset - self.mask.reach)
        data = source.read(start, min(end, stop + self.mask.reach) - start)
        at_end = start + len(data) >= end
        covered = self._covered(data, cut=cut and at_end)
        stop -= start
        if at_end and not last:
            stop = min(stop, self.mask.open_end(data))
        if stop <= offset - start:
            return None
        *before, rest = stretches(data, covered, offset - start, stop)
        shown = [part.decode("utf-8", "replace") for part in before]
        text, used = codecs.utf_8_decode(rest, "replace", last and stop == len(data))
        reached = start + stop - len(rest) + used
        return Extract(STARS.join([*shown, text]), reached) if reached > offset else None

    def _covered(self, data: bytes, *, cut: bool) -> list[Span]:
        covered = self.mask.covered(data)
        if cut and (opened := self.mask.open_end(data)) < len(data):
            # The rest of a secret is beyond the limit.
            covered = merged([*covered, (opened, len(data))])
        return covered


class SharedLog:
    """One stream of a run, read once for all its followers.

    They see it grow in steps, so that they get the same pieces of it.
    """

    def __init__(self, path: str, stream: Stream, view: View) -> None:
        self._path = path
        self._stream = stream
        self._view = view
        self._source: Source | None = None
        self._pieces: OrderedDict[int, Piece] = OrderedDict()
        self._unpacking = asyncio.Lock()
        self.size = 0
        """Bytes there are to read; 0 while there is no file."""

    def grow(self) -> bool:
        """See how much there is; whether that is more than before."""
        if self._source is None:
            self._source = open_log(self._path)
        before = self.size
        if self._source is not None:
            self.size = self._view.size(self._source)
        return self.size != before

    async def piece_at(self, offset: int, *, final: bool) -> Piece | None:
        """The piece from `offset` on; `None` when there is nothing to show, or not yet."""
        found = self._kept(offset)
        if found is not None or self._source is None:
            return found
        if isinstance(self._source, PlainLog):
            extract = self._view.extract(self._source, offset, final=final, upto=self.size)
            return self._keep(offset, extract)
        async with self._unpacking:
            found = self._kept(offset)
            if found is None:
                extract = await asyncio.to_thread(
                    self._view.extract, self._source, offset, final=final, upto=self.size
                )
                found = self._keep(offset, extract)
        return found

    def close(self) -> None:
        if self._source is not None:
            self._source.close()

    def _kept(self, offset: int) -> Piece | None:
        found = self._pieces.get(offset)
        if found is not None:
            self._pieces.move_to_end(offset)
        return found

    def _keep(self, offset: int, extract: Extract | None) -> Piece | None:
        if extract is None:
            return None
        piece = self._pieces[offset] = Piece(self._stream, extract.text, extract.offset)
        if len(self._pieces) > KEPT:
            self._pieces.popitem(last=False)
        return piece


class SharedRun:
    """The output of one run while somebody follows it."""

    def __init__(self, logs: Mapping[Stream, SharedLog], over: asyncio.Event) -> None:
        self._logs = logs
        self._over = over
        self._changed = asyncio.Event()
        self._background = Background()
        self._watching: asyncio.Task[None] | None = None
        self.followers = 0

    async def follow(
        self, offsets: Mapping[Stream, int], streams: Collection[Stream]
    ) -> AsyncGenerator[Piece, None]:
        """What is there from these offsets on, then what comes, until all has been read."""
        position = {stream: offsets.get(stream, 0) for stream in streams}
        while True:
            changed, last = self._changed, self._over.is_set()
            if last or self._watching is None:
                self._grow()
            for stream in streams:
                log = self._logs[stream]
                # What comes meanwhile can wait until the other stream has had its turn.
                size = log.size
                while position[stream] < size and (
                    piece := await log.piece_at(position[stream], final=last)
                ):
                    position[stream] = piece.offset
                    yield piece
            if last:
                return
            if self._watching is None:
                self._watching = self._background.start(self._watch())
            await changed.wait()

    def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        for log in self._logs.values():
            log.close()

    async def _watch(self) -> None:
        """Wake the followers when there is more, and at the end of the run."""
        try:
            while not self._over.is_set():
                if self._grow():
                    self._wake()
                # The file says nothing when it grows; the end of the run does, and cuts the wait.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await self._over.wait()
        finally:  # whatever went wrong here, each follower meets it too
            self._watching = None
            self._wake()

    def _grow(self) -> bool:
        grown = [log.grow() for log in self._logs.values()]
        return any(grown)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


Opener = Callable[[], SharedRun]


class SharedRuns:
    """The runs that are followed at the moment."""

    def __init__(self) -> None:
        self._runs: dict[str, SharedRun] = {}

    async def follow(
        self,
        run_id: str,
        opened: Opener,
        offsets: Mapping[Stream, int],
        streams: Collection[Stream],
    ) -> AsyncGenerator[Piece, None]:
        """Follow a run, together with all others who do; `opened` makes what they share."""
        shared = self._runs.get(run_id)
        if shared is None:
            shared = self._runs[run_id] = opened()
        shared.followers += 1
        try:
            async with contextlib.aclosing(shared.follow(offsets, streams)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            shared.followers -= 1
            if not shared.followers:
                del self._runs[run_id]
                shared.close()
