"""Stored commands that run in the background."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from legacy_flask import bodies, inputs, jobs, views
from legacy_flask.services import UnknownError, services

blueprint = Blueprint("workflows", __name__)


@blueprint.post("/workflow/start")
def start() -> Response:
    """Start a stored command and answer at once."""
    body = bodies.json_object()
    services().check_running()
    name = inputs.word(body, "name")
    if name is None:
        raise inputs.InputError("name required")
    args, env = inputs.args(body), inputs.environment(body, "env")
    row = services().commands.active("name", name) if inputs.is_storable(name) else None
    if row is None:
        raise UnknownError(f"workflow '{name}' not found")
    run = services().runner.start(jobs.stored_job("workflow", row, args, env))
    started_at = views.moment(run.started_at or run.created_at)
    return jsonify(id=run.id, name=run.name, status="running", started_at=started_at)


@blueprint.post("/workflow/stop")
def stop() -> Response:
    """Stop one by its id, or the latest of a name; answers when it is over."""
    body = bodies.json_object()
    run_id = inputs.word(body, "id")
    name = None if run_id else inputs.word(body, "name")
    wanted = run_id or name
    if wanted is None:
        raise inputs.InputError("id or name required")
    store = services().runs
    run = store.workflow(run_id=run_id, name=name) if inputs.is_storable(wanted) else None
    if run is not None:
        services().runner.stop(run.id)
        run = store.get(run.id)
    if run is None:
        raise UnknownError("workflow not found")
    return jsonify(id=run.id, name=run.name, status=views.run_status(run))
