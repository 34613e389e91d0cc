"""/api/v1/daemon and the health checks."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import httpx
import pytest

from fastapi_app import __version__
from tests.fastapi_app.routers.wire import (
    RUNS,
    connected,
    created,
    execute,
    problem,
    request,
    show,
    start,
)
from tests.fastapi_app.starting import start_app, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server

STATUS = "/api/v1/daemon/status"


def test_the_status_tells_what_the_server_is(client: httpx.Client, server: Server) -> None:
    status = client.get(STATUS).json()
    assert status.pop("uptime_seconds") > 0
    counted = {name: status.pop(name) for name in ("active_runs", "queued_runs", "commands")}
    assert status == {
        "running": True,
        "pid": server.pid,
        "version": __version__,
        "home": str(server.home),
        "database": f"sqlite+aiosqlite:///{server.home}/mcli.db",
        "active_processes": 0,
    }
    created(client, "one-more")
    run_id = start(client, "sleep 60")
    until(lambda: show(client, run_id)["status"] == "running")
    now = client.get(STATUS).json()
    client.post(f"{RUNS}/{run_id}/stop")
    assert now["commands"] == counted["commands"] + 1
    assert now["active_runs"] >= 1


def test_health(client: httpx.Client) -> None:
    for path, status in (("/livez", "alive"), ("/readyz", "ready")):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": status})


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Path]]:
    """A server whose database may be tampered with, and that database."""
    home = tmp_path_factory.mktemp("own")
    limits = {"max_concurrent_commands": "1", "max_queued_runs": "1"}
    with (
        start_app(home, **limits) as server,
        server.client(timeout=15) as client,
    ):
        yield client, home / "mcli.db"
        assert server.stop() == 0


def executed(database: Path, statement: str) -> None:
    """Run SQL as some other program would."""
    with sqlite3.connect(database) as other:
        other.execute(statement)
    other.close()


def test_a_full_queue_says_when_to_come_again(own: tuple[httpx.Client, Path]) -> None:
    client, _ = own
    running, waiting = (start(client, "sleep 60") for _ in range(2))
    until(lambda: client.get(f"{RUNS}/status").json()["queued_runs"] == 1)
    body = {"command": "true", "background": True}
    answer = client.post(f"{RUNS}/execute", json=body)
    problem(answer, 503, "queue-full")
    assert int(answer.headers["Retry-After"]) > 0
    stopped = client.post(f"{RUNS}/{waiting}/stop").json()
    assert (stopped["status"], stopped["signal"], stopped["started_at"]) == (
        "cancelled",
        None,
        None,
    )
    client.post(f"{RUNS}/{running}/stop")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_the_queue_starts_nothing(
    own: tuple[httpx.Client, Path], tmp_path: Path, stream: bool
) -> None:
    client, _ = own
    running = start(client, "sleep 60")
    printed = tmp_path / "printed"
    body = json.dumps({"command": f"echo ran > {printed}", "stream": stream}).encode()
    auth = f"Authorization: {client.headers['Authorization']}"
    with connected(str(client.base_url), request("POST", f"{RUNS}/execute", body, auth)):
        # The server has read the request when it answers one that came later.
        client.get("/livez")
    client.get("/livez")
    client.post(f"{RUNS}/{running}/stop")
    execute(client, "true")
    assert not printed.exists()


def test_a_stopped_daemon_starts_nothing_and_says_so(own: tuple[httpx.Client, Path]) -> None:
    client, database = own
    created(client, "greet")
    executed(database, "UPDATE service_state SET value = 'stopped' WHERE key = 'daemon'")
    assert client.get(STATUS).json()["running"] is False
    for fields in ({}, {"background": True}, {"stream": True}):
        answer = client.post(f"{RUNS}/execute", json={"command": "true", **fields})
        problem(answer, 503, "daemon-stopped")
    problem(client.post(f"{RUNS}/start", json={"name": "greet"}), 503, "daemon-stopped")
    assert client.get(f"{RUNS}/status").json()["queued_runs"] == 0


def test_a_server_whose_database_is_gone_lives_but_is_not_ready(
    own: tuple[httpx.Client, Path],
) -> None:
    client, database = own
    executed(database, "DROP TABLE commands")
    assert client.get("/livez").status_code == 200
    answer = client.get("/readyz")
    problem(answer, 503, "storage-unavailable")
    assert int(answer.headers["Retry-After"]) > 0
