"""Bodies that are too large are refused before they fill the memory."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import httpx

from tests.fastapi_app.routers.wire import PROBLEM, RUNS, connected, execute, request
from tests.memory import growing_less_than

if TYPE_CHECKING:
    import socket

    from tests.servers import Server

MIB = 1024 * 1024
LIMIT = 16 * MIB
EXECUTE = f"{RUNS}/execute"


def refused(wire: socket.socket) -> dict[str, object]:
    """The answer must be problem details with 413, and the connection be over."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := wire.recv(65536):
            received += data
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 "), head
    assert f"content-type: {PROBLEM}".encode() in head.lower()
    assert b"connection: close" in head.lower()
    found: dict[str, object] = json.loads(body)
    assert found["code"] == "body-too-large"
    assert str(LIMIT) in str(found["detail"])
    return found


def test_an_announced_body_is_refused_before_it_is_sent(server: Server) -> None:
    head = request("POST", EXECUTE, b"", server.auth_line, f"Content-Length: {100 * MIB}")
    with connected(server.new, head) as wire:
        refused(wire)


def test_a_body_of_100_mb_is_refused_without_being_kept(
    client: httpx.Client, server: Server
) -> None:
    chunk = f"{MIB:x}\r\n".encode() + b" " * MIB + b"\r\n"
    with growing_less_than(4 * LIMIT, server.pid):
        for header in (f"Content-Length: {100 * MIB}", "Transfer-Encoding: chunked"):
            piece = chunk if "chunked" in header else b" " * MIB
            with connected(
                server.new, request("POST", EXECUTE, b"", server.auth_line, header)
            ) as wire:
                with contextlib.suppress(ConnectionError):
                    for _ in range(100):
                        wire.sendall(piece)
                refused(wire)
    assert execute(client, "echo hi")["output"] == "hi\n"


def test_a_body_just_within_the_limit_is_read(client: httpx.Client) -> None:
    body = b'{"command": "echo hi"' + b" " * (LIMIT - 22) + b"}"
    assert len(body) == LIMIT
    headers = {"Content-Type": "application/json"}
    assert client.post(EXECUTE, content=body, headers=headers).status_code == 200
    assert client.post(EXECUTE, content=b" " + body, headers=headers).status_code == 413
    assert client.post(EXECUTE, content=iter([body]), headers=headers).status_code == 200
    assert client.post(EXECUTE, content=iter([body, b" "]), headers=headers).status_code == 413


def test_a_limit_of_one_s_own_holds_for_every_route(client: httpx.Client) -> None:
    for method, path in (
        ("POST", f"{RUNS}/start"),
        ("POST", "/api/v1/commands/create"),
        ("PUT", "/api/v1/commands/x"),
    ):
        answer = client.request(method, path, content=iter([b" " * (LIMIT + 1)]))
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
