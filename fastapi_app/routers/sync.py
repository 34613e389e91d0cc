"""`/api/v1/sync`: scripts of a folder and stored commands, each made as the other is."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import Header, Query, Response

from fastapi_app.dependencies.services import Streaming, Sync
from fastapi_app.draining import Ends
from fastapi_app.errors import AppError
from fastapi_app.routers.events import NDJSON, ndjson_response
from fastapi_app.routing import Router
from fastapi_app.schemas.problems import documented
from fastapi_app.schemas.sync import (
    BothSidesAnswer,
    SyncEvent,
    SyncOutcome,
    SyncRequest,
    SyncStatus,
    VerifyAnswer,
    WatchRequest,
)
from fastapi_app.security import requires
from fastapi_app.services.sync import SyncService
from fastapi_app.services.sync_watch import watch
from fastapi_app.sync_models import Order, Outcome, Progress, Side

router = Router(prefix="/api/v1/sync", tags=["sync"])

Accept = Annotated[str, Header(include_in_schema=False)]
Events = AsyncGenerator[Progress | Outcome, None]
_EVENTS = {NDJSON: {"schema": {"$ref": "#/components/schemas/SyncEvent"}}}
_DONE = {
    "model": SyncOutcome,
    "description": "What was done; how far it is besides, when `Accept` asks for NDJSON",
    "content": _EVENTS,
}


@router.get(
    "/status",
    dependencies=[requires("sync:read")],
    response_model=SyncStatus,
    responses=documented(409, 503),
)
async def status(sync: Sync) -> SyncStatus:
    """What differs between the folder and the store."""
    return SyncStatus.of(await sync.status())


@router.get(
    "/verify",
    dependencies=[requires("sync:read")],
    response_model=VerifyAnswer,
    responses=documented(409, 503),
)
async def verify(sync: Sync) -> VerifyAnswer:
    """Hold the lock file against both sides, reading every script."""
    return VerifyAnswer.of(await sync.verify())


@router.get(
    "/diff/{name}",
    dependencies=[requires("sync:read")],
    response_model=BothSidesAnswer,
    responses=documented(404, 409, 422, 503),
)
async def diff(name: str, sync: Sync) -> BothSidesAnswer:
    """Both sides of one script, and how they differ."""
    return BothSidesAnswer.of(await sync.both(name))


@router.post(
    "/push",
    dependencies=[requires("sync:write")],
    response_model=SyncOutcome,
    responses={200: _DONE, **documented(400, 409, 413, 422, 503)},
)
async def push(
    body: SyncRequest, sync: Sync, ends: Streaming, accept: Accept = ""
) -> SyncOutcome | Response:
    """Store what the folder has."""
    return await _answer(sync, Side.FOLDER, body.order(), accept, ends)


@router.post(
    "/pull",
    dependencies=[requires("sync:write")],
    response_model=SyncOutcome,
    responses={200: _DONE, **documented(400, 409, 413, 422, 503)},
)
async def pull(
    body: SyncRequest, sync: Sync, ends: Streaming, accept: Accept = ""
) -> SyncOutcome | Response:
    """Write what the store has into the folder."""
    return await _answer(sync, Side.STORE, body.order(), accept, ends)


@router.post(
    "/watch",
    dependencies=[requires("sync:write")],
    response_class=Response,
    responses={
        200: {"description": "What came of each push, as lines of JSON", "content": _EVENTS},
        **documented(400, 409, 413, 422, 503),
    },
)
async def watch_folder(
    body: WatchRequest,
    sync: Sync,
    ends: Streaming,
    follow: Annotated[bool, Query(description="Go on with what is still to be saved")] = True,
) -> Response:
    """Push now, and each time scripts are saved, for as long as the client stays."""
    return await _streamed(watch(sync, Order(prune=body.prune), follow=follow), ends)


async def _answer(
    sync: SyncService, source: Side, order: Order, accept: str, ends: Ends
) -> SyncOutcome | Response:
    if NDJSON in accept:
        return await _streamed(sync.reported(source, order), ends)
    work = sync.push if source is Side.FOLDER else sync.pull
    return SyncOutcome.of(await work(order))


async def _streamed(
    events: AsyncGenerator[Progress | Outcome, None] | AsyncGenerator[Outcome, None],
    ends: Ends,
) -> Response:
    """Lines as they come; what fails before the first one is an answer of its own."""
    until_end: Events = ends.until_end(events)
    first = await anext(until_end)
    return ndjson_response(_lines(first, until_end))


async def _lines(first: Progress | Outcome, events: Events) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(events):
        yield SyncEvent.of(first).line()
        try:
            async for event in events:
                yield SyncEvent.of(event).line()
        except AppError as error:
            yield SyncEvent(type="error", code=error.code, detail=error.detail).line()
