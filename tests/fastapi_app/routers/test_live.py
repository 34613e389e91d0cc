"""WS /ws/workflows/{id}/logs: history, then live, then the end."""

from __future__ import annotations

import contextlib
import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.fastapi_app.routers.wire import (
    PROBLEM,
    RUNS,
    connected,
    execute,
    printed,
    request,
    show,
    start,
    text_of,
)
from tests.fastapi_app.starting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from websockets.sync.client import ClientConnection

    from tests.servers import Server


@contextmanager
def following(server: Server, run_id: str, query: str = "") -> Iterator[ClientConnection]:
    """A WebSocket on the logs of a run."""
    url = f"{server.new.replace('http', 'ws', 1)}/ws/workflows/{run_id}/logs{query}"
    with connect(url, open_timeout=15, close_timeout=5, proxy=None) as socket:
        yield socket


def heard(socket: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """Every event until the server closes, and the code it closes with."""
    said: list[dict[str, Any]] = []

    def listen() -> None:
        while True:
            said.append(json.loads(socket.recv(timeout=15)))

    with pytest.raises(ConnectionClosed) as closed:
        listen()
    assert closed.value.rcvd is not None
    return said, closed.value.rcvd.code


def test_a_finished_run_is_history_and_end(client: httpx.Client, server: Server) -> None:
    run_id = execute(client, "echo hi; echo err >&2; exit 3")["job_id"]
    with following(server, run_id) as socket:
        said, code = heard(socket)
    assert code == 1000
    assert [(e["type"], e["stream"], e["message"], e["offset"]) for e in said] == [
        ("log", "stdout", "hi\n", 3),
        ("log", "stderr", "err\n", 4),
        ("end", None, "failed", 3),
    ]
    assert (said[-1]["status"], said[-1]["returncode"], said[-1]["reason"]) == ("failed", 3, None)


def test_what_comes_is_sent_as_it_comes(
    client: httpx.Client, server: Server, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    run_id = start(client, f"echo first; cat {fifo}; echo last")
    printed(client, run_id)
    with following(server, run_id) as socket:
        first = json.loads(socket.recv(timeout=15))
        fifo.write_text("now ✓\n")
        said, code = heard(socket)
    assert first["message"] == "first\n"
    assert text_of(said) == "now ✓\nlast\n"
    assert (said[-1]["type"], said[-1]["status"], code) == ("end", "completed", 1000)


def test_a_reader_that_comes_again_goes_on_where_it_was(
    client: httpx.Client, server: Server
) -> None:
    run_id = execute(client, "seq 1 1000; seq 1 10 >&2")["job_id"]
    whole = "".join(f"{n}\n" for n in range(1, 1001))
    with following(server, run_id, "?offset=100,4") as socket:
        said, _ = heard(socket)
    assert text_of(said) == whole[100:]
    assert text_of(said, "stderr") == "3\n4\n5\n6\n7\n8\n9\n10\n"
    with following(server, run_id, f"?stream=stdout&offset={said[-1]['offset']}") as socket:
        (end,), _ = heard(socket)
    assert (end["type"], end["offset"]) == ("end", len(whole))


def test_an_unknown_run_closes_with_4404(server: Server) -> None:
    for run_id in (str(uuid4()), "no-uuid", "%00"):
        with following(server, run_id) as socket:
            assert heard(socket) == ([], 4404)


@pytest.mark.parametrize("query", ["?offset=x", "?stream=nosuch", "?stream=stdout&offset=1,2"])
def test_wrong_parameters_are_refused_before_anything_is_sent(
    client: httpx.Client, server: Server, query: str
) -> None:
    run_id = execute(client, "echo hi")["job_id"]
    with pytest.raises(InvalidStatus) as refused, following(server, run_id, query):
        pass
    answer = refused.value.response
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, PROBLEM)


def test_messages_of_the_client_change_nothing(client: httpx.Client, server: Server) -> None:
    run_id = start(client, "echo hi; sleep 0.3; echo bye")
    with following(server, run_id) as socket:
        socket.send("hello")
        socket.send(b"\x00\xff")
        said, code = heard(socket)
    assert (text_of(said), code) == ("hi\nbye\n", 1000)


def test_a_client_that_leaves_a_quiet_run_frees_the_server(
    client: httpx.Client, server: Server
) -> None:
    run_id = start(client, "sleep 60")
    until(lambda: show(client, run_id)["status"] == "running")
    idle = sockets(server)
    with following(server, run_id), following(server, run_id):
        until(lambda: sockets(server) == idle + 2)
    with following(server, run_id) as socket:
        socket.socket.close()  # gone without a word
    until(lambda: sockets(server) == idle)
    assert show(client, run_id)["status"] == "running", "a reader is not what the run is for"
    client.post(f"{RUNS}/{run_id}/stop")


def test_a_follower_over_http_that_leaves_frees_the_server_too(
    client: httpx.Client, server: Server
) -> None:
    run_id = start(client, "echo hi; sleep 60")
    printed(client, run_id)
    idle = sockets(server)
    for accept in ("text/plain", "application/x-ndjson"):
        follow = request("GET", f"{RUNS}/{run_id}/logs?follow=1", b"", f"Accept: {accept}")
        with connected(server.new, follow) as wire:
            with wire.makefile("rb") as lines:
                assert any(b"hi" in line for line in lines)
            assert sockets(server) == idle + 1
        until(lambda: sockets(server) == idle)
    assert show(client, run_id)["status"] == "running"
    client.post(f"{RUNS}/{run_id}/stop")


def sockets(server: Server) -> int:
    """How many sockets the server has open."""
    count = 0
    for fd in Path(f"/proc/{server.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(fd.readlink()).startswith("socket:")
    return count
