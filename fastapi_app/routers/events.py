"""What happens, as events: the same as WebSocket messages, lines of NDJSON, and server-sent events.

What many clients get is encoded once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi.responses import StreamingResponse

from fastapi_app.dependencies.parameters import LogPosition, offsets_of
from fastapi_app.draining import Ends
from fastapi_app.models import LogPiece, Run, Stream
from fastapi_app.schemas.events import ProgressEvent, StatusEvent
from fastapi_app.schemas.fields import iso_now
from fastapi_app.services.live import Advance, Change, LiveService, Piece
from fastapi_app.slow import TooSlowError

NDJSON = "application/x-ndjson"
NDJSON_CONTENT = {NDJSON: {"schema": {"$ref": "#/components/schemas/RunEvent"}}}
SSE = "text/event-stream"
LOG_CONTENT = {
    "text/plain": {"schema": {"type": "string"}},
    SSE: {"schema": {"type": "string"}},
    **NDJSON_CONTENT,
}
HEARTBEAT = 15.0
"""Seconds without an event after which server-sent events show that they are still there."""
BEAT = b":\n\n"
RETRY = b"retry: 1000\n\n"
"""Milliseconds after which a client is to come again."""
UNBUFFERED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

Event = dict[str, Any]
T = TypeVar("T")


@dataclass(slots=True)
class Reached:
    """How far a log has been read: bytes of each stream, and of which run where there are more."""

    offsets: dict[Stream, int]
    run_id: str = ""

    def __str__(self) -> str:
        """What a reader goes on with: `N,M`, or `RUN,N,M`."""
        mark = f"{self.offsets[Stream.STDOUT]},{self.offsets[Stream.STDERR]}"
        return f"{self.run_id},{mark}" if self.run_id else mark


async def log_events(
    live: LiveService, run: Run, position: LogPosition, *, follow: bool, of_several: bool = False
) -> AsyncGenerator[tuple[Piece | Event, Reached], None]:
    """A piece after the other, and an `end` event once the run is over (if it is, or `follow`).

    With each comes how far the streams have been read. A run that is one `of_several` begins with a
    `start` event, which says so, too.
    """
    offsets = dict.fromkeys(Stream, 0) | position.offsets
    reached = Reached(offsets, run.id if of_several else "")
    pieces = live.log(run, offsets=offsets, streams=position.streams, follow=follow)
    if of_several:
        yield start_event(run) | {"since": str(reached)}, reached
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            offsets[piece.stream] = piece.offset
            yield piece, reached
    ended = await live.ended(run) if follow else run
    if ended is not None and ended.status.final:
        yield end_event(ended, offsets[Stream.STDOUT]), reached


def log_response(
    live: LiveService,
    run: Run,
    position: LogPosition,
    *,
    follow: bool,
    accept: str,
    ends: Ends,
) -> StreamingResponse:
    """The log of a run in the form that `accept` asks for: text unless it names one of events.

    Raises:
        LogRemovedError: it has been removed.
    """
    live.check_log(run)
    if SSE in accept or NDJSON in accept:
        items = log_events(live, run, position, follow=follow)
        return log_items_response(items, accept, ends)
    pieces = live.log(run, offsets=position.offsets, streams=position.streams, follow=follow)
    return StreamingResponse(
        _each(ends.until_end(pieces), lambda piece: piece.encoded(_text)),
        media_type="text/plain; charset=utf-8",
    )


def log_items_response(
    items: AsyncGenerator[tuple[Piece | Event, Reached], None], accept: str, ends: Ends
) -> StreamingResponse:
    """Pieces and events in the form that `accept` asks for; as text the pieces alone."""
    until_end = ends.until_end(items)
    if SSE in accept:
        return sse_response(_each(until_end, lambda item: log_sse(*item)))
    if NDJSON in accept:
        return ndjson_response(_each(until_end, lambda item: log_line(*item)))
    return StreamingResponse(
        _each(until_end, lambda item: _text_of(item[0])), media_type="text/plain; charset=utf-8"
    )


def behind(position: LogPosition, last_id: str) -> LogPosition:
    """Where to go on behind the server-sent event `N,M`: bytes of stdout and stderr."""
    return LogPosition(position.streams, offsets_of(last_id)) if last_id else position


def log_message(item: Piece | Event) -> str:
    """A WebSocket message."""
    return _compact(item) if isinstance(item, dict) else item.encoded(_log_json)


def log_line(item: Piece | Event, _reached: Reached | None = None) -> bytes:
    """A line of NDJSON."""
    return ndjson(item) if isinstance(item, dict) else item.encoded(_log_line)


def log_sse(item: Piece | Event, reached: Reached) -> bytes:
    """A server-sent event; its id says how far all has been read."""
    mark = f"id: {reached}\n".encode()
    if isinstance(item, dict):
        return mark + _sse(item["type"], _compact(item))
    return mark + item.encoded(_log_sse)


def change_message(what: Change | Advance) -> str:
    """A status or progress event as a WebSocket message."""
    return what.encoded(_change_json)


def change_line(what: Change | Advance) -> bytes:
    """The same as a line of NDJSON."""
    return what.encoded(_change_line)


def change_sse(what: Change | Advance) -> bytes:
    """The same as a server-sent event."""
    return what.encoded(_change_sse)


def change_response(
    changes: AsyncGenerator[Change | Advance, None] | AsyncGenerator[Change, None],
    accept: str,
    ends: Ends,
) -> StreamingResponse:
    """Status events in the form that `accept` asks for: NDJSON unless server-sent events."""
    until_end: AsyncGenerator[Change | Advance, None] = ends.until_end(changes)
    if SSE in accept:
        return sse_response(_each(until_end, change_sse))
    return ndjson_response(_each(until_end, change_line))


def ndjson_response(lines: AsyncGenerator[bytes, None]) -> StreamingResponse:
    """Lines as they come."""
    return StreamingResponse(lines, media_type=NDJSON)


def sse_response(events: AsyncGenerator[bytes, None]) -> StreamingResponse:
    """Server-sent events (HTML standard, section 9.2) as they come."""
    return StreamingResponse(_beating(events), media_type=SSE, headers=UNBUFFERED)


def start_event(run: Run) -> Event:
    """The run has an id and will go on, or end with the client."""
    return event("start", run.id, job_id=run.id)


def end_event(run: Run, offset: int) -> Event:
    """The run is over; `offset` is where its stdout ends for this reader."""
    return event(
        "end",
        run.status,
        offset=offset,
        status=run.status,
        returncode=run.returncode,
        reason=run.reason,
    )


def event(
    kind: str, message: str, *, stream: str | None = None, offset: int = 0, **more: object
) -> Event:
    """One event, stamped with the moment it was made."""
    return {
        "type": kind,
        "stream": stream,
        "message": message,
        "offset": offset,
        "timestamp": iso_now(),
        **more,
    }


def ndjson(of: Event) -> bytes:
    """One line."""
    return _compact(of).encode() + b"\n"


async def _each(
    items: AsyncGenerator[T, None], encode: Callable[[T], bytes]
) -> AsyncGenerator[bytes, None]:
    """Every item, encoded; ends where the reader is too slow."""
    async with contextlib.aclosing(items):
        with contextlib.suppress(TooSlowError):
            async for item in items:
                if encoded := encode(item):
                    yield encoded


async def _beating(events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The events, and a comment now and then where there are none."""
    yield RETRY
    upcoming = asyncio.ensure_future(anext(events, b""))
    try:
        while True:
            done, _ = await asyncio.wait({upcoming}, timeout=HEARTBEAT)
            if not done:
                yield BEAT
                continue
            if not (found := upcoming.result()):
                return
            upcoming = asyncio.ensure_future(anext(events, b""))
            yield found
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)
        await events.aclose()


