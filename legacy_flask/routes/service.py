"""The daemon itself: what it is, how it does, stopped and started."""

from __future__ import annotations

import time

from flask import Blueprint, Response, current_app, jsonify

from legacy_flask import views
from legacy_flask.services import services

VERSION = "1.0.0"
ENDPOINTS = sorted(
    [
        "GET /",
        "GET /health",
        "GET /status",
        "POST /execute",
        "GET /commands",
        "GET /commands/<id>",
        "POST /workflow/start",
        "POST /workflow/stop",
        "POST /daemon/start",
        "POST /daemon/stop",
        "GET /processes",
        "POST /processes",
        "POST /processes/run",
        "GET /processes/<id>",
        "DELETE /processes/<id>",
        "POST /processes/<id>/start",
        "POST /processes/<id>/stop",
        "POST /processes/<id>/kill",
        "GET /processes/<id>/logs",
    ]
)

blueprint = Blueprint("service", __name__)


@blueprint.get("/")
def index() -> Response:
    """Say what this is and what it answers to."""
    running = services().state.is_running()
    return jsonify(
        service="MCLI Daemon",
        version=VERSION,
        status="running" if running else "stopped",
        endpoints=ENDPOINTS,
    )


@blueprint.get("/health")
def health() -> Response:
    """Say that it is there."""
    activity = services().runs.activity()
    return jsonify(
        status="healthy",
        service="MCLI Daemon",
        timestamp=views.moment(time.time()),
        active_commands=activity.executing,
    )


@blueprint.get("/status")
def status() -> Response:
    """Say what it does at this moment."""
    shared = services()
    activity = shared.runs.activity()
    config = current_app.config
    return jsonify(
        running=shared.state.is_running(),
        active_commands=activity.executing,
        active_workflows=[
            {"id": run.id, "name": run.name, "status": views.run_status(run), "pid": run.pid}
            for run in activity.workflows
        ],
        command_history_count=activity.executed,
        uptime_seconds=round(time.monotonic() - shared.started, 3),
        config={
            "host": config["HOST"],
            "port": config["PORT"],
            "command_timeout": config["COMMAND_TIMEOUT"],
            "max_concurrent_commands": config["MAX_CONCURRENT_COMMANDS"],
        },
    )


@blueprint.post("/daemon/start")
def start() -> Response:
    """Accept commands again."""
    changed = services().state.set("running")
    return jsonify(status="started" if changed else "already_running")


@blueprint.post("/daemon/stop")
def stop() -> Response:
    """Refuse commands; what runs goes on, and so does the server."""
    changed = services().state.set("stopped")
    return jsonify(status="stopped" if changed else "already_stopped")
