"""What connections may take from the server: their number, the size of a head, time."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from typing import Protocol

from fastapi_app.errors import AppError
from fastapi_app.problems import MEDIA_TYPE, problem_response
from fastapi_app.settings import Settings

log = logging.getLogger(__name__)

MAX_TARGET = 64 * 1024 - 1
"""Bytes of a path with its query: as far as the parser counts; the old server took a few less."""
MIN_RATE = 500
"""Bytes a second by which a body must go on; what Apache's mod_reqtimeout asks for."""
AT_ONCE, PAUSE = 4, 0.005
"""Connections that are ended at once, and seconds until the next: others are not to wait."""
RESERVED = 0.2
"""The share of the process's files that connections leave to runs, logs and the database."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and seconds; the defaults are those of the settings."""

    headers: int = 200
    head_bytes: int = 256 * 1024
    discarded_bytes: int = 16 * 1024 * 1024
    """What of a body is still read, for the sake of the next request, once its answer is out."""
    connections: int = 10_000
    header_timeout: float = 10.0
    body_timeout: float = 30.0

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Those in the settings, with no more connections than the process may have files."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        room = settings.max_connections
        if files != resource.RLIM_INFINITY:
            room = min(room, max(1, int(files * (1 - RESERVED))))
        if room < settings.max_connections:
            log.warning(
                "this process may open %d files, so it takes %d connections (MCLI_MAX_CONNECTIONS"
                " is %d); raise its limit (ulimit -n, LimitNOFILE)",
                *(files, room, settings.max_connections),
            )
        return cls(
            headers=settings.max_headers,
            head_bytes=settings.max_head_bytes,
            discarded_bytes=settings.max_body_bytes,
            connections=room,
            header_timeout=settings.header_timeout,
            body_timeout=settings.body_timeout,
        )


class Waiter(Protocol):
    """A connection that owes something: the rest of a head, or of a body."""

    def overdue(self) -> bool:
        """Whether it is ended now; else it has the same time once more."""


class Deadlines:
    """Connections in the order in which their time is up.

    All have the same time, so the order is that in which they came, and one timer serves them all.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: dict[Waiter, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, waiter: Waiter) -> None:
        """Count from now."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._seconds
        self._due[waiter] = due
        if self._timer is None:
            self._timer = loop.call_at(due, self._end, loop)

    def remove(self, waiter: Waiter) -> None:
        """It owes nothing any more."""
        self._due.pop(waiter, None)

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for waiter, due in list(islice(self._due.items(), AT_ONCE)):
            if due > now:
                break
            del self._due[waiter]
            if not waiter.overdue():
                self._due[waiter] = now + self._seconds
        self._timer = None
        if self._due:
            due = max(next(iter(self._due.values())), now + PAUSE)
            self._timer = loop.call_at(due, self._end, loop)


class Gatekeeper:
    """The limits of a server, and which of its connections owe it something."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.heads = Deadlines(limits.header_timeout)
        self.bodies = Deadlines(limits.body_timeout)


def refusal(error: AppError) -> bytes:
    """An answer for what never becomes a request, after which the connection is closed."""
    response = problem_response(error, "")
    content = json.loads(bytes(response.body))
    del content["instance"]
    body = json.dumps(content).encode()
    head = [
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    if error.retry_after is not None:
        head.append(f"retry-after: {error.retry_after}")
    return "\r\n".join([*head, "", ""]).encode() + body
