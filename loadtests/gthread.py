"""gunicorn's settings for the old daemon: 2 workers of 8 threads. Says when all of them answer."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from legacy_flask.app import create_app
from legacy_flask.database import Database

if TYPE_CHECKING:
    from flask import Flask

workers = 2
worker_class = "gthread"
threads = 8
loglevel = "warning"
# It lies in the user's own home folder.
control_socket_disable = True

_started = multiprocessing.Value("i", 0)


class Worker(Protocol):
    """A worker process, as far as it matters here."""

    sockets: list[object]


def app() -> Flask:
    """Build the old daemon over the state below `MCLI_HOME`; each worker has its own."""
    return create_app(Path(os.environ["MCLI_HOME"]))


def on_starting(_server: object) -> None:
    """Make the database before there are workers: two that make it at once meet a lock."""
    home = Path(os.environ["MCLI_HOME"])
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(home)
    database.create_tables()
    database.engine.dispose()  # a connection must not be inherited


def post_worker_init(worker: Worker) -> None:
    """Print the URL once the last worker has loaded the application."""
    with _started.get_lock():
        _started.value += 1
        if _started.value == workers:
            # gunicorn's sockets show as their URL.
            sys.stdout.write(f"legacy daemon  {worker.sockets[0]}\n")
            sys.stdout.flush()
