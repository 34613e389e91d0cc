"""Bad days as the old contract tells them: no room in the queue or on the disk, awkward output."""

from __future__ import annotations

import resource
import sqlite3
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest

from tests.servers import Server, start_dual

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = "/api/v1/workflows"
DOCUMENT = "steps: {a: {run: exec sleep 60}, b: {run: echo never, needs: [a], when: any}}"
DEPTH = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    settings = {"MCLI_MAX_QUEUED_RUNS": str(DEPTH), "MCLI_STOP_GRACE": "0.3"}
    with start_dual(home, **settings) as running:
        yield running
        assert running.stop() == 0
        assert b"Traceback" not in b"".join(running.printed)


@pytest.fixture
def old(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.legacy, timeout=30) as client:
        yield client


@pytest.fixture
def new(server: Server) -> Iterator[httpx.Client]:
    with server.client(timeout=30) as client:
        yield client


def stored(new: httpx.Client, code: str, language: str = "shell") -> str:
    """The name of a new stored command."""
    body = {"name": uuid4().hex, "code": code, "language": language}
    new.post("/api/v1/commands/create", json=body).raise_for_status()
    return str(body["name"])


def refused(answer: httpx.Response) -> str:
    """What an answer says that asks to come again."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/json")
    assert int(answer.headers["Retry-After"]) > 0
    assert list(answer.json()) == ["error"]
    return str(answer.json()["error"])


def test_a_full_queue_is_an_answer(old: httpx.Client, new: httpx.Client) -> None:
    name = stored(new, "true")
    new.post("/api/v1/groups/default/pause").raise_for_status()
    body = {"command": "true", "background": True}
    waiting = [new.post(f"{RUNS}/execute", json=body).json()["job_id"] for _ in range(DEPTH)]
    assert "runs are waiting" in refused(old.post("/execute", json={"command": "true"}))
    assert "runs are waiting" in refused(old.post("/workflow/start", json={"name": name}))
    again = new.post(f"{RUNS}/execute", json=body)
    assert (again.status_code, again.json()["code"]) == (503, "queue-full")
    assert int(again.headers["Retry-After"]) > 0
    new.post("/api/v1/groups/default/resume").raise_for_status()
    for run_id in waiting:
        new.get(f"{RUNS}/{run_id}/logs?follow=true").raise_for_status()
    assert old.post("/execute", json={"command": "echo hi"}).json()["output"] == "hi\n"
    (command,) = [c for c in old.get("/commands").json()["commands"] if c["name"] == name]
    assert command["execution_count"] == 0


def test_a_full_disk_is_an_answer(old: httpx.Client, new: httpx.Client, server: Server) -> None:
    name = stored(new, "true")
    endless = resource.RLIM_INFINITY
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, endless))
    try:
        assert "Nothing was changed" in refused(old.post("/workflow/start", json={"name": name}))
        assert old.post("/execute", json={"command": "echo hi"}).json()["output"] == "hi\n"
        assert old.get("/status").json()["running"] is True
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (endless, endless))
    assert old.post("/workflow/start", json={"name": name}).json()["name"] == name


def test_a_document_is_stopped_through_the_old_contract(
    old: httpx.Client, new: httpx.Client
) -> None:
    name = stored(new, DOCUMENT, "yaml")
    for by in ("id", "name"):
        started = old.post("/workflow/start", json={"name": name}).json()
        assert started["status"] == "running"
        assert name in [each["name"] for each in old.get("/status").json()["active_workflows"]]
        answer = old.post("/workflow/stop", json={by: started[by]}).json()
        assert answer == {"id": started["id"], "name": name, "status": "stopped"}
        steps = new.get(f"{RUNS}/{started['id']}/steps").json()["items"]
        assert [step["status"] for step in steps] == ["cancelled"] * 2
        again = old.post("/workflow/stop", json={"id": started["id"]}).json()
        assert again["status"] == "stopped"


def test_what_the_other_stack_stops_in_the_queue_never_runs(
    new: httpx.Client, server: Server
) -> None:
    """Whoever writes to the shared database ends a run that waits."""
    new.post("/api/v1/groups/default/pause").raise_for_status()
    ran = server.home / "ran"
    body = {"command": f"touch {ran}", "background": True}
    run_id = new.post(f"{RUNS}/execute", json=body).json()["job_id"]
    with sqlite3.connect(server.home / "mcli.db") as database:
        database.execute(
            "UPDATE runs SET stop_requested = 1, status = 'cancelled', finished_at = 1"
            " WHERE id = ?",
            [run_id],
        )
    database.close()
    new.post("/api/v1/groups/default/resume").raise_for_status()
    follower = {"command": "echo next", "background": True, "after": [run_id], "on": "any"}
    follower_id = new.post(f"{RUNS}/execute", json=follower).json()["job_id"]
    assert new.get(f"{RUNS}/{follower_id}/logs?follow=true").text == "next\n"
    assert new.get(f"{RUNS}/{run_id}").json()["status"] == "cancelled"
    assert not ran.exists()


def test_awkward_bytes_are_shown_as_what_they_are(old: httpx.Client) -> None:
    answer = old.post("/execute", json={"command": r"printf 'a\000b\377c\303\251\360\237'"})
    assert answer.json()["output"] == "a\0b\ufffdc\u00e9\ufffd"
