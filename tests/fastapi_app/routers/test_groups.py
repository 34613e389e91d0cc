"""Groups: made, changed, paused, resumed, deleted, and kept across restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest

from tests.fastapi_app.routers.wire import finished, problem, show, start
from tests.fastapi_app.starting import start_app, until

if TYPE_CHECKING:
    from pathlib import Path

GROUPS = "/api/v1/groups"


@pytest.fixture
def group(client: httpx.Client) -> str:
    """A group with one slot."""
    name = uuid4().hex
    answer = client.put(f"{GROUPS}/{name}", json={"slots": 1})
    assert answer.status_code == 200
    assert answer.json() == {
        "name": name, "slots": 1, "paused": False, "running": 0, "queued": 0,
    }  # fmt: skip
    return name


def test_there_is_a_default_group_that_stays(client: httpx.Client) -> None:
    assert "default" in [group["name"] for group in client.get(GROUPS).json()["items"]]
    problem(client.delete(f"{GROUPS}/default"), 409, "group-in-use")


def test_its_slots_hold(client: httpx.Client, group: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    command = f"while [ ! -e {gate} ]; do sleep 0.01; done"
    runs = [start(client, command, group=group) for _ in range(3)]
    until(lambda: show(client, runs[0])["status"] == "running")
    assert state(client, group) == (1, 2, False)
    problem(client.delete(f"{GROUPS}/{group}"), 409, "group-in-use")
    client.put(f"{GROUPS}/{group}", json={"slots": None})
    until(lambda: state(client, group) == (3, 0, False))
    gate.touch()
    assert [finished(client, run)["status"] for run in runs] == ["completed"] * 3
    assert client.delete(f"{GROUPS}/{group}").status_code == 204
    problem(client.delete(f"{GROUPS}/{group}"), 404, "group-not-found")


def state(client: httpx.Client, group: str) -> tuple[int, int, bool]:
    """How many run and wait in a group, and whether it is paused."""
    found = next(g for g in client.get(GROUPS).json()["items"] if g["name"] == group)
    return found["running"], found["queued"], found["paused"]


def test_a_paused_group_waits_while_others_go_on(client: httpx.Client, group: str) -> None:
    assert client.post(f"{GROUPS}/{group}/pause").json()["paused"]
    waiting = start(client, "echo late", group=group)
    assert finished(client, start(client, "true"))["status"] == "completed"
    assert show(client, waiting)["status"] == "queued"
    assert not client.post(f"{GROUPS}/{group}/resume").json()["paused"]
    assert finished(client, waiting)["status"] == "completed"


def test_groups_outlive_the_server(home: Path) -> None:
    with start_app(home) as server, server.client() as client:
        client.put(f"{GROUPS}/nightly", json={"slots": 2})
        client.post(f"{GROUPS}/nightly/pause")
        waiting = start(client, "true", group="nightly")
        server.kill()
    with start_app(home) as server, server.client(timeout=15) as client:
        found = client.get(GROUPS).json()["items"]
        assert [(g["name"], g["slots"], g["paused"]) for g in found] == [
            ("default", None, False),
            ("nightly", 2, True),
        ]
        assert show(client, waiting)["status"] == "queued"
        client.post(f"{GROUPS}/nightly/resume")
        assert finished(client, waiting)["status"] == "completed"
        assert server.stop() == 0


@pytest.mark.parametrize("act", ["pause", "resume"])
def test_what_there_is_none_of_is_not_found(client: httpx.Client, act: str) -> None:
    problem(client.post(f"{GROUPS}/nope/{act}"), 404, "group-not-found")
    body = {"command": "true", "background": True, "group": "nope"}
    problem(client.post("/api/v1/workflows/execute", json=body), 404, "group-not-found")


@pytest.mark.parametrize("body", [{"slots": 0}, {"slots": "2"}, {"slots": 1.5}, {"x": 1}, []])
def test_wrong_groups_are_refused(client: httpx.Client, body: object) -> None:
    problem(client.put(f"{GROUPS}/wrong", json=body), 422, "invalid")
    problem(client.put(f"{GROUPS}/{'x' * 201}", json={}), 422, "invalid")
