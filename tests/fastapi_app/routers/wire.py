"""What the tests of the routes say to the server, and how they read its answers."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.fastapi_app.starting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

RUNS = "/api/v1/workflows"
COMMANDS = "/api/v1/commands"
PROBLEM = "application/problem+json"
NDJSON = "application/x-ndjson"
JSON = {"Content-Type": "application/json"}


def execute(client: httpx.Client, command: str, **fields: object) -> dict[str, Any]:
    """Run shell text and return the answer."""
    answer = client.post(f"{RUNS}/execute", json={"command": command, **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def start(client: httpx.Client, command: str, **fields: object) -> str:
    """Start shell text in the background and return its id."""
    body = {"command": command, "background": True, **fields}
    answer = client.post(f"{RUNS}/execute", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def show(client: httpx.Client, run_id: str) -> dict[str, Any]:
    """The run as it is now."""
    answer = client.get(f"{RUNS}/{run_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def finished(client: httpx.Client, run_id: str) -> dict[str, Any]:
    """The run once it is over."""
    client.get(f"{RUNS}/{run_id}/logs", params={"follow": True})
    return show(client, run_id)


def printed(client: httpx.Client, run_id: str) -> str:
    """What the run has printed, once that is anything."""
    return until(lambda: client.get(f"{RUNS}/{run_id}/logs").text)


def created(client: httpx.Client, name: str, code: str = "echo hi", **fields: object) -> str:
    """Store a command and return its name."""
    answer = client.post(f"{COMMANDS}/create", json={"name": name, "code": code, **fields})
    assert answer.status_code == 201, answer.text
    return name


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem details the answer must be, by RFC 9457."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM), answer.text
    found: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "code"} <= found.keys()
    assert (found["status"], found["code"]) == (status, code)
    assert found["type"] == f"urn:mcli:problem:{code}"
    assert found["detail"]
    assert "Traceback" not in answer.text
    return found


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    """Every line of an NDJSON answer."""
    assert answer.headers["Content-Type"] == NDJSON
    return [json.loads(line) for line in answer.iter_lines()]


def text_of(said: list[dict[str, Any]], stream: str = "stdout") -> str:
    """What the log events of one stream say together."""
    return "".join(e["message"] for e in said if e["type"] == "log" and e["stream"] == stream)


@contextmanager
def connected(url: str, sent: bytes) -> Iterator[socket.socket]:
    """A plain connection on which these bytes have been sent."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=15) as wire:
        wire.sendall(sent)
        yield wire


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    """An HTTP/1.1 request with a JSON body."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        *headers,
    ]
    if not any(line.lower().startswith(("content-length", "transfer")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body
