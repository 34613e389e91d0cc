"""`/api/v1/workflows`: run commands, start workflows, list what ran."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from fastapi_app.dependencies.parameters import Cursor, Limit, Wanted
from fastapi_app.dependencies.services import AllServices, Daemon, Runs, Workflows
from fastapi_app.factory import Services
from fastapi_app.leaving import unless_client_leaves
from fastapi_app.models import Run, RunFilter, Stream
from fastapi_app.routers.events import (
    NDJSON,
    NDJSON_CONTENT,
    end_event,
    log_line,
    ndjson,
    start_event,
)
from fastapi_app.routing import Router
from fastapi_app.schemas.problems import documented
from fastapi_app.schemas.workflows import (
    CleanAnswer,
    CleanRequest,
    ExecuteAnswer,
    ExecuteRequest,
    RunAnswer,
    RunList,
    StartAnswer,
    StartRequest,
    WorkflowsStatus,
)
from fastapi_app.security import requires
from fastapi_app.services.live import LiveService
from fastapi_app.services.runs import RunService
from fastapi_app.services.workflows import WorkflowService

router = Router(prefix="/api/v1/workflows", tags=["workflows"])


@router.post(
    "/execute",
    dependencies=[requires("workflows:write")],
    response_model=ExecuteAnswer,
    response_model_exclude_none=True,
    responses={
        200: {
            "description": "The command is over; events with `stream`",
            "content": NDJSON_CONTENT,
        },
        202: {"model": ExecuteAnswer, "description": "Accepted, with `background`"},
        **documented(400, 404, 409, 413, 422, 503),
    },
)
async def execute(
    body: ExecuteRequest, request: Request, response: Response, services: AllServices
) -> ExecuteAnswer | Response:
    """Run shell text or a stored command: wait for its end, stream it, or do not wait."""
    workflows = services.workflows
    if body.background:
        run = await _accepted(workflows, body)
        response.status_code = 202
        response.headers["Location"] = f"/api/v1/workflows/{run.id}"
        return ExecuteAnswer(job_id=run.id, status=run.status)
    if body.stream:
        return await _streamed(request, services, body)
    running = _execution(workflows, body)
    run = await unless_client_leaves(request.receive, running)
    return _finished(services.runs, run, services.settings.max_inline_output)


@router.post(
    "/start",
    dependencies=[requires("workflows:write")],
    status_code=202,
    response_model=StartAnswer,
    responses=documented(400, 404, 409, 413, 422, 503),
)
async def start(body: StartRequest, response: Response, workflows: Workflows) -> StartAnswer:
    """Start a stored command in the background."""
    return _started(await workflows.start(body.name, body.args, body.request()), response)


@router.post(
    "/{run_id}/retry",
    dependencies=[requires("workflows:write")],
    status_code=202,
    response_model=StartAnswer,
    responses=documented(404, 409, 422, 503),
)
async def retry(run_id: str, response: Response, workflows: Workflows, runs: Runs) -> StartAnswer:
    """Start a new run like one that is over."""
    return _started(await workflows.retry(await runs.get(run_id)), response)


@router.get(
    "/list",
    dependencies=[requires("workflows:read")],
    response_model=RunList,
    responses=documented(422, 503),
)
async def list_runs(
    runs: Runs, wanted: Wanted, limit: Limit = 50, cursor: Cursor = None
) -> RunList:
    """Runs, newest first."""
    page = await runs.page(wanted, cursor=cursor, limit=limit)
    items = [RunAnswer.of(runs.shown(run)) for run in page.items]
    return RunList(items=items, next_cursor=page.next_cursor)


@router.post(
    "/clean",
    dependencies=[requires("workflows:write")],
    response_model=CleanAnswer,
    responses=documented(400, 413, 422, 503),
)
async def clean(body: CleanRequest, runs: Runs) -> CleanAnswer:
    """Forget ended runs and their logs; those of processes stay."""
    before = None if body.older_than is None else time.time() - body.older_than
    wanted = RunFilter(
        statuses=body.status, group=body.group, name=body.name, finished_before=before
    )
    cleaned = await runs.clean(wanted, dry_run=body.dry_run)
    return CleanAnswer(removed=cleaned.removed, bytes=cleaned.bytes)


@router.get(
    "/status",
    dependencies=[requires("workflows:read")],
    response_model=WorkflowsStatus,
    responses=documented(503),
)
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


async def _accepted(workflows: WorkflowService, body: ExecuteRequest) -> Run:
    if body.name is not None:
        return await workflows.start(body.name, body.args, body.request())
    return await workflows.accept(body.command or "", body.request())


async def _execution(
    workflows: WorkflowService,
    body: ExecuteRequest,
    on_start: Callable[[Run], None] | None = None,
) -> Run:
    if body.name is not None:
        return await workflows.execute_named(body.name, body.args, body.request(), on_start)
    return await workflows.execute(body.command or "", body.request(), on_start)


def _started(run: Run, response: Response) -> StartAnswer:
    response.headers["Location"] = f"/api/v1/workflows/{run.id}"
    return StartAnswer(job_id=run.id, name=run.name, status=run.status)


def _finished(runs: RunService, run: Run, limit: int) -> ExecuteAnswer:
    output = runs.output(run, limit)
    return ExecuteAnswer(
        job_id=run.id,
        status=run.status,
        output=output.stdout,
        error=output.stderr,
        returncode=run.returncode,
        truncated=output.truncated,
    )


async def _streamed(request: Request, services: Services, body: ExecuteRequest) -> Response:
    """Events of a run that ends when the client leaves."""
    started: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
    running = asyncio.ensure_future(_execution(services.workflows, body, started.set_result))
    try:
        await unless_client_leaves(request.receive, _either(running, started))
        if not started.done():  # refused: the answer is an error, or an end without a start
            started.set_result(await running)
    except BaseException:
        running.cancel()
        raise
    events = _events(services.live, started.result(), running)
    return StreamingResponse(events, media_type=NDJSON)


async def _either(*futures: asyncio.Future[Run]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


async def _events(
    live: LiveService, run: Run, running: asyncio.Future[Run]
) -> AsyncIterator[bytes]:
    reached = dict.fromkeys(Stream, 0)
    log = live.log(run, offsets=reached, streams=tuple(Stream))
    try:
        yield ndjson(start_event(run))
        async with contextlib.aclosing(log) as pieces:
            async for piece in pieces:
                reached[piece.stream] = piece.offset
                yield log_line(piece)
        yield ndjson(end_event(await asyncio.shield(running), reached[Stream.STDOUT]))
    finally:
        # Reached early when the client leaves: nobody waits for the command any more.
        running.cancel()
