"""Runs an ASGI application on listening sockets: bind first, say what listens, end cleanly."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
import uvloop
from starlette.types import ASGIApp

from fastapi_app import __version__, observability
from fastapi_app.app import create_app
from fastapi_app.connections import Gatekeeper, Limits
from fastapi_app.draining import STATE, Draining
from fastapi_app.errors import StartupError, StorageUnavailableError
from fastapi_app.http1 import TolerantHttp
from fastapi_app.settings import PREFIX, SECRET, Settings
from fastapi_app.websocket import DroppableWebSocket

BACKLOG = 2048


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
        for name in SECRET:  # commands inherit the environment, and print it
            os.environ.pop(f"{PREFIX}{name.upper()}", None)
        observability.set_up(plan.settings.log_level, plan.settings.log_format)
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
        self._draining = Draining()
        self._drain_delay = plan.settings.drain_delay
        self._end_at: float | None = None
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
        self.lifespan.state[STATE] = self._draining  # each request's own state is a copy
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

        SIGTERM is a service manager's: whoever sends requests here may first have to notice. A
        second one, or a person's Ctrl-C, ends that. uvicorn would raise the signal again at the
        end, before anything could be closed.
        """
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        if sig == signal.SIGTERM and self._drain_delay and not self._draining.begun:
            self._end_at = time.monotonic() + self._drain_delay
        else:
            self.should_exit = True
        self._draining.begun = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to end now: told so, and long enough ago."""
        if self._end_at is not None and time.monotonic() >= self._end_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, end streams, close WebSockets with 1012, wait for the rest."""
        self._draining.end_streams()
        await super().shutdown(sockets)
