"""Commands that the client waits for."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from legacy_flask import bodies, inputs, jobs, views
from legacy_flask.services import UnknownError, services

RUN_ID = "legacy.run_id"
"""Where a server around the app finds which run a request has started."""

blueprint = Blueprint("execute", __name__)


@blueprint.post("/execute")
def execute() -> Response:
    """Run a shell text or a stored command, and answer when it is over."""
    body = bodies.json_object()
    services().check_running()
    text = inputs.command(body)
    reference = None if text else _reference(body)
    args = inputs.args(body)
    timeout = inputs.timeout(body)
    if timeout is None:
        timeout = current_app.config["COMMAND_TIMEOUT"]
    job = _stored(*reference, args) if reference else jobs.shell_job(text or "")
    outcome = services().runner.execute(job, timeout)
    request.environ[RUN_ID] = outcome.run_id
    return jsonify(views.outcome(outcome, timeout))


def _reference(body: dict[str, Any]) -> tuple[str, str]:
    """Which column names the stored command, and its value."""
    for key, column in (("command_id", "id"), ("command_name", "name")):
        value = inputs.word(body, key)
        if value is not None:
            return column, value
    raise inputs.InputError("command, command_id or command_name required")


def _stored(column: str, value: str, args: list[str]) -> jobs.Job:
    row = services().commands.active(column, value) if inputs.is_storable(value) else None
    if row is None:
        raise UnknownError("Command not found")
    return jobs.stored_job("execute", row, args, {})
