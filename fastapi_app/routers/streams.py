"""`/api/v1/workflows/events` and `/{id}/events`: what happens to runs, over plain HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query
from fastapi.responses import StreamingResponse

from fastapi_app.dependencies.live import Events, LastSeq, Live, Since
from fastapi_app.dependencies.services import Streaming
from fastapi_app.routers.events import NDJSON, SSE, change_response
from fastapi_app.routing import Router
from fastapi_app.schemas.problems import documented
from fastapi_app.security import requires

router = Router(prefix="/api/v1/workflows", tags=["events"])

Follow = Annotated[bool, Query(description="Go on with what is still to happen")]
Accept = Annotated[str, Header(include_in_schema=False)]


def _content(*names: str) -> dict[str, object]:
    schema = {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}
    return {NDJSON: {"schema": schema}, SSE: {"schema": {"type": "string"}}}


@router.get(
    "/events",
    dependencies=[requires("workflows:read")],
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Lines of JSON, or server-sent events when `Accept` asks for them",
            "content": _content("StatusEvent"),
        },
        **documented(422, 503),
    },
)
async def all_events(
    live: Live,
    ends: Streaming,
    wanted: Events,
    since: Since = None,
    follow: Follow = True,
    accept: Accept = "",
    last_event_id: LastSeq = "",
) -> StreamingResponse:
    """The status events of all runs: those behind `since`, then what happens."""
    start = int(last_event_id) if last_event_id else since
    if start is None and not follow:
        start = 0
    return change_response(live.changes(wanted, start, follow=follow), accept, ends)


@router.get(
    "/{run_id}/events",
    dependencies=[requires("workflows:read")],
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Lines of JSON, or server-sent events when `Accept` asks for them",
            "content": _content("StatusEvent", "ProgressEvent"),
        },
        **documented(404, 422, 503),
    },
)
async def events_of_run(
    run_id: str,
    live: Live,
    ends: Streaming,
    since: Since = 0,
    follow: Follow = True,
    accept: Accept = "",
    last_event_id: LastSeq = "",
) -> StreamingResponse:
    """Status and progress events of one run, from its beginning until it is over."""
    run = await live.get(run_id)
    start = int(last_event_id) if last_event_id else since
    return change_response(live.changes_of(run, start, follow=follow), accept, ends)
