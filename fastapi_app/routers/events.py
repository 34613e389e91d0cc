"""A run as a sequence of events, the same over NDJSON and WebSocket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi_app.dependencies.parameters import LogPosition
from fastapi_app.models import Run, Stream
from fastapi_app.schemas.fields import iso_now
from fastapi_app.services.workflows import WorkflowService

NDJSON = "application/x-ndjson"

Event = dict[str, Any]


async def log_events(
    workflows: WorkflowService, run: Run, position: LogPosition, *, live: bool
) -> AsyncIterator[Event]:
    """A `log` event a piece, and one `end` event once the run is over (if it is, or `live`)."""
    reached = position.offsets.get(Stream.STDOUT, 0)
    async for piece in workflows.follow(
        run, offsets=position.offsets, streams=position.streams, live=live
    ):
        if piece.stream is Stream.STDOUT:
            reached = piece.offset
        yield event("log", piece.text, stream=piece.stream, offset=piece.offset)
    run = await workflows.get(run.id)
    if run.status.final:
        yield end_event(run, reached)


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
    return json.dumps(of, separators=(",", ":")).encode() + b"\n"
