"""`/api/v1/workflows/{id}`: one run, from its acceptance until it is forgotten."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query, Response
from fastapi.responses import StreamingResponse

from fastapi_app.dependencies.live import LastPosition, Live
from fastapi_app.dependencies.parameters import Position
from fastapi_app.dependencies.services import Runs, Streaming
from fastapi_app.routers.events import NDJSON_CONTENT, SSE, behind, log_response
from fastapi_app.routing import Router
from fastapi_app.schemas.problems import documented
from fastapi_app.schemas.workflows import (
    History,
    InputRequest,
    ProgressAnswer,
    RunAnswer,
    RunDetails,
    RunList,
    RunStatusAnswer,
    StopAnswer,
    StopRequest,
    TransitionAnswer,
    details,
    stop_answer,
)
from fastapi_app.security import requires

router = Router(prefix="/api/v1/workflows/{run_id}", tags=["runs"])

SOFTLY = StopRequest()


@router.get(
    "",
    dependencies=[requires("workflows:read")],
    response_model=RunDetails,
    responses=documented(404, 503),
)
async def show(run_id: str, runs: Runs) -> RunDetails:
    """One run."""
    run = await runs.get(run_id)
    found = runs.progress(run)
    progress = ProgressAnswer(percent=found.percent, message=found.message) if found else None
    return details(runs.shown(run), progress)


@router.get(
    "/status",
    dependencies=[requires("workflows:read")],
    response_model=RunStatusAnswer,
    responses=documented(404, 503),
)
async def run_status(run_id: str, runs: Runs) -> RunStatusAnswer:
    """Where one run stands."""
    run = runs.shown(await runs.get(run_id))
    return RunStatusAnswer(
        id=run.id, status=run.status, returncode=run.returncode, reason=run.reason
    )


@router.get(
    "/history",
    dependencies=[requires("workflows:read")],
    response_model=History,
    responses=documented(404, 503),
)
async def history(run_id: str, runs: Runs) -> History:
    """When a run came to stand where, and why."""
    found = await runs.history(run_id)
    return History(items=[TransitionAnswer.model_validate(t, from_attributes=True) for t in found])


@router.get(
    "/steps",
    dependencies=[requires("workflows:read")],
    response_model=RunList,
    responses=documented(404, 503),
)
async def steps(run_id: str, runs: Runs) -> RunList:
    """The runs of a document's steps."""
    items = [RunAnswer.of(runs.shown(step)) for step in await runs.steps(run_id)]
    return RunList(items=items, next_cursor=None)


@router.post(
    "/stop",
    dependencies=[requires("workflows:write")],
    response_model=StopAnswer,
    responses=documented(400, 404, 413, 422, 503),
)
async def stop(run_id: str, runs: Runs, body: StopRequest = SOFTLY) -> StopAnswer:
    """Stop a run with all it started: SIGTERM, and SIGKILL after the grace period."""
    run, signal = await runs.stop(
        run_id, interrupt=body.interrupt, kill=body.kill, grace=body.grace
    )
    return stop_answer(runs.shown(run), signal.name if signal else None)


@router.post(
    "/input",
    dependencies=[requires("workflows:write")],
    status_code=204,
    responses=documented(400, 404, 409, 413, 422, 503),
)
async def send_input(run_id: str, body: InputRequest, runs: Runs) -> None:
    """Write to the standard input of a run that was started with `stdin`."""
    await runs.send(run_id, body.data, end=body.end)


@router.delete(
    "",
    dependencies=[requires("workflows:write")],
    status_code=204,
    responses=documented(404, 409, 503),
)
async def remove(run_id: str, runs: Runs) -> None:
    """Forget an ended run and its log."""
    await runs.remove(run_id)


@router.get(
    "/logs",
    dependencies=[requires("workflows:read")],
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Text, or events when `Accept` asks for them",
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                SSE: {"schema": {"type": "string"}},
                **NDJSON_CONTENT,
            },
        },
        **documented(404, 410, 422, 503),
    },
)
async def logs(
    run_id: str,
    live: Live,
    ends: Streaming,
    position: Position,
    follow: Annotated[bool, Query(description="Go on until the run is over")] = False,
    accept: Annotated[str, Header()] = "",
    last_event_id: LastPosition = "",
) -> Response:
    """What a run has printed; with `follow`, what it prints until it is over."""
    run = await live.get(run_id)
    place = behind(position, last_event_id)
    return log_response(live, run, place, follow=follow, accept=accept, ends=ends)
