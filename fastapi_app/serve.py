"""Runs an ASGI application on listening sockets: bind first, say what listens, end cleanly."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
import uvloop
from starlette.types import ASGIApp

from fastapi_app import __version__
from fastapi_app.app import create_app
from fastapi_app.connections import Gatekeeper, Limits
from fastapi_app.errors import StartupError, StorageUnavailableError
from fastapi_app.http1 import TolerantHttp
from fastapi_app.settings import Settings
from fastapi_app.websocket import DroppableWebSocket

BACKLOG = 2048
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


Opened = AbstractAsyncContextManager[ASGIApp]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to serve: an application to be opened, where it listens, and what to say then."""

    application: Opened
    settings: Settings
    listeners: list[socket.socket]
    banner: str


def serve(overrides: Mapping[str, Any]) -> int:
    """Run the new app alone; returns the exit code. `overrides` are settings from the command."""

    def plan() -> Plan:
        settings = Settings.load(**overrides)
        listener = bind(settings.host, settings.port, "MCLI_PORT")
        return Plan(_opened(settings), settings, [listener], banner(settings, listener))

    return run(plan)


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[ASGIApp]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


def run(make_plan: Callable[[], Plan]) -> int:
    """Serve until told to end; returns the exit code. What prevents that is said in one line."""
    try:
        plan = make_plan()
        logging.basicConfig(level=plan.settings.log_level.upper(), format=LOG_FORMAT)
        uvloop.run(_serve(plan))
    except (StartupError, StorageUnavailableError) as error:
        print(f"mclictl serve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


async def _serve(plan: Plan) -> None:
    async with plan.application as app:
        await Server(app, plan).serve(sockets=plan.listeners)


def bind(host: str, port: int, setting: str) -> socket.socket:
    """A listening socket on `host` and `port` (0: a free one).

    Raises:
        StartupError: the address is taken or is not ours; names `setting`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        why = "is taken by another program" if taken else f"cannot be used: {error.strerror}"
        raise StartupError(
            f"port {port} on {host} {why}; choose another with {setting}."
        ) from error
    listener.set_inheritable(False)
    return listener


def url_of(listener: socket.socket) -> str:
    """The base URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def banner(settings: Settings, listener: socket.socket, more: Sequence[str] = ()) -> str:
    """What listens where, and what to try first."""
    url = url_of(listener)
    try_first = 'mclictl run "echo hi"'
    if url != "http://127.0.0.1:8000":
        try_first = f'mclictl --url {url} run "echo hi"'
    lines = [
        f"mcli-dualstack {__version__}, state in {settings.home}",
        f"  new API     {url}   documentation: {url}/docs",
        *more,
        f"Try: {try_first}",
        "Ctrl-C ends the server; background runs go on.",
    ]
    return "\n".join(lines)


class Server(uvicorn.Server):
    """uvicorn, with our banner once it listens, and an end that leaves room to clean up."""

    def __init__(self, app: ASGIApp, plan: Plan) -> None:
        self._banner = plan.banner
        gatekeeper = Gatekeeper(Limits.of(plan.settings))
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(TolerantHttp, gatekeeper=gatekeeper),  # type: ignore[arg-type]
                ws=DroppableWebSocket,
                ws_max_size=plan.settings.ws_max_message,
                # What many follow is encoded once for all of them.
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                backlog=BACKLOG,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=max(1, round(plan.settings.shutdown_grace)),
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        # What has been loaded stays: the collector need not look at it again and again.
        gc.freeze()
        # Fewer, larger collections: what a run leaves behind is rarely a cycle.
        gc.set_threshold(25_000, 20, 100)
        gc.enable()
        with contextlib.suppress(BrokenPipeError):
            print(self._banner, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """End cleanly; at the second Ctrl-C without waiting for answers in flight.

        uvicorn would raise the signal again at the end, before anything could be closed.
        """
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
