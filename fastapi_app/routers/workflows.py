"""`/api/v1/workflows`: run commands, watch them, stop them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from fastapi_app.dependencies.parameters import Cursor, Limit, Position
from fastapi_app.dependencies.services import AllServices, Daemon, Workflows
from fastapi_app.leaving import unless_client_leaves
from fastapi_app.models import Run, RunKind, RunStatus, Stream
from fastapi_app.routers.events import NDJSON, end_event, event, log_events, ndjson, start_event
from fastapi_app.schemas.problems import documented
from fastapi_app.schemas.workflows import (
    ExecuteAnswer,
    ExecuteRequest,
    RunAnswer,
    RunList,
    RunStatusAnswer,
    StartAnswer,
    StartRequest,
    StopAnswer,
    WorkflowsStatus,
    stop_answer,
)
from fastapi_app.services.workflows import WorkflowService

router = APIRouter(prefix="/api/v1/workflows", tags=["workflows"])

NDJSON_CONTENT = {NDJSON: {"schema": {"$ref": "#/components/schemas/RunEvent"}}}


@router.post(
    "/execute",
    response_model=ExecuteAnswer,
    response_model_exclude_none=True,
    responses={
        200: {
            "description": "The command is over; events with `stream`",
            "content": NDJSON_CONTENT,
        },
        202: {"model": ExecuteAnswer, "description": "Accepted, with `background`"},
        **documented(400, 413, 422, 503),
    },
)
async def execute(
    body: ExecuteRequest, request: Request, response: Response, services: AllServices
) -> ExecuteAnswer | Response:
    """Run shell text: wait for its end, stream it, or leave it in the background."""
    workflows = services.workflows
    if body.background:
        run = await workflows.accept(body.command, timeout=body.timeout, env=body.env, cwd=body.cwd)
        response.status_code = 202
        response.headers["Location"] = f"/api/v1/workflows/{run.id}"
        return ExecuteAnswer(job_id=run.id, status=run.status)
    if body.stream:
        return await _streamed(request, workflows, body)
    running = workflows.execute(body.command, timeout=body.timeout, env=body.env, cwd=body.cwd)
    run = await unless_client_leaves(request.receive, running)
    return _finished(workflows, run, services.settings.max_inline_output)


@router.post(
    "/start",
    status_code=202,
    response_model=StartAnswer,
    responses=documented(400, 404, 409, 413, 422, 503),
)
async def start(body: StartRequest, response: Response, workflows: Workflows) -> StartAnswer:
    """Start a stored command in the background."""
    run = await workflows.start(body.name, body.args, body.env, timeout=body.timeout)
    response.headers["Location"] = f"/api/v1/workflows/{run.id}"
    return StartAnswer(job_id=run.id, name=run.name, status=run.status)


@router.get("/list", response_model=RunList, responses=documented(422, 503))
async def list_runs(
    workflows: Workflows,
    status: Annotated[list[RunStatus], Query(description="May be repeated")] = [],  # noqa: B006
    name: Annotated[str | None, Query()] = None,
    kind: Annotated[list[RunKind], Query(description="All but processes without it")] = [],  # noqa: B006
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RunList:
    """Runs, newest first."""
    page = await workflows.page(
        kinds=kind or (RunKind.EXECUTE, RunKind.WORKFLOW),
        statuses=status,
        name=name,
        cursor=cursor,
        limit=limit,
    )
    return RunList(items=[RunAnswer.of(run) for run in page.items], next_cursor=page.next_cursor)


@router.get("/status", response_model=WorkflowsStatus, responses=documented(503))
async def service_status(daemon: Daemon) -> WorkflowsStatus:
    """The runner as a whole."""
    now = await daemon.snapshot()
    return WorkflowsStatus(
        running=now.daemon_running,
        active_runs=now.running,
        queued_runs=now.queued,
        total_runs=now.total,
        uptime_seconds=daemon.uptime_seconds,
        version=daemon.info.version,
    )


@router.get("/{run_id}", response_model=RunAnswer, responses=documented(404, 503))
async def show(run_id: str, workflows: Workflows) -> RunAnswer:
    """One run."""
    return RunAnswer.of(await workflows.get(run_id))


@router.get("/{run_id}/status", response_model=RunStatusAnswer, responses=documented(404, 503))
async def run_status(run_id: str, workflows: Workflows) -> RunStatusAnswer:
    """Where one run stands."""
    run = await workflows.get(run_id)
    return RunStatusAnswer(
        id=run.id, status=run.status, returncode=run.returncode, reason=run.reason
    )


@router.post("/{run_id}/stop", response_model=StopAnswer, responses=documented(404, 503))
async def stop(run_id: str, workflows: Workflows) -> StopAnswer:
    """Stop a run: SIGTERM to its process group, SIGKILL after the grace period."""
    run, signal = await workflows.stop(run_id)
    return stop_answer(run, signal.name if signal else None)


@router.get(
    "/{run_id}/logs",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Text, or events when `Accept` asks for them",
            "content": {"text/plain": {"schema": {"type": "string"}}, **NDJSON_CONTENT},
        },
        **documented(404, 422, 503),
    },
)
async def logs(
    run_id: str,
    workflows: Workflows,
    position: Position,
    follow: Annotated[bool, Query(description="Go on until the run is over")] = False,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """What a run has printed; with `follow`, what it prints until it is over."""
    run = await workflows.get(run_id)
    if NDJSON in accept:
        events = log_events(workflows, run, position, live=follow)
        return StreamingResponse((ndjson(event) async for event in events), media_type=NDJSON)
    pieces = workflows.follow(run, offsets=position.offsets, streams=position.streams, live=follow)
    return StreamingResponse(
        (piece.text.encode() async for piece in pieces), media_type="text/plain; charset=utf-8"
    )


def _finished(workflows: WorkflowService, run: Run, limit: int) -> ExecuteAnswer:
    output = workflows.output(run, limit)
    return ExecuteAnswer(
        job_id=run.id,
        status=run.status,
        output=output.stdout.decode("utf-8", "replace"),
        error=output.stderr.decode("utf-8", "replace"),
        returncode=run.returncode,
        truncated=output.truncated,
    )


async def _streamed(request: Request, workflows: WorkflowService, body: ExecuteRequest) -> Response:
    """Events of a run that ends when the client leaves."""
    started: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
    running = asyncio.ensure_future(
        workflows.execute(
            body.command,
            timeout=body.timeout,
            env=body.env,
            cwd=body.cwd,
            on_start=started.set_result,
        )
    )
    try:
        await unless_client_leaves(request.receive, _either(running, started))
        if not started.done():  # refused: the answer is an error, or an end without a start
            started.set_result(await running)
    except BaseException:
        running.cancel()
        raise
    return StreamingResponse(_events(workflows, started.result(), running), media_type=NDJSON)


async def _either(*futures: asyncio.Future[Run]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


async def _events(
    workflows: WorkflowService, run: Run, running: asyncio.Future[Run]
) -> AsyncIterator[bytes]:
    reached = 0
    try:
        yield ndjson(start_event(run))
        async for piece in workflows.follow(run):
            if piece.stream is Stream.STDOUT:
                reached = piece.offset
            yield ndjson(event("log", piece.text, stream=piece.stream, offset=piece.offset))
        yield ndjson(end_event(await asyncio.shield(running), reached))
    finally:
        # Reached early when the client leaves: nobody waits for the command any more.
        running.cancel()
