"""The shim with a fault in its new stack: `python planted.py FAULT SERVE-OPTIONS…`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from cli.main import main
from compat import adapters, contract, guard, handlers, legacy_json
from fastapi_app.engine.attempts import Attempts
from fastapi_app.models import Command, Run


def field() -> None:
    """An adapter writes one field another way."""
    right = adapters.command

    def wrong(stored: Command) -> dict[str, Any]:
        return right(stored) | {"group": stored.group}

    adapters.command = wrong


def status() -> None:
    """A refusal has another status."""
    right = handlers.RefusedError.__init__

    def wrong(self: handlers.RefusedError, status: int, message: str) -> None:
        right(self, 400 if message == handlers.NO_WORKFLOW else status, message)

    handlers.RefusedError.__init__ = wrong  # type: ignore[method-assign]


def header() -> None:
    """Answers carry one header more."""
    right = contract._send

    async def wrong(send: Any, reply: Any) -> None:  # noqa: ANN401
        async def more(message: Any) -> None:  # noqa: ANN401
            if message["type"] == "http.response.start":
                message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        await right(more, reply)

    contract._send = wrong


def newline() -> None:
    """Bodies lack their last byte."""
    right = legacy_json.dumps
    legacy_json.dumps = lambda value: right(value).rstrip(b"\n")


def stuck() -> None:
    """Nobody sees a process end: its run goes on for ever."""

    def wrong(*_: object) -> asyncio.Future[Run]:
        return asyncio.get_running_loop().create_future()

    Attempts.until_over = wrong  # type: ignore[method-assign, assignment]


def unguarded() -> None:
    """The guard refuses nothing."""
    guard.Rules.broken = lambda *_: None  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    "field": field,
    "status": status,
    "header": header,
    "newline": newline,
    "stuck": stuck,
    "unguarded": unguarded,
}

if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    main()
