"""Processes that the new stack looks after, started and stopped through the old one."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.fastapi_app.starting import until
from tests.fastapi_app.watching import AT_ONCE, LATE, look, make, watching
from tests.servers import Server, start_dual

if TYPE_CHECKING:
    from collections.abc import Iterator

ALWAYS: dict[str, Any] = {"restart": "always", "backoff": AT_ONCE}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Both stacks; the old contract is answered by the old one."""
    home = tmp_path_factory.mktemp("home")
    with start_dual(home, MCLI_DEFAULT_STAGE="legacy", MCLI_STOP_GRACE="0.3") as running:
        yield running
        assert running.stop() == 0
        assert b"Traceback" not in b"".join(running.printed)


@pytest.fixture
def new(server: Server) -> Iterator[httpx.Client]:
    with server.client(timeout=30) as client:
        yield client


def old(server: Server, method: str, path: str) -> object:
    answer = httpx.request(method, f"{server.legacy}/processes/{path}", timeout=30)
    assert (answer.status_code, answer.headers["X-Served-By"]) == (200, "legacy")
    return answer.json()["status"]


def test_stopped_through_the_old_route_it_stays_so(server: Server, new: httpx.Client) -> None:
    made = make(new, "exec sleep 600", **ALWAYS)
    with watching(server, made) as watch:
        assert old(server, "POST", f"{made['id']}/stop") == "stopped"
        watch.until_state("stopped")
    assert look(new, made)["restarts"] == 0


def test_so_it_does_in_the_back_off(server: Server, new: httpx.Client) -> None:
    made = make(new, "exit 1", restart="always", backoff=LATE)
    with watching(server, made) as watch:
        watch.until_state("backoff")
        assert old(server, "GET", made["id"]) == "running"
        assert old(server, "POST", f"{made['id']}/kill") == "killed"
        watch.until_state("stopped")


def test_started_through_the_old_route_it_is_looked_after(
    server: Server, new: httpx.Client
) -> None:
    made = make(new, "exec sleep 600", path="", **ALWAYS)
    assert old(server, "POST", f"{made['id']}/start") == "started"
    first = until(lambda: look(new, made)["pid"])
    os.kill(first, signal.SIGKILL)
    with watching(server, made) as watch:
        again = watch.until(lambda p: p["state"] == "running" and p["pid"] != first)
        assert again["restarts"] == 1
        assert old(server, "POST", f"{made['id']}/stop") == "stopped"
        watch.until_state("stopped")
    assert old(server, "DELETE", made["id"]) == "removed"
    assert new.get(f"/api/v1/daemon/processes/{made['id']}").status_code == 404


def test_what_the_old_route_makes_is_left_to_itself(server: Server, new: httpx.Client) -> None:
    answer = httpx.post(f"{server.legacy}/processes/run", json={"command": "exec sleep 600"})
    made = look(new, answer.json())
    assert (made["restart"], made["health_check"], made["autostart"]) == ("no", None, False)
    with watching(server, made) as watch:
        os.kill(made["pid"], signal.SIGKILL)
        watch.until_state("failed")
    again = new.post(f"/api/v1/daemon/processes/{made['id']}/restart").json()
    assert again["state"] == "running"
    assert old(server, "DELETE", f"{made['id']}?force=true") == "removed"
