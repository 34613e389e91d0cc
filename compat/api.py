"""`/api/v1/cutover`: see and move the stage of each route, and see what it was moved on."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import Depends, Query, Response
from fastapi.responses import StreamingResponse
from starlette.requests import HTTPConnection

from compat.operations import Operations
from compat.readiness import DAY, readiness, verdict
from compat.schemas import (
    AuditEntry,
    CallerAnswer,
    MismatchAnswer,
    ReadyAnswer,
    RouteAnswer,
    RouteReady,
    StageRequest,
    StatsAnswer,
)
from fastapi_app.draining import Ends, ends_of
from fastapi_app.routing import Router
from fastapi_app.schemas.problems import documented
from fastapi_app.security import requires

router = Router(prefix="/api/v1/cutover", tags=["cutover"])


def operations_of(connection: HTTPConnection) -> Operations:
    """What the app holds for operators."""
    found: Operations = connection.app.state.operations
    return found


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""


Live = Annotated[Operations, Depends(operations_of)]
Address = Annotated[str, Depends(_address)]
Streaming = Annotated[Ends, Depends(ends_of)]
Route = Annotated[str | None, Query(description="Only this one", examples=["GET /status"])]
Days = Annotated[float, Query(gt=0, le=3650, description="How far back calls count")]


@router.get(
    "/routes",
    dependencies=[requires("cutover:read")],
    response_model=list[RouteAnswer],
    responses=documented(503),
)
async def list_routes(live: Live) -> list[RouteAnswer]:
    """Every old route and its stage."""
    rows = live.table.rows
    return [RouteAnswer.of(row, live.cutover.place(name)) for name, row in rows.items()]


@router.put(
    "/routes",
    dependencies=[requires("cutover:write")],
    response_model=RouteAnswer,
    responses=documented(404, 409, 422, 503),
)
async def set_stage(body: StageRequest, live: Live, address: Address) -> RouteAnswer:
    """Move a route to a stage, from the next call on, everywhere, and across restarts."""
    place = await live.cutover.set(body.move(address, time.time()))
    return RouteAnswer.of(live.table.rows[body.route], place)


@router.get(
    "/audit",
    dependencies=[requires("cutover:read")],
    response_model=list[AuditEntry],
    responses=documented(422, 503),
)
async def audit(
    live: Live,
    subject: Annotated[str | None, Query(description="A route, or a rollout")] = None,
    after: Annotated[int, Query(ge=0, description="Behind this number")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
) -> list[AuditEntry]:
    """Who moved what, when, from where to where and why; the newest first."""
    entries = await live.cutover.entries(after=after, subject=subject, limit=limit)
    return [AuditEntry.of(entry) for entry in entries]


@router.get(
    "/stats",
    dependencies=[requires("cutover:read")],
    response_model=list[StatsAnswer],
    responses=documented(404, 422, 503),
)
async def stats(live: Live, route: Route = None) -> list[StatsAnswer]:
    """How often, how fast and how well both stacks answered since each route stands there."""
    names = list(live.table.rows) if route is None else [live.cutover.known(route)]
    since = (await live.measures.totals()).minus(await live.cutover.bases())
    return [StatsAnswer.of(live.table.rows[n], live.cutover.place(n), since) for n in names]


@router.get(
    "/mismatches",
    dependencies=[requires("cutover:read")],
    response_model=list[MismatchAnswer],
    responses=documented(404, 422, 503),
)
async def list_mismatches(live: Live, route: Route = None) -> list[MismatchAnswer]:
    """Where the stacks differ, the most frequent first."""
    wanted = None if route is None else live.cutover.known(route)
    return [MismatchAnswer.of(found) for found in await live.mismatches.all(wanted)]


@router.delete(
    "/mismatches",
    dependencies=[requires("cutover:write")],
    status_code=204,
    responses=documented(404, 422, 503),
)
async def clear_mismatches(live: Live, route: Route = None) -> Response:
    """Forget what was found, of one route or of all."""
    await live.mismatches.clear(None if route is None else live.cutover.known(route))
    return Response(status_code=204)


@router.get(
    "/callers",
    dependencies=[requires("cutover:read")],
    response_model=list[CallerAnswer],
    responses=documented(404, 422, 503),
)
async def list_callers(
    live: Live,
    route: Route = None,
    days: Days = 30,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> list[CallerAnswer]:
    """Who still calls what, the latest first."""
    wanted = None if route is None else live.cutover.known(route)
    since = time.time() - days * DAY
    found = await live.callers.all(route=wanted, since=since, limit=limit)
    return [CallerAnswer.of(caller) for caller in found]


@router.get(
    "/ready",
    dependencies=[requires("cutover:read")],
    response_model=ReadyAnswer,
    responses=documented(422, 503),
)
async def ready(live: Live, days: Days = 7) -> ReadyAnswer:
    """Whether the old stack can be deleted, and because of what (not)."""
    totals = await live.measures.totals()
    counts = await live.callers.counts(time.time() - days * DAY)
    found = [
        readiness(row, live.cutover.place(name), totals, counts.get(name, 0), days=days)
        for name, row in live.table.rows.items()
    ]
    yes, because = verdict(found)
    return ReadyAnswer(ready=yes, because=because, routes=[RouteReady.of(one) for one in found])


@router.get(
    "/record",
    dependencies=[requires("cutover:read")],
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/x-ndjson": {}}, "description": "A case on each line"},
        **documented(404, 422),
    },
)
async def record(
    live: Live,
    ends: Streaming,
    route: Route = None,
    limit: Annotated[int | None, Query(ge=1, description="End after so many")] = None,
    commands: Annotated[bool, Query(description="Keep what is to be run, too")] = False,
) -> StreamingResponse:
    """Live traffic, a call on each line, without secrets, until you leave."""
    wanted = None if route is None else live.cutover.known(route)

    async def lines() -> AsyncGenerator[bytes, None]:
        sent = 0
        cases = live.recorder.cases(wanted, commands=commands)
        async for case in ends.until_end(cases):
            yield json.dumps(case).encode() + b"\n"
            sent += 1
            if limit is not None and sent >= limit:
                return

    return StreamingResponse(lines(), media_type="application/x-ndjson")
