"""The rest of /api/v1/workflows: start, list, look up, follow, stop."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from tests.fastapi_app.routers.test_execute import TIME
from tests.fastapi_app.routers.wire import (
    NDJSON,
    RUNS,
    created,
    events,
    execute,
    finished,
    printed,
    problem,
    show,
    start,
    text_of,
)
from tests.fastapi_app.starting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server


def started(client: httpx.Client, name: str, **fields: object) -> str:
    """Start a stored command and return the id of its run."""
    answer = client.post(f"{RUNS}/start", json={"name": name, **fields})
    assert answer.status_code == 202, answer.text
    assert answer.json() | {"job_id": ""} == {"job_id": "", "name": name, "status": "queued"}
    assert answer.headers["Location"] == f"{RUNS}/{answer.json()['job_id']}"
    return str(answer.json()["job_id"])


def listed(client: httpx.Client, **params: Any) -> list[str]:  # noqa: ANN401
    """The ids of one page."""
    answer = client.get(f"{RUNS}/list", params=params)
    assert answer.status_code == 200, answer.text
    return [run["id"] for run in answer.json()["items"]]


def ending(stopped: dict[str, Any]) -> tuple[str, str, int]:
    """How a stopped run ended."""
    return stopped["signal"], stopped["status"], stopped["returncode"]


def test_a_stored_command_runs_with_arguments_and_environment(client: httpx.Client) -> None:
    name = created(client, "greet", 'echo "$1|$2|$X|$(basename "$0")"; exit 3')
    run = finished(client, started(client, name, args=["a b", ""], env={"X": "ö"}, timeout=60))
    assert printed(client, run["id"]) == "a b||ö|script.sh\n"
    assert (run["kind"], run["name"], run["command"]) == ("workflow", "greet", "greet 'a b' ''")
    assert (run["args"], run["timeout"], run["returncode"]) == (["a b", ""], 60, 3)
    assert client.get(f"/api/v1/commands/{name}").json()["execution_count"] == 1


def test_a_python_command_runs_and_its_folder_goes_with_it(
    client: httpx.Client, server: Server
) -> None:
    code = "import os, sys\nopen('left', 'w').close()\nprint(sys.argv[1:], os.getcwd())"
    name = created(client, "snake", code, language="python")
    run_id = started(client, name, args=["x"])
    assert finished(client, run_id)["status"] == "completed"
    folder = server.home / "work" / run_id
    assert printed(client, run_id) == f"['x'] {folder}\n"
    assert not folder.exists()


def test_a_missing_interpreter_is_told(client: httpx.Client) -> None:
    name = created(client, "moon", "print(1)", language="lua")
    run = finished(client, started(client, name))
    if run["status"] == "failed":  # no lua here
        assert (run["returncode"], run["reason"]) == (127, "lua: interpreter not found")
        assert "interpreter not found" in printed(client, run["id"])


def test_what_cannot_be_started(client: httpx.Client) -> None:
    off = created(client, "off", is_active=False)
    problem(client.post(f"{RUNS}/start", json={"name": off}), 409, "command-inactive")
    for name in ("nosuch", "x" * 5000, "\0"):
        problem(client.post(f"{RUNS}/start", json={"name": name}), 404, "command-not-found")


def test_a_run_shows_itself(client: httpx.Client) -> None:
    answer = execute(client, "echo hi", timeout=7)
    run = show(client, answer["job_id"])
    times = [run.pop(name) for name in ("created_at", "started_at", "finished_at")]
    assert all(TIME.fullmatch(time) for time in times)
    assert times == sorted(times)
    assert 0 < run.pop("duration_seconds") < 15
    assert run.pop("pid") > 1
    assert run == {
        "id": answer["job_id"],
        "kind": "execute",
        "name": "",
        "command": "echo hi",
        "args": [],
        "env": {},
        "secrets": [],
        "cwd": None,
        "group": "default",
        "priority": 0,
        "after": [],
        "on": "success",
        "retries": {"times": 0, "delay": 1.0, "factor": 2.0, "longest": 300.0},
        "limits": {"nice": 0, "memory": None, "cpu": None, "processes": None},
        "stdin": False,
        "parent_id": None,
        "steps": 0,
        "retry_of": None,
        "not_before": None,
        "progress": None,
        "status": "completed",
        "reason": None,
        "attempt": 1,
        "returncode": 0,
        "timeout": 7.0,
        "stdout_bytes": 3,
        "stderr_bytes": 0,
        "truncated": False,
    }
    status = client.get(f"{RUNS}/{answer['job_id']}/status").json()
    assert status == {
        "id": answer["job_id"],
        "status": "completed",
        "returncode": 0,
        "reason": None,
    }


@pytest.mark.parametrize("run_id", [str(uuid4()), "no-uuid", "execute", "%00", "%ff", "x" * 3000])
def test_an_unknown_run_is_a_problem_everywhere(client: httpx.Client, run_id: str) -> None:
    for answer in (
        client.get(f"{RUNS}/{run_id}"),
        client.get(f"{RUNS}/{run_id}/status"),
        client.get(f"{RUNS}/{run_id}/logs"),
        client.post(f"{RUNS}/{run_id}/stop"),
    ):
        problem(answer, 404, "run-not-found")


def test_stop_answers_when_it_is_over(client: httpx.Client) -> None:
    run_id = start(client, "trap 'echo bye; exit 4' TERM; echo hi; while :; do sleep 0.02; done")
    printed(client, run_id)
    answer = client.post(f"{RUNS}/{run_id}/stop")
    assert answer.status_code == 200
    stopped = answer.json()
    assert (stopped["signal"], stopped["status"], stopped["returncode"]) == (
        "SIGTERM",
        "cancelled",
        4,
    )
    assert show(client, run_id) == {k: v for k, v in stopped.items() if k != "signal"} | {
        "progress": None
    }
    again = client.post(f"{RUNS}/{run_id}/stop").json()
    assert again == {**stopped, "signal": None}


def test_stop_kills_what_does_not_listen(client: httpx.Client) -> None:
    run_id = start(client, "trap '' TERM; echo hi; while :; do sleep 0.02; done")
    printed(client, run_id)
    stopped = client.post(f"{RUNS}/{run_id}/stop").json()
    assert (stopped["signal"], stopped["status"], stopped["returncode"]) == (
        "SIGKILL",
        "cancelled",
        -9,
    )


def test_lists_page_newest_first(client: httpx.Client) -> None:
    name = created(client, f"paged-{uuid4().hex}", "true")
    ids = [started(client, name) for _ in range(5)]
    seen, cursor = [], None
    while True:
        params = {"name": name, "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = client.get(f"{RUNS}/list", params=params).json()
        seen += [run["id"] for run in page["items"]]
        assert len(page["items"]) <= 2
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == ids[::-1]
    for run_id in ids:
        finished(client, run_id)


def test_lists_filter(client: httpx.Client) -> None:
    name = created(client, f"filtered-{uuid4().hex}", "exit $1")
    good, bad = (started(client, name, args=[code]) for code in ("0", "1"))
    for run_id in (good, bad):
        finished(client, run_id)
    assert listed(client, name=name, status="failed") == [bad]
    assert listed(client, name=name, status=["failed", "completed"]) == [bad, good]
    assert listed(client, name=name, kind="workflow", limit=1) == [bad]
    assert listed(client, name=name, kind="process") == []
    assert listed(client, name="\0") == []


@pytest.mark.parametrize(
    ("params", "code", "pointer"),
    [
        ({"cursor": "x"}, "invalid-cursor", None),
        ({"cursor": "é"}, "invalid-cursor", None),
        ({"cursor": "WzEsMl0"}, "invalid-cursor", None),  # [1,2]
        ({"cursor": "W05hTiwieCJd"}, "invalid-cursor", None),  # [NaN,"x"]
        ({"cursor": "WzFlOTk5LCJ4Il0"}, "invalid-cursor", None),  # [1e999,"x"]
        ({"cursor": "WzEuMCwiXHVkODAwIl0"}, "invalid-cursor", None),  # [1.0,"\ud800"]
        ({"cursor": "W1tb" * 9000}, "invalid-cursor", None),  # [[[[…
        ({"limit": "0"}, "invalid", "/limit"),
        ({"limit": "1001"}, "invalid", "/limit"),
        ({"limit": "x"}, "invalid", "/limit"),
        ({"status": "nosuch"}, "invalid", "/status/0"),
        ({"kind": "nosuch"}, "invalid", "/kind/0"),
    ],
)
def test_lists_refuse(
    client: httpx.Client, params: dict[str, str], code: str, pointer: str | None
) -> None:
    found = problem(client.get(f"{RUNS}/list", params=params), 422, code)
    if pointer is not None:
        assert [error["pointer"] for error in found["errors"]] == [pointer]


def test_status_counts(client: httpx.Client) -> None:
    before = client.get(f"{RUNS}/status").json()
    run_id = start(client, "sleep 60")
    until(lambda: show(client, run_id)["status"] == "running")
    now = client.get(f"{RUNS}/status").json()
    client.post(f"{RUNS}/{run_id}/stop")
    assert now.keys() == before.keys()
    assert now["running"] is True
    assert now["total_runs"] == before["total_runs"] + 1
    assert now["active_runs"] >= 1
    assert now["queued_runs"] == 0
    assert now["uptime_seconds"] > before["uptime_seconds"] > 0


def test_logs_as_text(client: httpx.Client) -> None:
    run_id = execute(client, "printf 'a€b'; printf err >&2")["job_id"]
    url = f"{RUNS}/{run_id}/logs"
    answer = client.get(url)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text == "a€berr"
    assert client.get(url, params={"stream": "stdout"}).text == "a€b"
    assert client.get(url, params={"stream": "stderr", "offset": "1"}).text == "rr"
    assert client.get(url, params={"offset": "4,2"}).text == "br"
    assert client.get(url, params={"offset": "4"}).text == "berr"
    assert client.get(url, params={"offset": "9" * 18}).text == "err"
    assert client.get(url, params={"follow": True, "stream": "stdout"}).text == "a€b"


def test_logs_as_events(client: httpx.Client) -> None:
    run_id = execute(client, "printf hi; printf err >&2; exit 2")["job_id"]
    headers = {"Accept": NDJSON}
    said = events(client.get(f"{RUNS}/{run_id}/logs", headers=headers))
    assert [(e["type"], e["stream"], e["message"], e["offset"]) for e in said] == [
        ("log", "stdout", "hi", 2),
        ("log", "stderr", "err", 3),
        ("end", None, "failed", 2),
    ]
    (end,) = events(client.get(f"{RUNS}/{run_id}/logs?offset=2,3", headers=headers))
    assert (end["type"], end["offset"], end["returncode"]) == ("end", 2, 2)


def test_logs_of_a_run_that_goes_on_have_no_end(client: httpx.Client) -> None:
    run_id = start(client, "echo hi; sleep 60")
    printed(client, run_id)
    said = events(client.get(f"{RUNS}/{run_id}/logs", headers={"Accept": NDJSON}))
    client.post(f"{RUNS}/{run_id}/stop")
    assert [event["type"] for event in said] == ["log"]


def test_a_follower_sees_what_comes_until_the_end(client: httpx.Client, tmp_path: Any) -> None:  # noqa: ANN401
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    run_id = start(client, f"echo first; cat {fifo}; echo last")
    url = f"{RUNS}/{run_id}/logs?follow=true"
    with client.stream("GET", url, headers={"Accept": NDJSON}) as answer:
        lines = answer.iter_lines()
        first = json.loads(next(lines))
        fifo.write_text("second\n")
        said = [first, *map(json.loads, lines)]
    assert first["message"] == "first\n"
    assert text_of(said) == "first\nsecond\nlast\n"
    assert (said[-1]["type"], said[-1]["status"]) == ("end", "completed")


@pytest.mark.parametrize(
    "query",
    [
        "stream=x",
        "offset=-1",
        "offset=x",
        "offset=1,",
        "offset=1,2,3",
        "follow=x",
        "offset=" + "9" * 19,
        "stream=stdout&offset=1,2",
    ],
)
def test_logs_refuse(client: httpx.Client, query: str) -> None:
    run_id = execute(client, "true")["job_id"]
    answer = client.get(f"{RUNS}/{run_id}/logs?{query}")
    assert answer.status_code == 422
    problem(answer, 422, answer.json()["code"])


def test_a_stored_command_runs_where_it_is_told_to(client: httpx.Client, tmp_path: Path) -> None:
    name = created(client, "where", "pwd; echo $1")
    body = {"name": name, "args": ["arg"], "cwd": str(tmp_path)}
    run_id = client.post(f"{RUNS}/start", json=body).json()["job_id"]
    assert finished(client, run_id)["status"] == "completed"
    assert printed(client, run_id) == f"{tmp_path}\narg\n"
    problem(
        client.post(f"{RUNS}/start", json={"name": name, "cwd": "/nowhere"}), 422, "invalid-run"
    )
