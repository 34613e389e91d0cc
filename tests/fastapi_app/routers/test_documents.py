"""Workflows with steps: stored when they are right, run as a graph, stopped and found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from tests.fastapi_app.routers.wire import (
    COMMANDS,
    RUNS,
    created,
    finished,
    printed,
    problem,
    show,
)
from tests.fastapi_app.starting import start_app, until

if TYPE_CHECKING:
    from pathlib import Path

DIAMOND = """
[env]
WHO = "world"
[steps.top]
run = 'echo "top $WHO $1" | tee -a "$LOG"'
[steps.left]
run = 'echo left >> "$LOG"'
needs = ["top"]
[steps.right]
run = 'echo right >> "$LOG"'
needs = ["top"]
[steps.bottom]
run = 'echo bottom >> "$LOG"'
needs = ["left", "right"]
"""
FAILING = """
steps:
  build: {run: exit 4, retries: {times: 1, delay: 0.01}}
  test: {run: echo never, needs: [build]}
  publish: {run: echo never, needs: [test]}
  rescue: {run: echo rescued, needs: [build], when: failure}
  tidy: {run: echo tidied, needs: [test], when: any}
"""


def begin(client: httpx.Client, code: str, language: str, **terms: object) -> str:
    """Store a document, start it and return the id of its run."""
    name = created(client, uuid4().hex, code, language=language)
    answer = client.post(f"{RUNS}/start", json={"name": name, **terms})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def over(client: httpx.Client, run_id: str) -> dict[str, Any]:
    """The run once it is over."""
    return finished(client, run_id)


def steps(client: httpx.Client, run_id: str) -> dict[str, dict[str, Any]]:
    """Its steps by name."""
    items = client.get(f"{RUNS}/{run_id}/steps").json()["items"]
    return {step["name"]: step for step in items}


def test_steps_run_in_the_order_of_their_needs(client: httpx.Client, tmp_path: Path) -> None:
    log = tmp_path / "log"
    run_id = begin(client, DIAMOND, "toml", env={"LOG": str(log)}, args=["arg"])
    run = over(client, run_id)
    assert (run["status"], run["returncode"], run["steps"], run["pid"]) == ("completed", 0, 4, None)
    lines = log.read_text().splitlines()
    assert (lines[0], sorted(lines[1:3]), lines[3]) == (
        "top world arg",
        ["left", "right"],
        "bottom",
    )
    found = steps(client, run_id)
    assert list(found) == ["top", "left", "right", "bottom"]
    assert {step["kind"] for step in found.values()} == {"step"}
    assert {step["parent_id"] for step in found.values()} == {run_id}
    assert printed(client, found["top"]["id"]) == "top world arg\n", "its own log"
    assert "step bottom completed" in printed(client, run_id)
    listed = client.get(f"{RUNS}/list", params={"limit": 1000}).json()["items"]
    assert found["top"]["id"] not in [each["id"] for each in listed], "steps are no runs of theirs"
    listed = client.get(f"{RUNS}/list", params={"parent": run_id}).json()["items"]
    assert len(listed) == 4


def test_a_failure_skips_what_needs_it_and_lets_others_clean_up(client: httpx.Client) -> None:
    run_id = begin(client, FAILING, "yaml")
    run = over(client, run_id)
    assert (run["status"], run["returncode"]) == ("failed", 4)
    assert run["reason"] == "step build failed with exit code 4"
    found = steps(client, run_id)
    assert {name: step["status"] for name, step in found.items()} == {
        "build": "failed",
        "test": "cancelled",
        "publish": "cancelled",
        "rescue": "completed",
        "tidy": "completed",
    }
    assert found["build"]["attempt"] == 2
    assert found["test"]["reason"] == "skipped: build failed"
    assert found["publish"]["reason"] == "skipped: test cancelled"


def test_a_stop_stops_every_step(client: httpx.Client) -> None:
    code = "steps: {a: {run: sleep 60}, b: {run: echo never, needs: [a], when: any}}"
    run_id = begin(client, code, "yaml")
    until(lambda: show(client, run_id)["status"] == "running")
    answer = client.post(f"{RUNS}/{run_id}/stop").json()
    assert answer["status"] == "cancelled"
    assert [step["status"] for step in steps(client, run_id).values()] == ["cancelled"] * 2
    assert steps(client, run_id)["b"]["pid"] is None


def test_a_time_out_holds_for_the_whole(client: httpx.Client) -> None:
    code = "steps: {a: {run: sleep 60}, b: {run: echo never, needs: [a]}}"
    run = over(client, begin(client, code, "yaml", timeout=0.2))
    assert (run["status"], run["reason"]) == ("timed_out", "timed out after 0.2 seconds")


def test_a_document_is_taken_up_by_the_next_server(home: Path, tmp_path: Path) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    code = f"""
steps:
  one: {{run: 'echo one >> {log}; while [ ! -e {gate} ]; do sleep 0.01; done'}}
  two: {{run: 'echo two >> {log}', needs: [one]}}
