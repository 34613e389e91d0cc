"""POST /api/v1/workflows/execute: wait for it, stream it, or leave it in the background."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.fastapi_app.routers.wire import (
    RUNS,
    connected,
    events,
    execute,
    finished,
    printed,
    problem,
    request,
    show,
    start,
    text_of,
)
from tests.fastapi_app.starting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_the_answer_waits_for_the_end(client: httpx.Client) -> None:
    answer = execute(client, "echo hi; echo err >&2; exit 3")
    assert UUID.fullmatch(answer.pop("job_id"))
    assert answer == {
        "status": "failed",
        "output": "hi\n",
        "error": "err\n",
        "returncode": 3,
        "truncated": False,
    }


@pytest.mark.parametrize(
    ("command", "status", "returncode"),
    [("true", "completed", 0), ("kill -9 $$", "failed", -9), ("nosuch-program", "failed", 127)],
)
def test_how_it_ended_is_told(
    client: httpx.Client, command: str, status: str, returncode: int
) -> None:
    answer = execute(client, command)
    assert (answer["status"], answer["returncode"]) == (status, returncode)
    run = show(client, answer["job_id"])
    assert (run["status"], run["returncode"], run["command"]) == (status, returncode, command)


def test_environment_and_folder_are_the_run_s_own(client: httpx.Client, tmp_path: Path) -> None:
    answer = execute(client, 'pwd; echo "$A|$HOME"', env={"A": "ä b"}, cwd=str(tmp_path))
    assert answer["output"] == f"{tmp_path}\nä b|{os.environ['HOME']}\n"


def test_a_time_out_keeps_what_was_printed(client: httpx.Client) -> None:
    answer = execute(client, "echo before; sleep 60", timeout=0.3)
    assert (answer["status"], answer["output"]) == ("timed_out", "before\n")
    assert show(client, answer["job_id"])["reason"] == "timed out after 0.3 seconds"


def test_output_that_is_no_utf8_is_readable(client: httpx.Client) -> None:
    answer = execute(client, r"printf 'a\377b\303'; printf '\200' >&2")
    assert (answer["output"], answer["error"]) == ("a\ufffdb\ufffd", "\ufffd")
    logs = client.get(f"{RUNS}/{answer['job_id']}/logs", params={"stream": "stdout"})
    assert logs.text == "a\ufffdb\ufffd"


def test_output_beyond_the_limit_is_cut_and_marked(client: httpx.Client) -> None:
    answer = execute(client, "head -c 5000 /dev/zero | tr '\\0' x")
    assert (len(answer["output"]), answer["truncated"]) == (1000, True)
    assert len(client.get(f"{RUNS}/{answer['job_id']}/logs").text) == 5000
    exact = execute(client, "head -c 1000 /dev/zero | tr '\\0' x")
    assert (len(exact["output"]), exact["truncated"]) == (1000, False)


def test_the_background_answers_at_once_and_says_where(client: httpx.Client) -> None:
    body = {"command": "echo hi", "background": True}
    answer = client.post(f"{RUNS}/execute", json=body)
    assert answer.status_code == 202
    job_id = answer.json()["job_id"]
    assert answer.json() == {"job_id": job_id, "status": "queued"}
    assert answer.headers["Location"] == f"{RUNS}/{job_id}"
    run = finished(client, job_id)
    assert (run["status"], run["stdout_bytes"]) == ("completed", 3)


def test_a_stream_is_start_logs_end(client: httpx.Client) -> None:
    body = {"command": "echo hi; sleep 0.1; echo err >&2; exit 3", "stream": True}
    with client.stream("POST", f"{RUNS}/execute", json=body) as answer:
        said = events(answer)
    assert [event["type"] for event in said] == ["start", "log", "log", "end"]
    first, out, err, end = said
    assert first["job_id"] == first["message"]
    assert (out["stream"], out["message"], out["offset"]) == ("stdout", "hi\n", 3)
    assert (err["stream"], err["message"], err["offset"]) == ("stderr", "err\n", 4)
    assert (end["message"], end["status"], end["returncode"]) == ("failed", "failed", 3)
    assert (end["stream"], end["offset"], end["reason"]) == (None, 3, None)
    assert all(TIME.fullmatch(event["timestamp"]) for event in said)
    assert show(client, first["job_id"])["status"] == "failed"


def test_a_streamed_run_can_be_looked_up_and_stopped_by_its_first_event(
    client: httpx.Client, server: Server
) -> None:
    body = {"command": "sleep 60", "stream": True}
    with (
        server.client(timeout=15) as other,
        other.stream("POST", f"{RUNS}/execute", json=body) as answer,
    ):
        lines = answer.iter_lines()
        run_id = json.loads(next(lines))["job_id"]
        assert show(client, run_id)["status"] == "running"
        assert client.post(f"{RUNS}/{run_id}/stop").json()["signal"] == "SIGTERM"
        assert json.loads(list(lines)[-1])["status"] == "cancelled"


def test_streamed_output_is_complete(client: httpx.Client) -> None:
    body = {"command": "seq 1 50000", "stream": True}
    with client.stream("POST", f"{RUNS}/execute", json=body) as answer:
        said = events(answer)
    assert text_of(said) == "".join(f"{n}\n" for n in range(1, 50001))
    assert said[-1]["offset"] == said[-2]["offset"] == 288894


@pytest.mark.parametrize("fields", [{}, {"background": True}, {"stream": True}])
def test_a_folder_that_is_none_is_refused(client: httpx.Client, fields: dict[str, bool]) -> None:
    for cwd in ("/nosuch", "/etc/passwd", "", "x" * 5000):
        answer = client.post(f"{RUNS}/execute", json={"command": "true", "cwd": cwd, **fields})
        assert "cwd is not a folder" in problem(answer, 422, "invalid-run")["detail"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_the_command(
    client: httpx.Client, server: Server, tmp_path: Path, stream: bool
) -> None:
    marker = tmp_path / "pid"
    body = {"command": f"echo $$ > {marker}; trap '' TERM; sleep 60; sleep 60", "stream": stream}
    sent = request("POST", f"{RUNS}/execute", json.dumps(body).encode(), server.auth_line)
    with connected(server.new, sent):
        pid = int(until(lambda: marker.exists() and marker.read_text()))
        runs = client.get(f"{RUNS}/list", params={"status": "running"}).json()["items"]
        run_id = next(run["id"] for run in runs if run["pid"] == pid)
    until(lambda: show(client, run_id)["status"] == "cancelled")
    assert show(client, run_id)["reason"] == "the client left"
    assert not os.path.exists(f"/proc/{pid}")  # noqa: PTH110


def test_a_client_that_half_closes_still_gets_no_zombie(
    client: httpx.Client, server: Server
) -> None:
    before = client.get(f"{RUNS}/status").json()["active_runs"]
    body = json.dumps({"command": "echo hi"}).encode()
    with connected(server.new, request("POST", f"{RUNS}/execute", body, server.auth_line)) as wire:
        assert wire.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    until(lambda: client.get(f"{RUNS}/status").json()["active_runs"] == before)


def test_many_at_once_are_not_mixed_up(client: httpx.Client) -> None:
    ids = [start(client, f"echo {number}") for number in range(30)]
    for number, run_id in enumerate(ids):
        assert finished(client, run_id)["status"] == "completed"
        assert printed(client, run_id) == f"{number}\n"
