"""Runs both stacks in one process: the old contract on its port, the new API on another."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from compat import unix_socket
from compat.app import open_app
from compat.guard import Rules
from compat.settings import DualSettings
from fastapi_app.serve import Plan, banner, bind, run, url_of


def serve(overrides: Mapping[str, Any]) -> int:
    """Serve until told to end; returns the exit code. `overrides` are settings from the command."""

    def plan() -> Plan:
        settings = DualSettings.load(**overrides)
        rules, path = Rules.of(settings), _socket_path(settings)
        new = bind(settings.host, settings.port, "MCLI_PORT")
        old = bind(settings.legacy_host, settings.legacy_port, "MCLI_LEGACY_PORT")
        app = open_app(
            settings,
            rules,
            legacy_port=old.getsockname()[1],
            documentation_base=url_of(new),
        )
        listeners = [new, old]
        return Plan(
            application=app if path is None else _with_socket(app, path, listeners),
            settings=settings,
            listeners=listeners,
            banner=banner(settings, new, _lines(old, path)),
        )

    return run(plan)


def _socket_path(settings: DualSettings) -> Path | None:
    """Where the unix socket goes; none in a home folder that is too deep, unless asked for.

    Raises:
        StartupError: it was asked for where none can be.
    """
    path = settings.socket_path
    if path is None or (settings.legacy_socket is None and unix_socket.is_too_long(path)):
        return None
    unix_socket.check(path)
    return path


@asynccontextmanager
async def _with_socket(
    app: AbstractAsyncContextManager[ASGIApp], path: Path, listeners: list[socket.socket]
) -> AsyncIterator[ASGIApp]:
    """The application, with one more listener as long as it is open."""
    async with app as opened:
        # Not sooner: the socket in a home folder is for the server that holds the folder.
        with unix_socket.listening(path) as listener:
            listeners.append(listener)
            yield opened


def _lines(old: socket.socket, path: Path | None) -> list[str]:
    lines = [f"  legacy API  {url_of(old)}   the old contract, unchanged"]
    if path is not None:
        lines.append(f"  unix socket {path}   the same, for this user alone")
    return lines
