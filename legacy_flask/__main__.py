"""Serves the old daemon alone: `python -m legacy_flask`."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from werkzeug.serving import WSGIRequestHandler, make_server

from legacy_flask.app import create_app
from legacy_flask.services import EXTENSION, Services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from werkzeug.serving import BaseWSGIServer

BACKLOG = 128
DRAIN_SECONDS = 5.0  # how long answers may still take after a stop
POLL_SECONDS = 0.05  # how soon a stop is noticed


class InFlight:
    """Counts the requests that are being answered."""

    def __init__(self) -> None:
        self._number = 0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        self._add(1)

    def __exit__(self, *_: object) -> None:
        self._add(-1)

    def wait_for_none(self, seconds: float) -> None:
        """Wait until all are answered, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._number == 0, seconds)

    def _add(self, difference: int) -> None:
        with self._changed:
            self._number += difference
            self._changed.notify_all()


class QuietHandler(WSGIRequestHandler):
    """Werkzeug's handler without a log line for each request."""

    disable_nagle_algorithm = True
    in_flight = InFlight()

    def run_wsgi(self) -> None:
        """Answer one request, and be counted meanwhile."""
        with self.in_flight:
            super().run_wsgi()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 1 when the port or the state cannot be had."""
    options = _parser().parse_args(arguments)
    try:
        listener = socket.create_server((options.host, options.port), backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        return _refuse(f"cannot listen on {options.host}:{options.port}: {_reason(error)}")
    with listener:
        port: int = listener.getsockname()[1]
        try:
            app = create_app(
                options.home,
                options.database_url,
                host=options.host,
                port=port,
                command_timeout=options.command_timeout,
                max_concurrent_commands=options.max_concurrent_commands,
            )
        except (OSError, DBAPIError, ArgumentError, NoSuchModuleError) as error:
            return _refuse(f"cannot open the state in {options.home}: {_reason(error)}")
        server = make_server(
            options.host,
            port,
            app,
            threaded=True,
            request_handler=QuietHandler,
            fd=listener.fileno(),
        )
    _serve(server, app.extensions[EXTENSION], f"http://{options.host}:{port}")
    return 0


def _serve(server: BaseWSGIServer, shared: Services, url: str) -> None:
    """Say where it listens, and answer until a signal says otherwise."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    serving = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,))
    serving.start()
    sys.stdout.write(f"legacy daemon  {url}\n")
    sys.stdout.flush()
    ended.wait()
    server.shutdown()
    serving.join()
    shared.runner.close()
    QuietHandler.in_flight.wait_for_none(DRAIN_SECONDS)


def _parser() -> argparse.ArgumentParser:
    home = os.environ.get("MCLI_HOME") or "~/.mcli-dualstack"
    parser = argparse.ArgumentParser(prog="legacy_flask", description="The old daemon.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5005, help="0 takes a free one")
    parser.add_argument("--home", type=_folder, default=home, help="folder of the state")
    parser.add_argument("--database-url", help="instead of SQLite below the home")
    parser.add_argument("--command-timeout", type=_positive, default=300, help="seconds")
    parser.add_argument("--max-concurrent-commands", type=_positive, default=1024)
    return parser


def _folder(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _reason(error: Exception) -> str:
    """Return the first line of what the system or the database says."""
    if isinstance(error, DBAPIError):
        return _first_line(str(error.orig or error))
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return _first_line(str(error) or type(error).__name__)


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _refuse(reason: str) -> int:
    sys.stderr.write(f"legacy daemon: {reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
