"""Servers come and go, however they go; background runs go on, and each is run once."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from fastapi_app.engine.traces import read_trace
from tests.fastapi_app.routers.wire import RUNS, created, finished, printed, show, start
from tests.fastapi_app.starting import start_app, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server

COUNT = "n=0; while [ ! -e {done} ]; do n=$((n+1)); echo $n; sleep 0.01; done; echo end; exit 5"


def client_of(server: Server) -> httpx.Client:
    """A client of that server."""
    return server.client(timeout=15)


def identity(run: dict[str, Any]) -> tuple[object, ...]:
    """What must not change when another server takes over."""
    return run["id"], run["pid"], run["attempt"], run["created_at"], run["started_at"]


@pytest.fixture(params=["kill -9", "sigterm"])
def server_and_next(request: pytest.FixtureRequest, home: Path) -> Iterator[tuple[Server, Any]]:
    """A server, and a way to end it and start the next one on its home."""
    with start_app(home, max_concurrent_commands="3", stop_grace="0.3") as first:

        def end() -> None:
            first.kill() if request.param == "kill -9" else first.stop()

        yield first, end


def test_background_runs_outlive_their_server(
    server_and_next: tuple[Server, Any], home: Path, tmp_path: Path
) -> None:
    server, end = server_and_next
    done, meanwhile, queued = tmp_path / "done", tmp_path / "meanwhile", tmp_path / "queued"
    with client_of(server) as client:
        name = created(client, "stored", "cat; echo stored $1")
        long = start(client, COUNT.format(done=done))
        short = start(client, f"echo $$; while [ ! -e {meanwhile} ]; do sleep 0.01; done; exit 7")
        stopped = start(client, "echo $$; trap '' TERM; while :; do sleep 0.02; done")
        for run_id in (long, short, stopped):
            printed(client, run_id)
        waiting = [start(client, f"echo ran >> {queued}") for _ in range(3)]
        answer = client.post(f"{RUNS}/start", json={"name": name, "args": ["x"]})
        waiting.append(answer.json()["job_id"])
        before = {run_id: show(client, run_id) for run_id in (long, short, stopped)}
        assert [show(client, run_id)["status"] for run_id in waiting] == ["queued"] * 4
    end()
    meanwhile.touch()
    until(lambda: (trace := read_trace(f"{home}/logs/{short}.state")) and trace.ended)
    assert not queued.exists()
    with start_app(home, max_concurrent_commands="3", stop_grace="0.3") as second:
        with client_of(second) as client:
            ended = finished(client, short)
            assert (ended["status"], ended["returncode"], ended["reason"]) == ("failed", 7, None)
            for run_id in waiting:
                assert finished(client, run_id)["status"] == "completed"
            assert queued.read_text() == "ran\n" * 3
            assert printed(client, waiting[-1]) == "stored x\n"
            assert show(client, long)["status"] == "running"
            with client.stream("GET", f"{RUNS}/{long}/logs?follow=true") as following:
                done.touch()
                lines = list(following.iter_lines())
            assert lines == [*map(str, range(1, len(lines))), "end"], "the log has no gap"
            assert show(client, long)["returncode"] == 5
            answer = client.post(f"{RUNS}/{stopped}/stop").json()
            assert (answer["status"], answer["signal"]) == ("cancelled", "SIGKILL")
            for run_id, run in before.items():
                assert identity(show(client, run_id)) == identity(run), "run once, by one process"
        assert second.stop() == 0
        assert b"Traceback" not in b"".join(second.printed)


def test_what_nobody_could_see_the_end_of_is_settled_too(home: Path) -> None:
    with start_app(home) as server, client_of(server) as client:
        doomed = start(client, "echo $PPID $$; exec sleep 60")
        helper, child = map(int, printed(client, doomed).split())
        command = f"while [ ! -e {home}/done ]; do sleep 0.01; done; exit 9"
        body = {"command": command, "stream": True}
        with client.stream("POST", f"{RUNS}/execute", json=body) as answer:
            lines = answer.iter_lines()  # kept, because dropping it would close the connection
            waited_for = json.loads(next(lines))["job_id"]
            server.kill()
    (home / "done").touch()
    until(lambda: (trace := read_trace(f"{home}/logs/{waited_for}.state")) and trace.ended)
    os.kill(helper, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    with start_app(home) as server, client_of(server) as client:
        run = finished(client, waited_for)
        assert (run["status"], run["returncode"]) == ("failed", 9)
        run = finished(client, doomed)
        assert (run["status"], run["returncode"]) == ("lost", None)
        assert run["reason"].endswith("nothing tells how the run ended")
        assert server.stop() == 0
