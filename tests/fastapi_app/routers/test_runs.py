"""One run through its life: history, retries, secrets, stopping, repeating, forgetting."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.fastapi_app.routers.wire import (
    COMMANDS,
    RUNS,
    created,
    execute,
    finished,
    printed,
    problem,
    show,
    start,
)
from tests.fastapi_app.starting import until

if TYPE_CHECKING:
    import httpx

    from tests.servers import Server


def test_the_history_tells_when_and_why(client: httpx.Client) -> None:
    run = finished(client, start(client, "exit 3", retries={"times": 1, "delay": 0.01}))
    assert (run["status"], run["attempt"], run["retries"]["times"]) == ("failed", 2, 1)
    items = client.get(f"{RUNS}/{run['id']}/history").json()["items"]
    assert [(item["status"], item["attempt"]) for item in items] == [
        ("queued", 1),
        ("running", 1),
        ("queued", 2),
        ("running", 2),
        ("failed", 2),
    ]
    assert items[0]["at"] == run["created_at"]
    assert items[-1]["at"] == run["finished_at"]
    assert "exit code 3" in items[2]["reason"]


def test_the_foreground_has_a_history_too(client: httpx.Client) -> None:
    run_id = execute(client, "true")["job_id"]
    items = client.get(f"{RUNS}/{run_id}/history").json()["items"]
    assert [item["status"] for item in items] == ["queued", "running", "completed"]


def test_secrets_are_shown_nowhere(client: httpx.Client) -> None:
    secret = "s3cret-" + uuid4().hex
    command = 'echo "$TOKEN"; printf %s "$TOKEN" | base64 -w0; echo "$TOKEN" >&2'
    body = {"secrets": {"TOKEN": secret}, "env": {"SAME": f"x{secret}y", "PLAIN": "seen"}}
    answer = execute(client, command, **body)
    assert answer["output"] == "***\n***"
    assert answer["error"] == "***\n"
    run_id = start(client, f"{command}; echo {secret}", **body)
    run = finished(client, run_id)
    assert run["env"] == {"TOKEN": "***", "SAME": "x***y", "PLAIN": "seen"}
    assert run["secrets"] == ["TOKEN"]
    assert run["command"].endswith("echo ***")
    texts = [
        client.get(path).text
        for path in (
            f"{RUNS}/{run_id}",
            f"{RUNS}/list?limit=1000",
            f"{RUNS}/{run_id}/logs",
            f"{RUNS}/{run_id}/logs?follow=true",
            f"{RUNS}/{run_id}/history",
            f"{RUNS}/{run_id}/status",
        )
    ]
    assert "***" in texts[2]
    for text in texts:
        assert secret not in text
        assert base64.b64encode(secret.encode()).decode()[:-4] not in text


def test_secrets_too_short_to_hide_are_refused(client: httpx.Client) -> None:
    body = {"command": "true", "secrets": {"PIN": "123"}}
    found = problem(client.post(f"{RUNS}/execute", json=body), 422, "invalid")
    assert "PIN is too short" in found["detail"]
    assert "123" not in found["detail"]


@pytest.mark.parametrize(
    ("body", "signal"),
    [
        ({}, "SIGTERM"),
        ({"interrupt": True}, "SIGINT"),
        ({"kill": True}, "SIGKILL"),
        ({"grace": 0.05}, "SIGTERM"),
    ],
)
def test_a_stop_says_what_it_took(
    client: httpx.Client, body: dict[str, object], signal: str
) -> None:
    run_id = start(client, "echo ready; exec sleep 60")
    printed(client, run_id)
    answer = client.post(f"{RUNS}/{run_id}/stop", json=body).json()
    assert (answer["status"], answer["signal"]) == ("cancelled", signal)
    again = client.post(f"{RUNS}/{run_id}/stop", json=body).json()
    assert (again["status"], again["signal"]) == ("cancelled", None)


@pytest.mark.parametrize("body", [{"grace": -1}, {"kill": "yes"}, {"signal": 9}])
def test_a_wrong_stop_stops_nothing(client: httpx.Client, body: dict[str, object]) -> None:
    run_id = start(client, "echo ready; exec sleep 60")
    printed(client, run_id)
    problem(client.post(f"{RUNS}/{run_id}/stop", json=body), 422, "invalid")
    assert show(client, run_id)["status"] == "running"
    client.post(f"{RUNS}/{run_id}/stop", json={"kill": True})


def test_an_ended_run_is_repeated_as_a_new_one(client: httpx.Client) -> None:
    first = finished(
        client, start(client, "echo $A $TOKEN; exit 2", env={"A": "1"}, secrets={"TOKEN": "abcd"})
    )
    answer = client.post(f"{RUNS}/{first['id']}/retry")
    assert answer.status_code == 202
    again = finished(client, answer.json()["job_id"])
    assert again["retry_of"] == first["id"]
    same = ("command", "env", "secrets", "status", "returncode", "attempt")
    assert [again[key] for key in same] == [first[key] for key in same]
    assert printed(client, again["id"]) == "1 ***\n"


def test_a_stored_command_is_repeated_as_it_is_now(client: httpx.Client) -> None:
    name = created(client, uuid4().hex, "echo old $1", language="shell")
    body = {"name": name, "args": ["x"]}
    first = client.post(f"{RUNS}/start", json=body).json()["job_id"]
    finished(client, first)
    client.put(f"{COMMANDS}/{name}", json={"code": "echo new $1"})
    again = client.post(f"{RUNS}/{first}/retry").json()["job_id"]
    assert printed(client, again) == "new x\n"
    client.delete(f"{COMMANDS}/{name}")
    problem(client.post(f"{RUNS}/{first}/retry"), 404, "command-not-found")


def test_what_goes_on_is_neither_repeated_nor_forgotten(client: httpx.Client) -> None:
    run_id = start(client, "echo ready; exec sleep 60")
    printed(client, run_id)
    problem(client.post(f"{RUNS}/{run_id}/retry"), 409, "run-active")
    problem(client.delete(f"{RUNS}/{run_id}"), 409, "run-active")
    client.post(f"{RUNS}/{run_id}/stop", json={"kill": True})


def test_a_forgotten_run_leaves_nothing(client: httpx.Client, server: Server) -> None:
    run_id = start(client, "echo hi")
    finished(client, run_id)
    assert client.delete(f"{RUNS}/{run_id}").status_code == 204
    for path in ("", "/logs", "/history", "/steps", "/status"):
        problem(client.get(f"{RUNS}/{run_id}{path}"), 404, "run-not-found")
    problem(client.delete(f"{RUNS}/{run_id}"), 404, "run-not-found")
    assert list((server.home / "logs").glob(f"{run_id}*")) == []


def test_cleaning_forgets_what_matches_and_counts_it(client: httpx.Client) -> None:
    name = uuid4().hex
    client.put(f"/api/v1/groups/{name}", json={})
    good = start(client, "echo 1234567", group=name)
    bad = start(client, "exit 1", group=name)
    active = start(client, "echo ready; exec sleep 60", group=name)
    for run_id in (good, bad):
        finished(client, run_id)
    printed(client, active)
    body: dict[str, object] = {"group": name}

    def clean(**more: object) -> tuple[int, int]:
        answer = client.post(f"{RUNS}/clean", json=body | more)
        assert answer.status_code == 200, answer.text
        return answer.json()["removed"], answer.json()["bytes"]

    assert clean(older_than=3600) == (0, 0)
    assert clean(status=["running", "queued"]) == (0, 0)
    assert clean(dry_run=True) == (2, 8)
    assert clean(status=["failed"])[0] == 1
    removed, size = clean()
    assert removed == 1
    assert size >= 8
    left = client.get(f"{RUNS}/list", params={"group": name}).json()["items"]
    assert [run["id"] for run in left] == [active]
    client.post(f"{RUNS}/{active}/stop", json={"kill": True})


def test_lists_are_narrowed_by_group_and_time(client: httpx.Client) -> None:
    name = uuid4().hex
    client.put(f"/api/v1/groups/{name}", json={})
    early = start(client, "true", group=name)
    finished(client, early)
    between = time.time()
    late = start(client, "true", group=name)

    def found(**query: str) -> list[str]:
        answer = client.get(f"{RUNS}/list", params={"group": name, **query})
        assert answer.status_code == 200, answer.text
        return [run["id"] for run in answer.json()["items"]]

    moment = datetime.fromtimestamp(between, UTC)
    assert found() == [late, early]
    for since in (str(between), moment.isoformat(), moment.isoformat().replace("+00:00", "Z")):
        assert found(since=since) == [late]
        assert found(until=since) == [early]
    assert found(since=moment.isoformat().replace("+", " ")) == [late]
    for wrong in ("yesterday", "nan", "inf", "2026-13-01", ""):
        answer = client.get(f"{RUNS}/list", params={"since": wrong})
        assert "since" in problem(answer, 422, "invalid-run")["detail"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"retries": -1},
        {"retries": 101},
        {"retries": {"times": 1, "delay": -1}},
        {"retries": {"often": 1}},
        {"priority": 1001},
        {"priority": "high"},
        {"on": "never"},
        {"after": "x"},
        {"nice": 20},
        {"nice": -1},
        {"memory_limit": 0},
        {"cpu_limit": 0.5},
        {"secrets": {"A=B": "long enough"}},
        {"group": ""},
        {"stdin": 1},
    ],
)
def test_wrong_terms_are_refused_with_the_field(
    client: httpx.Client, wrong: dict[str, object]
) -> None:
    body = {"command": "true", "background": True, **wrong}
    found = problem(client.post(f"{RUNS}/execute", json=body), 422, "invalid")
    assert next(iter(wrong)) in found["detail"]


@pytest.mark.parametrize("only", [{"after": []}, {"retries": 1}, {"stdin": True}])
def test_some_terms_need_the_background(client: httpx.Client, only: dict[str, object]) -> None:
    found = problem(
        client.post(f"{RUNS}/execute", json={"command": "true", **only}), 422, "invalid"
    )
    assert "`background`" in found["detail"]


def test_what_it_is_to_follow_must_exist(client: httpx.Client) -> None:
    body = {"command": "true", "background": True, "after": ["nope"]}
    found = problem(client.post(f"{RUNS}/execute", json=body), 422, "invalid-run")
    assert "nope" in found["detail"]


def test_one_follows_another(client: httpx.Client) -> None:
    bad = start(client, "exit 1")
    cleanup = start(client, "echo cleaned", after=[bad], on="failure")
    never = start(client, "echo never", after=[bad])
    assert finished(client, cleanup)["status"] == "completed"
    run = finished(client, never)
    assert (run["status"], run["reason"]) == ("cancelled", f"skipped: {bad} failed")
    assert (run["after"], run["on"]) == ([bad], "success")


def test_it_reads_what_is_sent_to_it(client: httpx.Client) -> None:
    run_id = start(client, "while read line; do echo got $line; done; echo end", stdin=True)
    until(lambda: show(client, run_id)["status"] == "running")
    send = f"{RUNS}/{run_id}/input"
    assert client.post(send, json={"data": "one\ntwo\n"}).status_code == 204
    until(lambda: "two" in printed(client, run_id))
    assert client.post(send, json={"data": "three\n", "end": True}).status_code == 204
    assert finished(client, run_id)["status"] == "completed"
    assert printed(client, run_id) == "got one\ngot two\ngot three\nend\n"
    problem(client.post(send, json={"data": "late"}), 409, "no-input")


def test_not_every_run_takes_input(client: httpx.Client) -> None:
    run_id = start(client, "echo ready; exec sleep 60")
    printed(client, run_id)
    found = problem(client.post(f"{RUNS}/{run_id}/input", json={"data": "x"}), 409, "no-input")
    assert "stdin" in found["detail"]
    client.post(f"{RUNS}/{run_id}/stop", json={"kill": True})


def test_limits_hold_and_say_so(client: httpx.Client) -> None:
    run = finished(client, start(client, "while :; do :; done", cpu_limit=1, nice=5))
    assert run["status"] == "failed"
    assert "processor time" in run["reason"]
    assert run["limits"] == {"nice": 5, "memory": None, "cpu": 1, "processes": None}
    hungry = "python3 -c 'b = bytearray(10**9)'"
    run_id = start(client, hungry, memory_limit=200_000_000)
    assert finished(client, run_id)["status"] == "failed"
    assert "MemoryError" in printed(client, run_id)
    assert printed(client, start(client, "nice", nice=7)) == "7\n"


def test_progress_is_what_it_said_last(client: httpx.Client) -> None:
    run_id = start(client, "echo ::progress 10 reading; echo ::progress 55.5 writing; echo x")
    assert finished(client, run_id)["progress"] == {"percent": 55.5, "message": "writing"}
    assert finished(client, start(client, "echo no progress"))["progress"] is None