def _compact(of: Event) -> str:
    return json.dumps(of, separators=(",", ":"))


def _text(piece: LogPiece) -> bytes:
    return piece.text.encode()


def _text_of(item: Piece | Event) -> bytes:
    return b"" if isinstance(item, dict) else item.encoded(_text)


def _log_json(piece: LogPiece) -> str:
    return _compact(event("log", piece.text, stream=piece.stream, offset=piece.offset))


def _log_line(piece: Piece) -> bytes:
    return piece.encoded(_log_json).encode() + b"\n"


def _log_sse(piece: Piece) -> bytes:
    return _sse("log", piece.encoded(_log_json))


def _change_json(what: Change | Advance) -> str:
    if isinstance(what, Advance):
        told = what.progress
        return ProgressEvent(
            job_id=what.run_id, percent=told.percent, message=told.message, timestamp=what.at
        ).model_dump_json()
    came = what.transition
    return StatusEvent(
        seq=came.seq,
        job_id=came.run_id,
        name=came.name,
        kind=came.kind,
        group=came.group,
        status=came.status,
        attempt=came.attempt,
        returncode=came.returncode if came.status.final else None,
        reason=came.reason,
        timestamp=came.at,
    ).model_dump_json()


def _change_line(what: Change | Advance) -> bytes:
    return what.encoded(_change_json).encode() + b"\n"


def _change_sse(what: Change | Advance) -> bytes:
    text = what.encoded(_change_json)
    if isinstance(what, Advance):
        return _sse("progress", text)
    return f"id: {what.transition.seq}\n".encode() + _sse("status", text)


def _sse(kind: str, text: str) -> bytes:
    return f"event: {kind}\ndata: {text}\n\n".encode()
