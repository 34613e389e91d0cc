"""What happens to runs over plain HTTP: NDJSON, and server-sent events that can go on."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from fastapi_app.routers import events as module
from fastapi_app.routers.events import BEAT, RETRY
from tests.fastapi_app.routers.wire import (
    NDJSON,
    RUNS,
    events,
    execute,
    printed,
    problem,
    start,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

    import httpx

    from tests.servers import Server

SSE = {"Accept": "text/event-stream"}


def sent(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """The id and the data of each server-sent event."""
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["Cache-Control"] == "no-cache"
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            data = json.loads(fields["data"])
            assert data["type"] == fields["event"]
            yield fields.get("id", ""), data
            fields = {}


def test_a_log_as_server_sent_events(client: httpx.Client) -> None:
    run_id = execute(client, "echo hi; echo err >&2; exit 3")["job_id"]
    with client.stream("GET", f"{RUNS}/{run_id}/logs", headers=SSE) as answer:
        said = list(sent(answer))
    assert [(mark, data["type"], data["message"]) for mark, data in said] == [
        ("3,0", "log", "hi\n"),
        ("3,4", "log", "err\n"),
        ("3,4", "end", "failed"),
    ]


def test_a_log_goes_on_behind_the_last_event_id(client: httpx.Client, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    run_id = start(client, f"echo first; echo err >&2; cat {fifo}; echo last")
    printed(client, run_id)
    url = f"{RUNS}/{run_id}/logs?follow=true"
    with client.stream("GET", url, headers=SSE) as answer:
        (mark, first), *_ = [next(sent(answer))]
    assert (first["message"], mark.split(",")[0]) == ("first\n", "6")
    with client.stream("GET", url, headers=SSE | {"Last-Event-ID": "6,2"}) as answer:
        fifo.write_text("now\n")
        said = [data for _, data in sent(answer)]
    assert text_of(said) == "now\nlast\n"
    assert text_of(said, "stderr") == "r\n"
    assert said[-1]["status"] == "completed"
    only = client.get(url, params={"stream": "stderr"}, headers=SSE | {"Last-Event-ID": "6,2"})
    assert '"message":"r\\n"' in only.text
    refused = client.get(url, headers=SSE | {"Last-Event-ID": "x"})
    problem(refused, 422, "invalid")


def test_the_events_of_a_run(client: httpx.Client) -> None:
    run_id = start(client, "echo ::progress 50 half; exit 3")
    said = events(client.get(f"{RUNS}/{run_id}/events"))
    assert [e["status"] for e in said if e["type"] == "status"] == ["queued", "running", "failed"]
    assert [e["returncode"] for e in said if e["type"] == "status"] == [None, None, 3]
    assert [(e["percent"], e["message"]) for e in said if e["type"] == "progress"] == [(50, "half")]
    with client.stream("GET", f"{RUNS}/{run_id}/events", headers=SSE) as answer:
        marks = [mark for mark, data in sent(answer) if data["type"] == "status"]
    assert marks == [str(e["seq"]) for e in said if e["type"] == "status"]
    behind = SSE | {"Last-Event-ID": marks[1]}
    with client.stream("GET", f"{RUNS}/{run_id}/events", headers=behind) as answer:
        assert [d["status"] for _, d in sent(answer) if d["type"] == "status"] == ["failed"]
    problem(client.get(f"{RUNS}/no-such-run/events"), 404, "run-not-found")


def test_the_events_of_a_run_that_goes_on(client: httpx.Client) -> None:
    run_id = start(client, "sleep 60")
    with client.stream("GET", f"{RUNS}/{run_id}/events") as answer:
        lines = answer.iter_lines()
        assert json.loads(next(lines))["status"] == "queued"
        assert json.loads(next(lines))["status"] == "running"
        client.post(f"{RUNS}/{run_id}/stop")
        assert [json.loads(line)["status"] for line in lines] == ["cancelled"]
    now = events(client.get(f"{RUNS}/{run_id}/events", params={"follow": False}))
    assert [event["status"] for event in now] == ["queued", "running", "cancelled"]


def test_the_events_of_all_runs(client: httpx.Client) -> None:
    def told(**params: str | int | bool) -> list[dict[str, Any]]:
        return events(client.get(f"{RUNS}/events", params={"follow": False, **params}))

    before = told()[-1]["seq"] if told() else 0
    good, bad = execute(client, "true")["job_id"], execute(client, "exit 1")["job_id"]
    said = told(since=before)
    assert {event["job_id"] for event in said} == {good, bad}
    assert [event["seq"] for event in said] == sorted(event["seq"] for event in said)
    failed = told(since=before, status="failed", kind="execute", group="default")
    assert [event["job_id"] for event in failed] == [bad]
    assert told(since=before, name="no such name") == []
    assert told(since=before, group="no such group") == []
    with client.stream("GET", f"{RUNS}/events", params={"since": before}, headers=SSE) as answer:
        following = sent(answer)
        assert [next(following)[1] for _ in said] == said
        run_id = start(client, "true")
        assert next(following)[1]["job_id"] == run_id
    problem(client.get(f"{RUNS}/events", params={"since": -1}), 422, "invalid")
    assert client.get(f"{RUNS}/events?follow=0").headers["Content-Type"] == NDJSON


def test_a_log_that_was_removed_is_gone(client: httpx.Client, server: Server) -> None:
    run_id = execute(client, "echo hi")["job_id"]
    (server.home / "logs" / f"{run_id}.out").unlink()
    for accept in ("text/plain", NDJSON, "text/event-stream"):
        answer = client.get(f"{RUNS}/{run_id}/logs", headers={"Accept": accept})
        problem(answer, 410, "log-removed")
    silent = execute(client, "true")["job_id"]
    assert client.get(f"{RUNS}/{silent}/logs").text == ""


async def test_a_comment_now_and_then_shows_that_the_stream_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", 0.02)
    go_on, closed = asyncio.Event(), False

    async def source() -> AsyncGenerator[bytes, None]:
        nonlocal closed
        try:
            yield b"one"
            await go_on.wait()
            yield b"two"
        finally:
            closed = True

    stream = module.sse_response(source()).body_iterator
    said: list[object] = []
    async for item in stream:
        if item == BEAT:
            go_on.set()
        else:
            said.append(item)
    assert said == [RETRY, b"one", b"two"]
    assert closed
