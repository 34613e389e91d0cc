"""Live traffic as cases that can be replayed: while somebody listens, and without secrets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from starlette.types import Message, Receive, Scope

from compat.exchange import Kept
from compat.mismatches import without_secrets

BACKLOG = 1000
"""Cases that wait for a listener who is slow; more of them are lost to it."""
HIDDEN = b"redacted"
SECRET_HEADERS = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"x-api-key"})
LEFT_OUT = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"expect"})
"""Headers that belong to the connection and not to the request."""
REPLAYED_AT = "localhost"
"""The host of what is replayed, which every server knows as its own."""
NOTHING = ": recorded"
"""What replaces a command: replaying must not do again what was done."""


class Listener:
    """One who records: all routes, or one; `commands` keeps what was to be run."""

    def __init__(self, route: str | None, *, commands: bool) -> None:
        self.route = route
        self.commands = commands
        self.cases: asyncio.Queue[dict[str, Any]] = asyncio.Queue(BACKLOG)


class Recorder:
    """Tells every listener of each call, once its body is there."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()

    @property
    def listening(self) -> bool:
        return bool(self._listeners)

    async def cases(
        self, route: str | None = None, *, commands: bool = False
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Each call from now on, as a line of a corpus (see `compat.prove.cases`)."""
        listener = Listener(route, commands=commands)
        self._listeners.add(listener)
        try:
            while True:
                yield await listener.cases.get()
        finally:
            self._listeners.discard(listener)

    def recording(self, route: str, scope: Scope, receive: Receive) -> Receive:
        """The same, and listeners are told when the body is whole."""
        kept, told = Kept(), False

        async def receive_and_record() -> Message:
            nonlocal told
            message = await receive()
            if message["type"] == "http.request" and not told:
                kept.add(message)
                told = kept.whole
                if (body := kept.body) is not None:
                    self._tell(route, scope, body)
            return message

        if scope["method"] in {"GET", "HEAD", "DELETE"}:  # their bodies are never asked for
            self._tell(route, scope, b"")
            return receive
        return receive_and_record

    def _tell(self, route: str, scope: Scope, body: bytes) -> None:
        for listener in self._listeners:
            if listener.route in {None, route} and not listener.cases.full():
                listener.cases.put_nowait(_case(route, scope, body, commands=listener.commands))


def _case(route: str, scope: Scope, body: bytes, *, commands: bool) -> dict[str, Any]:
    query: bytes = scope["query_string"]
    target: bytes = scope["raw_path"] + (b"?" + query if query else b"")
    headers = [
        [name.decode("latin-1"), (HIDDEN if name in SECRET_HEADERS else value).decode("latin-1")]
        for name, value in scope["headers"]
        if name not in LEFT_OUT
    ]
    headers.insert(0, ["Host", REPLAYED_AT])
    step: dict[str, Any] = {
        "method": scope["method"],
        "target": target.decode("latin-1"),
        "headers": headers,
    }
    if body:
        step["body"] = _redacted(body, commands=commands).decode("latin-1")
    return {"route": route, "steps": [step]}


def _redacted(body: bytes, *, commands: bool) -> bytes:
    """The body without secrets and, unless they are wanted, without commands."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        # It cannot be looked into, so all that is kept of it is that it is broken.
        return b"{"
    value = without_secrets(value)
    if isinstance(value, dict) and not commands and isinstance(value.get("command"), str):
        value["command"] = NOTHING
    return json.dumps(value).encode()
