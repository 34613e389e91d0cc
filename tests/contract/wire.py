"""Sending steps over TCP, and hiding in the answers what may differ."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.contract.steps import VOLATILE, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

UUID = rb'"(?!00000000)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"'
TIME = rb'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"'
MASKS = [
    (rb"id", UUID),
    (rb"timestamp|created_at|updated_at|last_executed|started_at|finished_at", TIME),
    (rb"pid|execution_time_ms", rb"\d+"),
    (rb"uptime_seconds|cpu_percent|memory_mb", rb"\d+(?:\.\d+)?(?:e-?\d+)?"),
]
PAUSE_SECONDS = 0.01


@dataclass(frozen=True)
class Answer:
    """What a server sent back, and the seconds it took."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    seconds: float

    @property
    def allow(self) -> frozenset[str] | None:
        """The methods of `Allow`, whose order Flask leaves to chance."""
        header = self.headers["Allow"]
        return None if header is None else frozenset(re.split(r",\s*", header))

    def comparable(self, port: int) -> tuple[int, bytes, str | None, frozenset[str] | None]:
        """All that must be the same everywhere."""
        return self.status, mask(self.body, port), self.headers["Content-Type"], self.allow


def mask(body: bytes, port: int) -> bytes:
    """Replace volatile values, and the server's own port, where they stand."""
    body = body.replace(b'"port":%d}' % port, b'"port":"%b"}' % VOLATILE.encode())
    for keys, value in MASKS:
        body = re.sub(rb'"(%b)":%b(?=[,}])' % (keys, value), rb'"\1":"~"', body)
    return body


def send(url: str, step: Step, values: dict[str, str]) -> Answer:
    """Send one request on a connection of its own."""
    parts = urlsplit(url)
    started = time.monotonic()
    with socket.create_connection((parts.hostname, parts.port or 80), 30) as connection:
        # A server that refuses a large body may stop reading it; its answer is what counts.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(_request(step, parts.netloc, values))
        response = http.client.HTTPResponse(connection, method=step.method)
        response.begin()
        body = response.read()
        return Answer(response.status, response.headers, body, time.monotonic() - started)


def play(url: str, steps: Sequence[Step], values: dict[str, str]) -> list[Answer]:
    """Send steps in order, saving what later ones need into `values`."""
    answers = []
    for step in steps:
        answer = until(url, step, values) if step.until else send(url, step, values)
        for name, key in step.save.items():
            values[name] = json.loads(answer.body)[key]
        for key, name in step.same.items():
            assert json.loads(answer.body)[key] == values[name], (step, answer)
        answers.append(answer)
    return answers


def until(url: str, step: Step, values: dict[str, str]) -> Answer:
    """Send a request until its answer holds what the step waits for."""
    deadline = time.monotonic() + step.within
    while True:
        answer = send(url, step, values)
        found: dict[str, Any] = json.loads(answer.body)
        if all(found.get(key) == value for key, value in (step.until or {}).items()):
            return answer
        assert time.monotonic() < deadline, f"{step.path}: still {answer.body!r}"
        threading.Event().wait(PAUSE_SECONDS)


def fill(text: str, values: dict[str, str]) -> str:
    """Put saved values in the places of their names."""
    for name, value in values.items():
        text = text.replace(f"${name}", value)
    return text


def _request(step: Step, host: str, values: dict[str, str]) -> bytes:
    body = step.body
    if body is not None:
        for name, value in values.items():
            body = body.replace(b"$%b" % name.encode(), value.encode())
    head = [f"{step.method} {fill(step.path, values)} HTTP/1.1", f"Host: {host}"]
    head += [f"{name}: {value}" for name, value in step.headers.items()]
    if step.chunked:
        head.append("Transfer-Encoding: chunked")
        body = _chunks(body or b"")
    elif body is not None:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "Connection: close", "", ""]).encode() + (body or b"")


def _chunks(body: bytes) -> bytes:
    middle = max(1, len(body) // 2)
    pieces = [piece for piece in (body[:middle], body[middle:]) if piece]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces]) + b"0\r\n\r\n"
