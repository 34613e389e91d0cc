"""The Flask application of the old daemon."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from flask import Flask, jsonify

from legacy_flask.database import Database
from legacy_flask.inputs import InputError
from legacy_flask.routes import commands, execute, processes, service, workflows
from legacy_flask.runner import Runner
from legacy_flask.runs import RunStore
from legacy_flask.services import EXTENSION, Services, StoppedError, UnknownError
from legacy_flask.store import CommandStore, ProcessStore, StateStore

if TYPE_CHECKING:
    from pathlib import Path

    from flask import Response

LARGEST_BODY_BYTES = 16 * 1024 * 1024


def create_app(
    home: Path,
    database_url: str | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 5005,
    command_timeout: int = 300,
    max_concurrent_commands: int = 1024,
    largest_body: int = LARGEST_BODY_BYTES,
    alone: bool = True,
) -> Flask:
    """Build the app over the state below `home`, and set the daemon to running.

    Not `alone`, another server in this process has set the daemon to running, and looks after
    what earlier servers left.

    `host` and `port` are only what `/status` shows; `app.config["PORT"]` may be set later.
    `command_timeout` is seconds. Raises OSError or sqlalchemy.exc.DBAPIError when the state
    cannot be opened.
    """
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=largest_body,
        HOME=home,
        HOST=host,
        PORT=port,
        COMMAND_TIMEOUT=command_timeout,
        MAX_CONCURRENT_COMMANDS=max_concurrent_commands,
    )
    app.extensions[EXTENSION] = _services(home, database_url, max_concurrent_commands, alone=alone)
    for module in (service, execute, commands, workflows, processes):
        app.register_blueprint(module.blueprint)
    app.register_error_handler(InputError, _refused)
    app.register_error_handler(UnknownError, _unknown)
    app.register_error_handler(StoppedError, _stopped)
    return app


def _services(home: Path, database_url: str | None, limit: int, *, alone: bool) -> Services:
    for folder in (home, home / "logs", home / "work"):
        folder.mkdir(parents=True, exist_ok=True)
    database = Database(home, database_url)
    database.create_tables()
    runs = RunStore(database)
    processes = ProcessStore(database)
    shared = Services(
        state=StateStore(database),
        commands=CommandStore(database),
        runs=runs,
        processes=processes,
        runner=Runner(runs, processes, home, limit),
        started=time.monotonic(),
    )
    if alone:
        shared.state.set("running")
        shared.runner.recover()
    return shared


def _refused(error: Exception) -> tuple[Response, int]:
    return jsonify(error=str(error)), 400


def _unknown(error: Exception) -> tuple[Response, int]:
    return jsonify(error=str(error)), 404


def _stopped(error: Exception) -> tuple[Response, int]:
    return jsonify(error=str(error)), 503
