"""The strangler table: one row per route of the old contract."""

from __future__ import annotations

from typing import Any

from compat import handlers, rehearsals
from compat.call import Handler
from compat.diff import Shape, Volatile
from compat.fields import Field, Kind
from compat.table import RouteTable, Row

__all__ = ["ROWS", "RouteTable", "Row", "route_table"]

DEPRECATED = 1767225600  # Thu, 01 Jan 2026 00:00:00 GMT
SUNSET = 1798761600  # Fri, 01 Jan 2027 00:00:00 GMT
WORKFLOWS = "/api/v1/workflows"
COMMANDS = "/api/v1/commands"
PROCESSES = "/api/v1/daemon/processes"


def _never_the_same(prefix: str = "", **shapes: Shape) -> tuple[Volatile, ...]:
    return tuple(Volatile(f"{prefix}/{name}", shape) for name, shape in shapes.items())


def _fields(**kinds: Kind) -> tuple[Field, ...]:
    return tuple(Field(name, kind) for name, kind in kinds.items())


def _row(method: str, path: str, handler: Handler, successor: str, **more: Any) -> Row:  # noqa: ANN401
    return Row(method, path, handler, successor, DEPRECATED, SUNSET, **more)


_ID, _MOMENT, _NUMBER = Shape.ID, Shape.MOMENT, Shape.NUMBER
_COMMAND = {"created_at": _MOMENT, "updated_at": _MOMENT, "last_executed": _MOMENT}
_PROCESS = {"pid": _NUMBER, "created_at": _MOMENT, "started_at": _MOMENT, "finished_at": _MOMENT}

_ALL = _fields(all=Kind.TRUTH)
_MAKING = {
    "command": Kind.COMMAND,
    "name": Kind.NAME,
    "args": Kind.TEXTS,
    "working_dir": Kind.FOLDER,
    "environment": Kind.MAP,
}

ROWS = (
    _row("GET", "/", handlers.index, "/api/v1/daemon/status"),
    _row("GET", "/health", handlers.health, "/livez", volatile=_never_the_same(timestamp=_MOMENT)),
    _row(
        "GET",
        "/status",
        handlers.status,
        f"{WORKFLOWS}/status",
        volatile=(
            *_never_the_same(uptime_seconds=_NUMBER),
            *_never_the_same("/active_workflows/*", id=_ID, pid=_NUMBER),
        ),
    ),
    _row(
        "POST",
        "/execute",
        handlers.execute,
        f"{WORKFLOWS}/execute",
        volatile=_never_the_same(execution_time_ms=_NUMBER),
        body=_fields(
            command=Kind.COMMAND,
            command_id=Kind.NAME,
            command_name=Kind.NAME,
            args=Kind.TEXTS,
            timeout=Kind.SECONDS,
        ),
        rehearsal=rehearsals.execute,
    ),
    _row(
        "GET",
        "/commands",
        handlers.list_commands,
        f"{COMMANDS}/list",
        volatile=_never_the_same("/commands/*", **_COMMAND),
        query=_ALL,
    ),
    _row(
        "GET",
        "/commands/<id>",
        handlers.show_command,
        f"{COMMANDS}/{{name}}",
        volatile=_never_the_same(**_COMMAND),
    ),
    _row(
        "POST",
        "/workflow/start",
        handlers.start_workflow,
        f"{WORKFLOWS}/start",
        volatile=_never_the_same(id=_ID, started_at=_MOMENT),
        body=_fields(name=Kind.NAME, args=Kind.TEXTS, env=Kind.MAP),
        rehearsal=rehearsals.start_workflow,
    ),
    _row(
        "POST",
        "/workflow/stop",
        handlers.stop_workflow,
        f"{WORKFLOWS}/{{id}}/stop",
        volatile=_never_the_same(id=_ID),
        body=_fields(id=Kind.NAME, name=Kind.NAME),
        rehearsal=rehearsals.stop_workflow,
    ),
    _row(
        "POST",
        "/daemon/start",
        handlers.start_daemon,
        "/api/v1/daemon/start",
        rehearsal=rehearsals.switch_daemon,
    ),
    _row(
        "POST",
        "/daemon/stop",
        handlers.stop_daemon,
        "/api/v1/daemon/stop",
        rehearsal=rehearsals.switch_daemon,
    ),
    _row(
        "GET",
        "/processes",
        handlers.list_processes,
        PROCESSES,
        volatile=_never_the_same("/processes/*", **_PROCESS),
        query=_ALL,
    ),
    _row(
        "POST",
        "/processes",
        handlers.create_process,
        PROCESSES,
        volatile=_never_the_same(id=_ID),
        body=_fields(**_MAKING, auto_start=Kind.TRUTH),
        rehearsal=rehearsals.create_process,
    ),
    _row(
        "POST",
        "/processes/run",
        handlers.run_process,
        f"{PROCESSES}/run",
        volatile=_never_the_same(id=_ID),
        body=_fields(**_MAKING, detach=Kind.TRUTH),
        rehearsal=rehearsals.run_process,
    ),
    _row(
        "GET",
        "/processes/<id>",
        handlers.show_process,
        f"{PROCESSES}/{{id}}",
        volatile=_never_the_same(**_PROCESS, cpu_percent=_NUMBER, memory_mb=_NUMBER),
    ),
    _row(
        "DELETE",
        "/processes/<id>",
        handlers.remove_process,
        f"{PROCESSES}/{{id}}",
        query=_fields(force=Kind.TRUTH),
        rehearsal=rehearsals.remove_process,
    ),
    _row(
        "POST",
        "/processes/<id>/start",
        handlers.start_process,
        f"{PROCESSES}/{{id}}/start",
        rehearsal=rehearsals.act_on_process,
    ),
    _row(
        "POST",
        "/processes/<id>/stop",
        handlers.stop_process,
        f"{PROCESSES}/{{id}}/stop",
        rehearsal=rehearsals.act_on_process,
    ),
    _row(
        "POST",
        "/processes/<id>/kill",
        handlers.kill_process,
        f"{PROCESSES}/{{id}}/kill",
        rehearsal=rehearsals.act_on_process,
    ),
    _row(
        "GET",
        "/processes/<id>/logs",
        handlers.process_logs,
        f"{PROCESSES}/{{id}}/logs",
        query=_fields(lines=Kind.COUNT),
    ),
)


def route_table() -> RouteTable:
    """The table as it is now."""
    return RouteTable(ROWS)
