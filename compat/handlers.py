"""What answers each old route in stage `new`: read the old way, one call of a service, answer."""

from __future__ import annotations

import time
from typing import Any

from compat import adapters
from compat.call import Call
from compat.legacy_json import Reply, error, reply
from fastapi_app.errors import (
    CommandInactiveError,
    CommandNotFoundError,
    ProcessNotFoundError,
    ProcessRunningError,
    RunNotFoundError,
)
from fastapi_app.leaving import unless_client_leaves
from fastapi_app.models import Command, Process, RunRequest, Stream
from fastapi_app.observability import CALLER, Caller
from fastapi_app.supervision import ManagedProcess
from legacy_flask import inputs
from legacy_flask.views import moment

STOPPED = "daemon is stopped"
NO_COMMAND = "Command not found"
NO_PROCESS = "Process not found"
NO_WORKFLOW = "workflow not found"


class RefusedError(Exception):
    """An answer of the contract that is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.reply = error(status, message)


async def index(call: Call) -> Reply:
    """`GET /`."""
    running = await call.services.daemon.running()
    return reply(
        service=adapters.SERVICE,
        version=adapters.VERSION,
        status="running" if running else "stopped",
        endpoints=call.endpoints,
    )


async def health(call: Call) -> Reply:
    """`GET /health`."""
    now = await call.services.daemon.snapshot()
    return reply(
        status="healthy",
        service=adapters.SERVICE,
        timestamp=moment(time.time()),
        active_commands=now.active_executes,
    )


async def status(call: Call) -> Reply:
    """`GET /status`."""
    daemon = call.services.daemon
    now = await daemon.snapshot()
    return call.status_text.reply(now, daemon.uptime_seconds)


async def execute(call: Call) -> Reply:
    """`POST /execute`."""
    body = await call.json_object()
    await require_running(call)
    text = inputs.command(body)
    reference = None if text else reference_of(body)
    args, timeout = inputs.args(body), inputs.timeout(body)
    limit = call.settings.command_timeout if timeout is None else timeout
    workflows = call.services.workflows
    if reference is None:
        running = workflows.execute(text or "", RunRequest(timeout=limit))
    else:
        running = workflows.execute_stored(
            await active_command(call, *reference), args, timeout=limit
        )
    run = await unless_client_leaves(call.receive, running)
    return adapters.outcome(run, limit, call.services.runs)


async def list_commands(call: Call) -> Reply:
    """`GET /commands`."""
    inactive_too = inputs.is_true(call.query("all"))
    commands = await call.services.commands.summaries(include_inactive=inactive_too)
    return reply(commands=[adapters.command(c) for c in commands], total=len(commands))


async def show_command(call: Call) -> Reply:
    """`GET /commands/<id>`."""
    command = await _command(call, "command_id", call.parameters["id"])
    return reply(**adapters.command(command), code=command.code)


async def start_workflow(call: Call) -> Reply:
    """`POST /workflow/start`."""
    body = await call.json_object()
    await require_running(call)
    name = inputs.word(body, "name")
    if name is None:
        raise RefusedError(400, "name required")
    args, env = inputs.args(body), inputs.environment(body, "env")
    unknown = RefusedError(404, f"workflow '{name}' not found")
    if not inputs.is_storable(name):
        raise unknown
    try:
        run = await call.services.workflows.start(name, args, RunRequest(env=env, bare=True))
    except (CommandNotFoundError, CommandInactiveError):
        raise unknown from None
    run = await call.services.workflows.until_started(run)
    started_at = moment(run.started_at or run.created_at)
    return reply(id=run.id, name=run.name, status="running", started_at=started_at)


async def stop_workflow(call: Call) -> Reply:
    """`POST /workflow/stop`."""
    body = await call.json_object()
    run_id, name = stop_target(body)
    wanted, runs = run_id or name, call.services.runs
    try:
        if not inputs.is_storable(wanted):
            raise RunNotFoundError(wanted)
        run = await (runs.stop_workflow(wanted) if run_id else runs.stop_named(wanted))
    except RunNotFoundError:
        raise RefusedError(404, NO_WORKFLOW) from None
    return reply(id=run.id, name=run.name, status=adapters.workflow_status(run.status))


async def start_daemon(call: Call) -> Reply:
    """`POST /daemon/start`."""
    _tell_who_asks(call)
    changed = await call.services.daemon.start()
    return reply(status="started" if changed else "already_running")


async def stop_daemon(call: Call) -> Reply:
    """`POST /daemon/stop`."""
    _tell_who_asks(call)
    changed = await call.services.daemon.stop()
    return reply(status="stopped" if changed else "already_stopped")


def _tell_who_asks(call: Call) -> None:
    """Let the audit log know: old calls do not go through what tells it of the new ones."""
    client = call.scope.get("client")
    CALLER.set(Caller("", client[0] if client else "", {}))


async def list_processes(call: Call) -> Reply:
    """`GET /processes`."""
    ended_too = inputs.is_true(call.query("all"))
    found = [p for p in await call.services.processes.all() if ended_too or p.running]
    return reply(processes=[adapters.process(p) for p in found], total=len(found))


async def create_process(call: Call) -> Reply:
    """`POST /processes`."""
    body = await call.json_object()
    process = await _create(call, body)
    if not body.get("auto_start"):
        return reply(id=process.id, name=process.name, status="created")
    await call.services.processes.start(process.id)
    return reply(id=process.id, name=process.name, status="starting")


async def run_process(call: Call) -> Reply:
    """`POST /processes/run`."""
    body = await call.json_object()
    process = await _create(call, body)
    processes = call.services.processes
    run = await processes.start(process.id)
    if is_detached(body):
        return reply(id=process.id, name=process.name, status="running")
    run = await unless_client_leaves(call.receive, processes.wait(run))
    fields: dict[str, object] = {
        "id": process.id,
        "name": process.name,
        "status": adapters.process_status(ManagedProcess(process, run)),
        "exit_code": run.returncode,
    }
    return adapters.with_output(fields, run, call.services.runs, stdout="stdout", stderr="stderr")


async def show_process(call: Call) -> Reply:
    """`GET /processes/<id>`."""
    managed = await managed_process(call)
    usage = call.services.processes.usage(managed)
    return reply(**adapters.process_in_full(managed, usage))


async def start_process(call: Call) -> Reply:
    """`POST /processes/<id>/start`."""
    managed = await managed_process(call)
    await call.services.processes.start(managed.process.id)
    return reply(status="started")


async def stop_process(call: Call) -> Reply:
    """`POST /processes/<id>/stop`."""
    managed = await managed_process(call)
    await call.services.processes.stop(managed.process.id)
    return reply(status="stopped")


async def kill_process(call: Call) -> Reply:
    """`POST /processes/<id>/kill`."""
    managed = await managed_process(call)
    await call.services.processes.stop(managed.process.id, kill=True)
    return reply(status="killed")


async def remove_process(call: Call) -> Reply:
    """`DELETE /processes/<id>`."""
    managed = await managed_process(call)
    force = inputs.is_true(call.query("force"))
    try:
        await call.services.processes.remove(managed.process.id, force=force)
    except ProcessRunningError:
        raise RefusedError(409, "Process is running") from None
    return reply(status="removed")


async def process_logs(call: Call) -> Reply:
    """`GET /processes/<id>/logs`."""
    lines = inputs.lines(call.query("lines"))
    managed = await managed_process(call)
    tail = call.services.processes.log_tail
    return reply(
        stdout=tail(managed, Stream.STDOUT, lines), stderr=tail(managed, Stream.STDERR, lines)
    )


async def require_running(call: Call) -> None:
    """Refuse while the daemon is stopped."""
    if not await call.services.daemon.running():
        raise RefusedError(503, STOPPED)


def reference_of(body: dict[str, Any]) -> tuple[str, str]:
    """Which field names the stored command, and what it says."""
    for key in ("command_id", "command_name"):
        value = inputs.word(body, key)
        if value is not None:
            return key, value
    raise RefusedError(400, "command, command_id or command_name required")


async def _command(call: Call, key: str, value: str) -> Command:
    commands = call.services.commands
    try:
        if not inputs.is_storable(value):
            raise CommandNotFoundError(value)
        return await (commands.get_by_id(value) if key == "command_id" else commands.get(value))
    except CommandNotFoundError:
        raise RefusedError(404, NO_COMMAND) from None


async def active_command(call: Call, key: str, value: str) -> Command:
    """The stored command that is meant, if it may be run."""
    command = await _command(call, key, value)
    if not command.is_active:
        raise RefusedError(404, NO_COMMAND)
    return command


async def _create(call: Call, body: dict[str, Any]) -> Process:
    return await call.services.processes.create(**process_fields(body))


def stop_target(body: dict[str, Any]) -> tuple[str, str]:
    """The id or else the name of the workflow to stop; the other one is empty.

    Raises:
        RefusedError: there is neither.
    """
    run_id = inputs.word(body, "id") or ""
    name = "" if run_id else inputs.word(body, "name") or ""
    if not (run_id or name):
        raise RefusedError(400, "id or name required")
    return run_id, name


def process_fields(body: dict[str, Any]) -> dict[str, Any]:
    """What a body says of a process that is to be made."""
    command = inputs.command(body)
    if command is None:
        raise RefusedError(400, "Command is required")
    return {
        "name": inputs.process_name(body, default_from=command),
        "command": command,
        "args": inputs.args(body),
        "working_dir": inputs.working_dir(body),
        "environment": inputs.environment(body, "environment"),
    }


def is_detached(body: dict[str, Any]) -> bool:
    """Whether the client does not wait for the end of the process."""
    detach = body.get("detach")
    return detach is None or bool(detach)


async def managed_process(call: Call) -> ManagedProcess:
    """The process of the path."""
    process_id = call.parameters["id"]
    try:
        if not inputs.is_storable(process_id):
            raise ProcessNotFoundError(process_id)
        return await call.services.processes.get(process_id)
    except ProcessNotFoundError:
        raise RefusedError(404, NO_PROCESS) from None
