"""Managed processes."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, current_app, jsonify, request

from legacy_flask import bodies, inputs, jobs, logs, views
from legacy_flask.services import UnknownError, services

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Row

blueprint = Blueprint("processes", __name__, url_prefix="/processes")


@blueprint.get("")
def list_processes() -> Response:
    """Those that run, or with `all=true` every one."""
    rows = services().processes.list(ended_too=inputs.is_true(request.args.get("all")))
    return jsonify(processes=[views.process(row) for row in rows], total=len(rows))


@blueprint.post("")
def create() -> Response:
    """Record a process, and start it at once with `auto_start`."""
    body = bodies.json_object()
    row = _create(body)
    if not body.get("auto_start"):
        return jsonify(id=row.id, name=row.name, status="created")
    services().runner.start_process(jobs.process_job(row))
    return jsonify(id=row.id, name=row.name, status="starting")


@blueprint.post("/run")
def run() -> Response:
    """Record a process and start it; without `detach` wait for its end."""
    body = bodies.json_object()
    row = _create(body)
    runner = services().runner
    run_id = runner.start_process(jobs.process_job(row))
    detach = body.get("detach")
    if run_id is None or detach is None or detach:
        return jsonify(id=row.id, name=row.name, status="running")
    runner.wait(run_id)
    row = _process(row.id)
    return jsonify(
        id=row.id,
        name=row.name,
        status=views.process_status(row),
        exit_code=row.returncode,
        stdout=logs.whole(_log(run_id, "out")),
        stderr=logs.whole(_log(run_id, "err")),
    )


@blueprint.get("/<id>")
def get_process(id: str) -> Response:  # noqa: A002 - the contract's word
    """One process with its surroundings and what it uses."""
    return jsonify(views.process_in_full(_process(id)))


@blueprint.post("/<id>/start")
def start(id: str) -> Response:  # noqa: A002
    """Start it, unless it runs."""
    services().runner.start_process(jobs.process_job(_process(id)))
    return jsonify(status="started")


@blueprint.post("/<id>/stop")
def stop(id: str) -> Response:  # noqa: A002
    """SIGTERM, and SIGKILL for what has not ended 5 seconds later."""
    _end(_process(id), kill=False)
    return jsonify(status="stopped")


@blueprint.post("/<id>/kill")
def kill(id: str) -> Response:  # noqa: A002
    """SIGKILL."""
    _end(_process(id), kill=True)
    return jsonify(status="killed")


@blueprint.delete("/<id>")
def remove(id: str) -> Response | tuple[Response, int]:  # noqa: A002
    """Forget it; with `force=true` kill it first when it runs."""
    row = _process(id)
    force = inputs.is_true(request.args.get("force"))
    while not services().processes.remove(row.id):
        if not force:
            return jsonify(error="Process is running"), 409
        _end(_process(id), kill=True)
    return jsonify(status="removed")


@blueprint.get("/<id>/logs")
def get_logs(id: str) -> Response:  # noqa: A002
    """Show the last lines of both outputs of its latest run."""
    lines = inputs.lines(request.args.get("lines"))
    row = _process(id)
    if row.run_id is None:
        return jsonify(stdout="", stderr="")
    return jsonify(
        stdout=logs.tail(_log(row.run_id, "out"), lines),
        stderr=logs.tail(_log(row.run_id, "err"), lines),
    )


def _create(body: dict[str, Any]) -> Row[Any]:
    command = inputs.command(body)
    if command is None:
        raise inputs.InputError("Command is required")
    process_id = str(uuid.uuid4())
    values = {
        "id": process_id,
        "name": inputs.process_name(body, default_from=command),
        "command": command,
        "args": json.dumps(inputs.args(body)),
        "working_dir": inputs.working_dir(body),
        "environment": json.dumps(inputs.environment(body, "environment")),
        "created_at": time.time(),
    }
    services().processes.add(values)
    return _process(process_id)


def _process(process_id: str) -> Row[Any]:
    row = services().processes.get(process_id) if inputs.is_storable(process_id) else None
    if row is None:
        raise UnknownError("Process not found")
    return row


def _end(row: Row[Any], *, kill: bool) -> None:
    if row.run_id is not None:
        services().runner.stop(row.run_id, kill=kill)


def _log(run_id: str, ending: str) -> Path:
    home: Path = current_app.config["HOME"]
    return home / "logs" / f"{run_id}.{ending}"
