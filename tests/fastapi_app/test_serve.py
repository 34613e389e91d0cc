"""The server as a program: what it says, what stops it from starting, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from fastapi_app import __version__
from tests.fastapi_app.routers.wire import RUNS, connected, created, printed, request, show, start
from tests.fastapi_app.starting import start_app, until
from tests.servers import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server


# Each case in one interpreter, because starting one costs more than being refused.
REFUSED = """
import io, json, os, sys
from contextlib import redirect_stderr, redirect_stdout
from fastapi_app.serve import serve

for line in sys.stdin:
    case = json.loads(line)
    os.environ.update(case["environment"])
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = serve(case["overrides"])
    for name in case["environment"]:
        os.environ.pop(name, None)
    print(json.dumps([code, said.getvalue()]), flush=True)
"""


class Refusals:
    """Starts servers that cannot start."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, home: Path, *, port: int | str = 0, **settings: str) -> str:
        """What such a server says: one line, and exit code 1."""
        extra = {f"MCLI_{name.upper()}": value for name, value in settings.items()}
        case = {"environment": {"MCLI_HOME": str(home), **extra}, "overrides": {"port": port}}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(case), file=self._process.stdin, flush=True)
        code, said = json.loads(self._process.stdout.readline())
        (line,) = said.splitlines()
        assert code == 1
        assert line.startswith("mclictl serve: ")
        return str(line)


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refusals]:
    """Start servers that cannot start."""
    with subprocess.Popen(
        [sys.executable, "-c", REFUSED],
        cwd=ROOT,
        env=environment(tmp_path_factory.mktemp("unused")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Refusals(process)


def test_the_banner_says_what_listens_and_what_to_try(server: Server) -> None:
    said = b"".join(server.printed).decode()
    assert f"mcli-dualstack {__version__}, state in {server.home}\n" in said
    assert f"new API     {server.new}   documentation: {server.new}/docs\n" in said
    assert f'mclictl --url {server.new} run "echo hi"' in said


def test_a_taken_port_is_told(refused: Refusals, home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused(home, port=port)
    assert f"port {port} on 127.0.0.1 is taken by another program" in line
    assert "MCLI_PORT" in line


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"port": "x"}, "MCLI_PORT (port): "),
        ({"database_url": "nonsense"}, "MCLI_DATABASE_URL cannot be used"),
        ({"database_url": "postgresql+asyncpg://u@127.0.0.1:1/db"}, "cannot be opened"),
        ({"host": "192.0.2.1"}, "on 192.0.2.1 cannot be used"),
    ],
)
def test_a_wrong_setting_is_told(
    refused: Refusals, home: Path, settings: dict[str, str], said: str
) -> None:
    assert said in refused(home, **settings)


def test_a_broken_file_is_told(refused: Refusals, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("port 8000\n")
    assert f"{home}/config.toml is not TOML" in refused(home)


def test_a_home_that_cannot_be_used_is_told(refused: Refusals, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        line = refused(home)
        assert f"The home folder {home} cannot be used" in line
        assert "--home" in line


def test_a_broken_database_is_told(refused: Refusals, home: Path) -> None:
    home.mkdir()
    (home / "mcli.db").write_bytes(b"no database" * 1000)
    assert "file is not a database" in refused(home)


def test_a_second_server_on_a_home_is_told_who_holds_it(refused: Refusals, server: Server) -> None:
    line = refused(server.home)
    assert f"Another server (pid {server.pid}) uses the home folder {server.home}" in line


def test_sigterm_lets_answers_in_flight_finish(home: Path) -> None:
    answers: list[httpx.Response] = []

    def ask(url: str) -> None:
        body = {"command": f"echo > {home}/began; sleep 0.5; echo done"}
        answers.append(
            httpx.post(f"{url}{RUNS}/execute", headers=server.auth, json=body, timeout=15)
        )

    with start_app(home) as server:
        asking = threading.Thread(target=ask, args=[server.new])
        asking.start()
        until((home / "began").exists)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 5
        asking.join()
    assert answers[0].json()["output"] == "done\n"
    assert b"Traceback" not in b"".join(server.printed)


def test_what_takes_longer_than_the_grace_is_ended_with_the_server(home: Path) -> None:
    with start_app(home, shutdown_grace="1", stop_grace="0.2") as server:
        with server.client(timeout=15) as client:
            kept = start(client, "echo $$; exec sleep 60")
            kept_pid = int(printed(client, kept))
        body = json.dumps({"command": f"echo $$ > {home}/pid; trap '' TERM; sleep 60; sleep 60"})
        follow = f"{RUNS}/{kept}/logs?follow=true"
        with (
            connected(
                server.new, request("POST", f"{RUNS}/execute", body.encode(), server.auth_line)
            ),
            connected(server.new, request("GET", follow, b"", server.auth_line)) as follower,
        ):
            pid = int(until(lambda: (home / "pid").exists() and (home / "pid").read_text()))
            assert follower.recv(1000).startswith(b"HTTP/1.1 200 OK")
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 5
    assert not os.path.exists(f"/proc/{pid}")  # noqa: PTH110
    os.kill(kept_pid, signal.SIGKILL)
    with start_app(home) as server, server.client() as client:
        runs = client.get(f"{RUNS}/list").json()["items"]
        (ended,) = (run for run in runs if run["id"] != kept)
        assert (ended["status"], ended["returncode"]) == ("cancelled", -9)
        assert server.stop() == 0


def test_everything_works_on_postgresql_too(home: Path, postgres_url: str) -> None:
    with (
        start_app(home, database_url=postgres_url) as server,
        server.client(timeout=15) as client,
    ):
        assert client.get("/readyz").status_code == 200
        run_id = start(client, "sleep 60")
        until(lambda: show(client, run_id)["status"] == "running")
        assert client.post(f"{RUNS}/{run_id}/stop").json()["status"] == "cancelled"
        name = created(client, "greet")
        answer = client.post(f"{RUNS}/start", json={"name": name})
        assert client.get(f"{RUNS}/{answer.json()['job_id']}/logs?follow=1").text == "hi\n"
        assert [r["status"] for r in client.get(f"{RUNS}/list").json()["items"]] == [
            "completed",
            "cancelled",
        ]
        for path in (f"{RUNS}/%00", f"{RUNS}/%00/logs", "/api/v1/commands/%00"):
            assert client.get(path).status_code == 404
        for path in (f"{RUNS}/list?name=%00", "/api/v1/commands/list?group=%00"):
            assert client.get(path).json()["items"] == []
        assert client.post(f"{RUNS}/start", json={"name": "\0"}).status_code == 404
        # Ctrl-C ends it as cleanly as SIGTERM does, though the client keeps its connection open.
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10) == 0
        assert b"Traceback" not in b"".join(server.printed)