"""
    with start_app(home) as server, server.client(timeout=15) as client:
        run_id = begin(client, code, "yaml")
        until(log.exists)
        server.kill()
    with start_app(home) as server, server.client(timeout=15) as client:
        assert show(client, run_id)["status"] == "running"
        gate.touch()
        assert over(client, run_id)["status"] == "completed"
        assert log.read_text() == "one\ntwo\n", "each ran once"
        items = client.get(f"{RUNS}/{run_id}/history").json()["items"]
        assert [item["status"] for item in items] == ["queued", "running", "completed"]
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("steps: {a: {run: x, needs: [b]}, b: {run: x, needs: [a]}}", "a → b → a"),
        ("steps: {a: {run: x, needs: [ghost]}}", "ghost"),
        ("steps: {}", "steps"),
        ("steps: [", "line"),
    ],
)
def test_a_document_that_cannot_run_is_not_stored(
    client: httpx.Client, code: str, named: str
) -> None:
    body = {"name": uuid4().hex, "code": code, "language": "yaml"}
    found = problem(client.post(f"{COMMANDS}/create", json=body), 422, "invalid-document")
    assert named in found["detail"]
    problem(client.get(f"{COMMANDS}/{body['name']}"), 404, "command-not-found")
    name = created(client, uuid4().hex, "steps: {a: {run: x}}", language="yaml")
    problem(client.put(f"{COMMANDS}/{name}", json={"code": code}), 422, "invalid-document")
    assert client.get(f"{COMMANDS}/{name}").json()["code"] == "steps: {a: {run: x}}"


def test_a_document_has_no_retries_of_its_own(client: httpx.Client) -> None:
    name = created(client, uuid4().hex, "steps: {a: {run: x}}", language="yaml")
    answer = client.post(f"{RUNS}/start", json={"name": name, "retries": 2})
    assert "steps" in problem(answer, 422, "invalid-run")["detail"]


def test_a_step_in_an_unknown_group_lets_nothing_start(client: httpx.Client) -> None:
    code = "steps: {a: {run: x}, b: {run: x, group: nowhere}}"
    name = created(client, uuid4().hex, code, language="yaml")
    problem(client.post(f"{RUNS}/start", json={"name": name}), 404, "group-not-found")


def test_a_document_is_repeated_as_a_whole(client: httpx.Client) -> None:
    first = begin(client, "steps: {a: {run: echo $1}}", "yaml", args=["x"])
    over(client, first)
    step = steps(client, first)["a"]["id"]
    assert first in problem(client.post(f"{RUNS}/{step}/retry"), 422, "invalid-run")["detail"]
    again = client.post(f"{RUNS}/{first}/retry").json()["job_id"]
    assert over(client, again)["status"] == "completed"
    assert printed(client, steps(client, again)["a"]["id"]) == "x\n"
    client.delete(f"{RUNS}/{again}")
    problem(client.get(f"{RUNS}/{step}x"), 404, "run-not-found")


def test_a_notebook_that_is_none_is_not_stored(client: httpx.Client) -> None:
    body = {"name": uuid4().hex, "code": '{"cells": [', "language": "notebook"}
    found = problem(client.post(f"{COMMANDS}/create", json=body), 422, "invalid-notebook")
    assert found["errors"][0]["pointer"] == "/code"
    assert "line 1 column 12" in found["detail"]
    name = created(client, body["name"], '{"cells": []}', language="notebook")
    problem(client.put(f"{COMMANDS}/{name}", json={"code": "{}"}), 422, "invalid-notebook")
    problem(
        client.put(
            f"{COMMANDS}/{created(client, uuid4().hex, 'true')}", json={"language": "notebook"}
        ),
        422,
        "invalid-notebook",
    )
