"""What the new stack would do and answer where the old one has done it already.

A call that has an effect must not be executed twice. So the new stack reads and checks it as ever,
finds what it means, states what it would run, and replays what the old stack recorded through the
adapters of its own answers. Nothing is written, started or stopped here.
"""

from __future__ import annotations

from compat import adapters
from compat.call import Call, Recorded
from compat.handlers import (
    NO_WORKFLOW,
    STOPPED,
    RefusedError,
    active_command,
    is_detached,
    managed_process,
    process_fields,
    reference_of,
    stop_target,
)
from compat.legacy_json import Reply, dumps, error, reply
from fastapi_app.errors import (
    CommandInactiveError,
    CommandNotFoundError,
    ProcessNotFoundError,
    RunNotFoundError,
)
from fastapi_app.models import Run, RunFilter, RunKind, RunRequest
from fastapi_app.supervision import ManagedProcess
from legacy_flask import inputs
from legacy_flask.views import moment

RUN_ID = "run_id"
"""The mark by which the old stack tells which run it started."""
STARTED = Reply(200, dumps({"rehearsal": "the new stack would have run it"}))
"""The answer where the old stack ran nothing and the new one would have: it equals no other."""
SWITCHED = {
    "/daemon/stop": ("stopped", "already_stopped"),
    "/daemon/start": ("started", "already_running"),
}
RUNS = "Process is running"
DONE = {"start": "started", "stop": "stopped", "kill": "killed"}


async def execute(call: Call) -> Reply:
    """`POST /execute`."""
    body = await call.json_object()
    _require_running(call)
    text = inputs.command(body)
    reference = None if text else reference_of(body)
    args, timeout = inputs.args(body), inputs.timeout(body)
    limit = call.settings.command_timeout if timeout is None else timeout
    workflows, request = call.services.workflows, RunRequest(timeout=limit)
    if reference is None:
        planned = workflows.execution_of(text or "", request)
    else:
        command = await active_command(call, *reference)
        planned = workflows.run_of(RunKind.EXECUTE, command, args, request)
    recorded = _recorded(call)
    run = await _started(call, recorded.marks.get(RUN_ID, ""))
    if run is None:
        return STARTED
    recorded.planned, recorded.did = _effect(planned), _effect(run)
    printed = {"output": recorded.field("output"), "error": recorded.field("error")}
    return reply(**{**printed, **adapters.outcome_fields(run, limit)})


async def start_workflow(call: Call) -> Reply:
    """`POST /workflow/start`."""
    body = await call.json_object()
    _require_running(call)
    name = inputs.word(body, "name")
    if name is None:
        raise RefusedError(400, "name required")
    args, env = inputs.args(body), inputs.environment(body, "env")
    try:
        if not inputs.is_storable(name):
            raise CommandNotFoundError(name)
        command = await call.services.commands.get(name)
        planned = call.services.workflows.run_of(
            RunKind.WORKFLOW, command, args, RunRequest(env=env)
        )
    except (CommandNotFoundError, CommandInactiveError):
        raise RefusedError(404, f"workflow '{name}' not found") from None
    recorded = _recorded(call)
    run = await _started(call, recorded.field("id"))
    if run is None:
        return STARTED
    recorded.planned, recorded.did = _effect(planned), _effect(run)
    started_at = moment(run.started_at or run.created_at)
    return reply(id=run.id, name=planned.name, status="running", started_at=started_at)


async def stop_workflow(call: Call) -> Reply:
    """`POST /workflow/stop`."""
    body = await call.json_object()
    run_id, name = stop_target(body)
    recorded = _recorded(call)
    run = await _stopped(call, recorded.field("id") or run_id, name)
    if run is None:
        raise RefusedError(404, NO_WORKFLOW)
    recorded.planned = {"id": run_id} if run_id else {"name": name}
    recorded.did = {"id": run.id} if run_id else {"name": run.name}
    return reply(id=run.id, name=run.name, status=adapters.workflow_status(run.status))


async def switch_daemon(call: Call) -> Reply:
    """`POST /daemon/start` and `/daemon/stop`."""
    words = SWITCHED[call.scope["path"]]
    # Whether anything changed only the old stack can tell: it may have been changed back since.
    said = _recorded(call).field("status")
    return reply(status=said if said in words else words[0])


