"""/api/v1/commands/{name}/…: versions, differences, roll-back, statistics."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

from tests.fastapi_app.routers.wire import COMMANDS, created, finished, problem


@pytest.fixture
def name(client: httpx.Client) -> str:
    """A command with three versions."""
    made = created(client, f"h-{uuid4().hex}", code="one\ntwo\nthree\n", tags=["old"])
    for change in ({"code": "one\n2\nthree\n"}, {"tags": ["new"], "defaults": {"timeout": 5}}):
        assert client.put(f"{COMMANDS}/{made}", json=change).status_code == 200
    return made


def test_versions_are_listed_and_shown(client: httpx.Client, name: str) -> None:
    page = client.get(f"{COMMANDS}/{name}/versions", params={"limit": 2}).json()
    assert [each["version"] for each in page["items"]] == [3, 2]
    assert page["items"][0]["author"] == "owner"
    assert page["items"][0]["note"] is None
    assert "code" not in page["items"][0]
    rest = client.get(f"{COMMANDS}/{name}/versions", params={"cursor": page["next_cursor"]}).json()
    assert [each["version"] for each in rest["items"]] == [1]
    assert rest["next_cursor"] is None
    first = client.get(f"{COMMANDS}/{name}/versions/1").json()
    assert (first["code"], first["tags"], first["parameters"]) == ("one\ntwo\nthree\n", ["old"], {})


def test_a_difference_is_unified(client: httpx.Client, name: str) -> None:
    found = client.get(f"{COMMANDS}/{name}/diff", params={"from": 1, "to": 2}).json()
    assert found == {
        "old": 1,
        "new": 2,
        "fields": [],
        "diff": f"--- {name}@1\n+++ {name}@2\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n",
    }
    latest = client.get(f"{COMMANDS}/{name}/diff").json()
    assert (latest["old"], latest["new"], latest["diff"]) == (2, 3, "")
    assert {each["field"]: (each["old"], each["new"]) for each in latest["fields"]} == {
        "tags": (["old"], ["new"]),
        "defaults": (
            {"timeout": None, "env": {}, "cwd": None, "group": None},
            {"timeout": 5, "env": {}, "cwd": None, "group": None},
        ),
    }
    back = client.get(f"{COMMANDS}/{name}/diff", params={"from": 2, "to": 1}).json()
    assert "-2\n+two\n" in back["diff"]


def test_lines_that_do_not_end_are_told(client: httpx.Client) -> None:
    name = created(client, f"h-{uuid4().hex}", code="a\r\nb")
    client.put(f"{COMMANDS}/{name}", json={"code": "a\r\nc\n"})
    found = client.get(f"{COMMANDS}/{name}/diff").json()["diff"]
    assert found.endswith(" a\r\n-b\n\\ No newline at end of file\n+c\n")


def test_the_only_version_differs_from_nothing(client: httpx.Client) -> None:
    name = created(client, f"h-{uuid4().hex}")
    found = client.get(f"{COMMANDS}/{name}/diff").json()
    assert found == {"old": 1, "new": 1, "fields": [], "diff": ""}


def test_what_is_too_long_is_not_compared(client: httpx.Client) -> None:
    name = created(client, f"h-{uuid4().hex}", code="a\n" * 30_000)
    client.put(f"{COMMANDS}/{name}", json={"code": "b\n" * 30_000})
    problem(client.get(f"{COMMANDS}/{name}/diff"), 422, "diff-too-large")


def test_a_roll_back_is_a_new_version_and_loses_nothing(client: httpx.Client, name: str) -> None:
    client.put(f"{COMMANDS}/{name}", json={"is_active": False})
    answer = client.post(f"{COMMANDS}/{name}/rollback", json={"version": 1})
    assert answer.status_code == 200
    command = answer.json()
    assert (command["code"], command["tags"], command["version"]) == (
        "one\ntwo\nthree\n",
        ["old"],
        4,
    )
    assert (command["name"], command["is_active"]) == (name, False), "these stay"
    assert command["defaults"]["timeout"] is None
    versions = client.get(f"{COMMANDS}/{name}/versions").json()["items"]
    assert [each["note"] for each in versions] == ["rolled back to version 1", None, None, None]
    assert client.get(f"{COMMANDS}/{name}/versions/3").json()["tags"] == ["new"]
    again = client.post(f"{COMMANDS}/{name}/rollback", json={"version": 1}).json()
    assert again["version"] == 4, "nothing has changed"


def test_a_roll_back_keeps_a_new_name(client: httpx.Client, name: str) -> None:
    new = f"renamed-{uuid4().hex}"
    client.put(f"{COMMANDS}/{name}", json={"name": new})
    created(client, name)
    command = client.post(f"{COMMANDS}/{new}/rollback", json={"version": 1}).json()
    assert (command["name"], command["code"]) == (new, "one\ntwo\nthree\n")
    assert client.get(f"{COMMANDS}/{new}/versions/1").json()["name"] == name


def test_what_is_not_there_is_told(client: httpx.Client, name: str) -> None:
    for answer in (
        client.get(f"{COMMANDS}/{name}/versions/9"),
        client.get(f"{COMMANDS}/{name}/diff", params={"from": 9}),
        client.post(f"{COMMANDS}/{name}/rollback", json={"version": 9}),
    ):
        problem(answer, 404, "version-not-found")
    for path in ("versions", "versions/1", "diff", "stats", "similar"):
        problem(client.get(f"{COMMANDS}/nobody/{path}"), 404, "command-not-found")
    answer = client.post(f"{COMMANDS}/nobody/rollback", json={"version": 1})
    problem(answer, 404, "command-not-found")
    for wrong in ({}, {"version": 0}, {"version": "1"}, {"version": 1, "x": 1}):
        problem(client.post(f"{COMMANDS}/{name}/rollback", json=wrong), 422, "invalid")
    problem(
        client.get(f"{COMMANDS}/{name}/versions", params={"cursor": "x"}), 422, "invalid-cursor"
    )
    problem(client.get(f"{COMMANDS}/{name}/stats", params={"since": "x"}), 422, "invalid-run")


def test_statistics_of_runs(client: httpx.Client) -> None:
    name = created(client, f"s-{uuid4().hex}", code='exit "$1"')
    ids = []
    for code in ("0", "0", "0", "7"):
        body = {"name": name, "args": [code]}
        ids.append(client.post("/api/v1/workflows/start", json=body).json()["job_id"])
        finished(client, ids[-1])
    stats = client.get(f"{COMMANDS}/{name}/stats").json()
    assert (stats["runs"], stats["statuses"]) == (4, {"completed": 3, "failed": 1})
    assert stats["success_rate"] == 0.75
    assert 0 < stats["p50_seconds"] <= stats["p95_seconds"] < 60
    assert stats["last_failure"]["run_id"] == ids[-1]
    assert stats["last_failure"]["returncode"] == 7
    assert (
        client.get(f"{COMMANDS}/{name}/stats", params={"since": "2999-01-01"}).json()["runs"] == 0
    )
