"""WS /ws/workflows/*: history, then live, then the end; for many, and for some who do not read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import connect as connect_async
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
from tests.fastapi_app.starting import start_app, until

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from websockets.sync.client import ClientConnection

    from tests.servers import Server


@contextmanager
def listening(server: Server, path: str = "") -> Iterator[ClientConnection]:
    """A WebSocket on what happens to runs."""
    with connect(
        f"{live_url(server)}{path}",
        additional_headers=server.auth,
        open_timeout=15,
        close_timeout=5,
        proxy=None,
    ) as socket:
        yield socket


def following(
    server: Server, run_id: str, query: str = ""
) -> AbstractContextManager[ClientConnection]:
    """A WebSocket on the logs of a run."""
    return listening(server, f"/{run_id}/logs{query}")


def live_url(server: Server) -> str:
    return f"{server.new.replace('http', 'ws', 1)}/ws/workflows"


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


@pytest.mark.parametrize("path", ["", "/logs"])
def test_an_unknown_run_closes_with_4404(server: Server, path: str) -> None:
    for run_id in (str(uuid4()), "no-uuid", "%00"):
        with listening(server, f"/{run_id}{path}") as socket:
            assert heard(socket) == ([], 4404)


def test_a_log_that_was_removed_closes_with_4404(client: httpx.Client, server: Server) -> None:
    run_id = execute(client, "echo hi")["job_id"]
    (server.home / "logs" / f"{run_id}.out").unlink()
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
        follow = request(
            "GET", f"{RUNS}/{run_id}/logs?follow=1", b"", server.auth_line, f"Accept: {accept}"
        )
        with connected(server.new, follow) as wire:
            with wire.makefile("rb") as lines:
                assert any(b"hi" in line for line in lines)
            assert sockets(server) == idle + 1
        until(lambda: sockets(server) == idle)
    assert show(client, run_id)["status"] == "running"
    client.post(f"{RUNS}/{run_id}/stop")


def test_the_states_of_a_run_and_its_progress(
    client: httpx.Client, server: Server, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    run_id = start(client, f"echo ::progress 10 half; cat {fifo}; echo ::progress 100; exit 3")
    printed(client, run_id)
    with listening(server, f"/{run_id}") as socket:
        first, second = (json.loads(socket.recv(timeout=15)) for _ in range(2))
        fifo.write_text("::progress 50\n")
        said, code = heard(socket)
    assert (first["type"], first["status"], first["job_id"]) == ("status", "running", run_id)
    assert (second["type"], second["percent"], second["message"]) == ("progress", 10, "half")
    assert {event["percent"] for event in said[:-1]} <= {50, 100}
    assert (said[-2]["type"], said[-2]["percent"]) == ("progress", 100)
    assert (said[-1]["status"], said[-1]["returncode"], code) == ("failed", 3, 1000)
    assert said[-1]["seq"] > first["seq"]
    with listening(server, f"/{run_id}?since=0") as socket:
        said, code = heard(socket)
    told = [event["status"] for event in said if event["type"] == "status"]
    assert (told, code) == (["queued", "running", "failed"], 1000)
    with listening(server, f"/{run_id}") as socket:
        (last, *_), _ = heard(socket)
    assert (last["status"], last["attempt"]) == ("failed", 1)


def test_all_that_happens_is_told_and_only_what_is_wanted(
    client: httpx.Client, server: Server
) -> None:
    def told(socket: ClientConnection, job_id: str, last: str) -> list[str]:
        found: list[str] = []
        while not found or found[-1] != last:
            event = json.loads(socket.recv(timeout=15))
            if event["job_id"] == job_id:
                found.append(event["status"])
        return found

    with listening(server) as everything, listening(server, "?status=failed") as failed:
        good, bad = start(client, "true"), start(client, "exit 1")
        assert told(everything, good, "completed") == ["queued", "running", "completed"]
        first = json.loads(failed.recv(timeout=15))
        assert (first["job_id"], first["status"], first["kind"]) == (bad, "failed", "execute")
    # Who comes again, behind what it saw, gets the rest at once.
    with listening(server, f"?since={first['seq'] - 1}&group=default") as again:
        assert json.loads(again.recv(timeout=15)) == first
    with pytest.raises(InvalidStatus), listening(server, "?since=x"):
        pass


def test_secrets_are_masked_for_those_who_follow(client: httpx.Client, server: Server) -> None:
    command = 'printf "a $TOKEN b"; printf $TOKEN | base64; sleep 0.2; echo end $TOKEN'
    run_id = start(client, command, secrets={"TOKEN": "hunter2!"})
    with following(server, run_id) as socket:
        said, _ = heard(socket)
    assert text_of(said).startswith("a *** b***")
    assert text_of(said).endswith("end ***\n")


async def test_five_hundred_follow_and_some_never_read(tmp_path: Path) -> None:
    lines = "".join(f"line {n} of a log that many follow\n" for n in range(10_000))

    async def everything(url: str) -> str:
        async with connect_async(
            url,
            additional_headers=server.auth,
            proxy=None,
            open_timeout=60,
            ping_interval=None,
        ) as socket:
            said = [json.loads(message) async for message in socket]
        assert socket.close_code == 1000
        assert said[-1]["type"] == "end"
        return text_of(said)

    with start_app(tmp_path / "home") as server:
        with server.client() as client:
            fifo = tmp_path / "fifo"
            os.mkfifo(fifo)
            run_id = start(client, f"cat {fifo}")
        url = f"{live_url(server)}/{run_id}/logs"
        with contextlib.ExitStack() as silent:
            for _ in range(50):
                silent.enter_context(not_reading(server, f"/ws/workflows/{run_id}/logs"))
            following = [asyncio.create_task(everything(url)) for _ in range(500)]
            await asyncio.to_thread(until, lambda: sockets(server) > 540, 60)
            await asyncio.to_thread(fifo.write_text, lines)
            assert set(await asyncio.gather(*following)) == {lines}
        assert server.stop() == 0


def test_who_never_reads_is_dropped_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with (
        start_app(tmp_path / "home", send_timeout="1") as server,
        server.client(timeout=30) as client,
    ):
        run_id = execute(client, "yes 0123456789abcdef | head -c 30000000")["job_id"]
        path, idle = f"/ws/workflows/{run_id}/logs", sockets(server)
        with contextlib.ExitStack() as silent:
            wires = [silent.enter_context(not_reading(server, path)) for _ in range(5)]
            until(lambda: sockets(server) == idle + 5)
            began = time.monotonic()
            # One comes to its senses, and is told why it is dropped.
            until(lambda: time.monotonic() - began > 2.5)
            with wires[0].makefile("rb") as rest:
                assert rest.read().endswith(b"\x88\x0a" + (4408).to_bytes(2) + b"too slow")
            until(lambda: sockets(server) == idle)
        with following(server, run_id) as socket:
            said, code = heard(socket)
        assert (len(text_of(said)), code) == (30_000_000, 1000)
        assert server.stop() == 0
        assert b"Traceback" not in b"".join(server.printed)


@contextmanager
def not_reading(server: Server, path: str) -> Iterator[socket.socket]:
    """A WebSocket of which nobody reads what arrives."""
    upgrade = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    )
    with connected(server.new, request("GET", path, b"", server.auth_line, *upgrade)) as wire:
        yield wire


def sockets(server: Server) -> int:
    """How many sockets the server has open."""
    count = 0
    for fd in Path(f"/proc/{server.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(fd.readlink()).startswith("socket:")
    return count


def test_the_first_message_is_no_head_of_an_answer(server: Server, client: httpx.Client) -> None:
    run_id = execute(client, "echo content-type: kept as it is")["job_id"]
    with following(server, run_id) as socket:
        first = json.loads(socket.recv(timeout=15))
    assert first["message"] == "content-type: kept as it is\n"