async def create_process(call: Call) -> Reply:
    """`POST /processes`."""
    body = await call.json_object()
    managed = await _created(call, process_fields(body))
    if managed is None:
        return STARTED
    status = "starting" if body.get("auto_start") else "created"
    return reply(id=managed.process.id, name=managed.process.name, status=status)


async def run_process(call: Call) -> Reply:
    """`POST /processes/run`."""
    body = await call.json_object()
    managed = await _created(call, process_fields(body))
    if managed is None or managed.run is None:
        return STARTED
    process = managed.process
    if is_detached(body):
        return reply(id=process.id, name=process.name, status="running")
    recorded = _recorded(call)
    return reply(
        id=process.id,
        name=process.name,
        status=adapters.process_status(managed),
        exit_code=managed.run.returncode,
        stdout=recorded.field("stdout"),
        stderr=recorded.field("stderr"),
    )


async def act_on_process(call: Call) -> Reply:
    """`POST /processes/<id>/start`, `/stop` and `/kill`."""
    try:
        await managed_process(call)
    except RefusedError:
        if _recorded(call).answer.status != 200:  # else it was removed since
            raise
    return reply(status=DONE[call.scope["path"].rpartition("/")[2]])


async def remove_process(call: Call) -> Reply:
    """`DELETE /processes/<id>`."""
    status = _recorded(call).answer.status
    removed = status == 200
    if status == 409:  # it ran then; by now it may be over, or gone
        raise RefusedError(409, RUNS)
    try:
        managed = await managed_process(call)
    except RefusedError:
        if removed:
            return reply(status="removed")
        raise
    if managed.running and not inputs.is_true(call.query("force")):
        raise RefusedError(409, RUNS)
    return error(500, "the process is still there") if removed else reply(status="removed")


def _recorded(call: Call) -> Recorded:
    if call.recorded is None:
        raise RuntimeError("a rehearsal needs what the old stack recorded")
    return call.recorded


def _require_running(call: Call) -> None:
    """Whether the daemon was running then, only the old stack's answer tells: it may not be now."""
    if _recorded(call).answer.status == 503:
        raise RefusedError(503, STOPPED)


def _effect(run: Run) -> dict[str, object]:
    """What a run runs."""
    return {
        "kind": str(run.kind),
        "name": run.name,
        "command": run.command,
        "command_id": run.command_id,
        "args": list(run.args),
        "env": dict(run.env),
        "cwd": run.cwd,
        "timeout": None if run.timeout is None else float(run.timeout),
    }


async def _run(call: Call, run_id: str) -> Run | None:
    try:
        return await call.services.runs.get(run_id) if run_id else None
    except RunNotFoundError:
        return None


async def _started(call: Call, run_id: str) -> Run | None:
    """The run that the old stack says it has started."""
    run = await _run(call, run_id)
    _recorded(call).lost = bool(run_id) and run is None
    return run


async def _stopped(call: Call, run_id: str, name: str) -> Run | None:
    """The workflow that was stopped, or would be."""
    if run_id:
        run = await _run(call, run_id) if inputs.is_storable(run_id) else None
        return run if run is not None and run.kind is RunKind.WORKFLOW else None
    if not inputs.is_storable(name):
        return None
    wanted = RunFilter(kinds=(RunKind.WORKFLOW,), name=name)
    page = await call.services.runs.page(wanted, limit=1)
    return page.items[0] if page.items else None


async def _created(call: Call, fields: dict[str, object]) -> ManagedProcess | None:
    """The process the old stack has made, held against what the new one would have."""
    recorded = _recorded(call)
    made = recorded.field("id")
    try:
        managed = await call.services.processes.get(made)
    except ProcessNotFoundError:
        recorded.lost = bool(made)
        return None
    process = managed.process
    recorded.planned = fields
    recorded.did = {
        "name": process.name,
        "command": process.command,
        "args": list(process.args),
        "working_dir": process.working_dir,
        "environment": dict(process.environment),
    }
    return managed
