"""`/api/v1/daemon/processes`: processes that are looked after. `{id}` is an id or a name."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Literal

from fastapi import Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from fastapi_app.dependencies.live import Live
from fastapi_app.dependencies.parameters import Cursor, Limit, LogPosition, SinceLife
from fastapi_app.dependencies.services import AllServices, Processes, Streaming
from fastapi_app.leaving import unless_client_leaves
from fastapi_app.models import Process, Run, Stream
from fastapi_app.routers.events import (
    LOG_CONTENT,
    Event,
    Reached,
    log_events,
    log_items_response,
)
from fastapi_app.routers.process_answers import process_answer, process_outcome
from fastapi_app.routing import Router
from fastapi_app.schemas.problems import documented
from fastapi_app.schemas.processes import (
    ProcessAnswer,
    ProcessChanges,
    ProcessList,
    ProcessOutcome,
    ProcessRequest,
    RunProcessRequest,
)
from fastapi_app.security import requires
from fastapi_app.services.live import LiveService, Piece
from fastapi_app.services.processes import ProcessService
from fastapi_app.supervision import ManagedProcess, ProcessState

PATH = "/api/v1/daemon/processes"
router = Router(prefix=PATH, tags=["processes"])

DESCRIBED = {"command": "command", "args": "args", "cwd": "working_dir", "env": "environment"}
"""The fields of a request that say what is to be run, and what the services call them."""


@router.post(
    "",
    dependencies=[requires("processes:write")],
    status_code=201,
    response_model=ProcessAnswer,
    responses=documented(400, 409, 413, 422, 503),
)
async def create(body: ProcessRequest, response: Response, processes: Processes) -> ProcessAnswer:
    """Describe a process; nothing is started."""
    process = await _create(processes, body, response)
    return process_answer(await processes.get(process.id))


@router.get(
    "",
    dependencies=[requires("processes:read")],
    response_model=ProcessList,
    responses=documented(422, 503),
)
async def list_processes(
    processes: Processes,
    state: Annotated[list[ProcessState], Query(description="May be repeated")] = [],  # noqa: B006
    name: Annotated[str | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ProcessList:
    """Processes, oldest first."""
    page = await processes.page(states=state, name=name, cursor=cursor, limit=limit)
    costs = await processes.usages(page.items)
    items = [process_answer(found, costs.get(found.process.id)) for found in page.items]
    return ProcessList(items=items, next_cursor=page.next_cursor)


@router.post(
    "/run",
    dependencies=[requires("processes:write")],
    status_code=201,
    response_model=ProcessOutcome,
    responses=documented(400, 409, 413, 422, 503),
)
async def run(
    body: RunProcessRequest, request: Request, response: Response, services: AllServices
) -> ProcessOutcome:
    """Make a process and start it; with `detach`: false answer once it is over."""
    processes = services.processes
    process = await _create(processes, body, response)
    begun = await processes.start(process.id)
    output = None
    if not body.detach:
        over = await unless_client_leaves(request.receive, processes.wait(begun))
        output = services.runs.output(over, services.settings.max_inline_output)
    return process_outcome(await processes.get(process.id), output)


@router.get(
    "/{id}",
    dependencies=[requires("processes:read")],
    response_model=ProcessAnswer,
    responses=documented(404, 409, 503),
)
async def show(id: str, processes: Processes) -> ProcessAnswer:  # noqa: A002 - the path's word
    """One process, and what it costs with all it has started."""
    return await _with_cost(processes, await processes.find(id))


@router.patch(
    "/{id}",
    dependencies=[requires("processes:write")],
    response_model=ProcessAnswer,
    responses=documented(400, 404, 409, 413, 422, 503),
)
async def change(id: str, body: ProcessChanges, processes: Processes) -> ProcessAnswer:  # noqa: A002
    """Change a process: what is run from its next start on, how it is looked after at once."""
    managed = await processes.find(id)
    said = body.model_fields_set
    changes = {DESCRIBED[name]: getattr(body, name) for name in DESCRIBED.keys() & said}
    if "args" in changes:
        changes["args"] = tuple(changes["args"])
    plan = body.plan(managed.known.plan if managed.known else None)
    return process_answer(await processes.change(managed.process.id, changes, plan))


@router.delete(
    "/{id}",
    dependencies=[requires("processes:write")],
    status_code=204,
    responses=documented(404, 409, 422, 503),
)
async def remove(
    id: str,  # noqa: A002
    processes: Processes,
    force: Annotated[bool, Query(description="Kill it first if it runs")] = False,
) -> None:
    """Forget a process; its runs and what they printed stay."""
    managed = await processes.find(id)
    await processes.remove(managed.process.id, force=force)


@router.post(
    "/{id}/start",
    dependencies=[requires("processes:write")],
    response_model=ProcessAnswer,
    responses=documented(404, 409, 503),
)
async def start(id: str, processes: Processes) -> ProcessAnswer:  # noqa: A002
    """Start a process, at once if it waits for a restart; one that runs goes on."""
    managed = await processes.find(id)
    await processes.start(managed.process.id)
    return await _with_cost(processes, await processes.get(managed.process.id))


@router.post(
    "/{id}/stop",
    dependencies=[requires("processes:write")],
    response_model=ProcessAnswer,
    responses=documented(404, 409, 503),
)
async def stop(id: str, processes: Processes) -> ProcessAnswer:  # noqa: A002
    """Stop a process with all it started: SIGTERM, SIGKILL later. It is not started again."""
    managed = await processes.find(id)
    await processes.stop(managed.process.id)
    return process_answer(await processes.get(managed.process.id))


@router.post(
    "/{id}/kill",
    dependencies=[requires("processes:write")],
    response_model=ProcessAnswer,
    responses=documented(404, 409, 503),
)
async def kill(id: str, processes: Processes) -> ProcessAnswer:  # noqa: A002
    """Stop a process with SIGKILL."""
    managed = await processes.find(id)
    await processes.stop(managed.process.id, kill=True)
    return process_answer(await processes.get(managed.process.id))


@router.post(
    "/{id}/restart",
    dependencies=[requires("processes:write")],
    response_model=ProcessAnswer,
    responses=documented(404, 409, 503),
)
async def restart(id: str, processes: Processes) -> ProcessAnswer:  # noqa: A002
    """Stop a process and start it again; one that does not run is started."""
    managed = await processes.find(id)
    await processes.restart(managed.process.id)
    return await _with_cost(processes, await processes.get(managed.process.id))


@router.get(
    "/{id}/logs",
    dependencies=[requires("processes:read")],
    response_class=StreamingResponse,
    responses={
        200: {"description": "Text, or events when `Accept` asks for them", "content": LOG_CONTENT},
        **documented(404, 409, 410, 422, 503),
    },
)
async def logs(
    id: str,  # noqa: A002
    processes: Processes,
    live: Live,
    ends: Streaming,
    since: SinceLife,
    lines: Annotated[
        int, Query(ge=0, le=1_000_000, description="The last so many of each stream")
    ] = 100,
    stream: Annotated[Literal["all", "stdout", "stderr"], Query()] = "all",
    follow: Annotated[bool, Query(description="Go on, through restarts, to its end")] = False,
    accept: Annotated[str, Header()] = "",
) -> StreamingResponse:
    """The last lines of its latest run; with `follow` what it prints, through all restarts.

    Whoever is cut off goes on with `since`. As events the output of each run begins with a `start`.
    """
    managed = await processes.find(id)
    if since is None:
        run = await processes.printed(managed)
        offsets = {} if run is None else processes.tail_offsets(run, lines)
    else:
        run, offsets = await processes.life(managed, since.run_id), since.offsets
    if run is not None:
        live.check_log(run)
    streams = tuple(Stream) if stream == "all" else (Stream(stream),)
    items = _printed(processes, live, run, LogPosition(streams, offsets), follow=follow)
    return log_items_response(items, accept, ends)


async def _printed(
    processes: ProcessService,
    live: LiveService,
    run: Run | None,
    position: LogPosition,
    *,
    follow: bool,
) -> AsyncGenerator[tuple[Piece | Event, Reached], None]:
    while run is not None:
        async for item in log_events(live, run, position, follow=follow, of_several=True):
            yield item
        run = await processes.run_after(run) if follow else None
        position = LogPosition(position.streams, {})


async def _create(processes: ProcessService, body: ProcessRequest, response: Response) -> Process:
    process = await processes.create(
        body.chosen_name(),
        body.command,
        body.args,
        working_dir=body.cwd,
        environment=body.env,
        plan=body.plan(),
    )
    response.headers["Location"] = f"{PATH}/{process.id}"
    return process


async def _with_cost(processes: ProcessService, managed: ManagedProcess) -> ProcessAnswer:
    costs = await processes.usages([managed])
    return process_answer(managed, costs.get(managed.process.id))
