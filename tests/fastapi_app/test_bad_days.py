"""Bad days of a run: awkward output, processes that hang on, clients that are late or hasty."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from fastapi_app.engine.cookies import find
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
from tests.fastapi_app.starting import start_app, until
from tests.memory import growing_less_than

if TYPE_CHECKING:
    from tests.servers import Server

MANY = 10_000
LINE = 200_000_000
GROWTH = 32_000_000
CAP = 4096
# NUL, a byte that is no UTF-8, a character cut in two by a pause, and half of one at the end.
AWKWARD = r"printf 'a\000b\377c\303'; sleep 0.1; printf '\251\n\360\237'"
SHOWN = "a\0b\ufffdc\u00e9\n\ufffd"
BOMB = """
import os, time
for n in range(200):
    if os.fork() == 0:
        if n % 3 == 0:
            os.setsid()
        if n % 2 == 0:
            os.fork()
        time.sleep(60)
        os._exit(0)
print("ready", flush=True)
time.sleep(60)
"""


def heard(server: Server, run_id: str) -> list[dict[str, object]]:
    """All that a WebSocket on the logs of a run says."""
    url = f"{server.new.replace('http', 'ws', 1)}/ws/workflows/{run_id}/logs"
    with connect(
        url, additional_headers=server.auth, proxy=None, open_timeout=15, max_size=None
    ) as socket:
        said = [json.loads(message) for message in socket]
    assert socket.close_code == 1000
    return said


def data_of(text: str) -> list[dict[str, object]]:
    """What server-sent events carry."""
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def test_awkward_bytes_read_the_same_in_every_way(client: httpx.Client, server: Server) -> None:
    answer = execute(client, f"({AWKWARD}); ({AWKWARD}) >&2")
    assert (answer["output"], answer["error"]) == (SHOWN, SHOWN)
    with client.stream(
        "POST", f"{RUNS}/execute", json={"command": AWKWARD, "stream": True}
    ) as streamed:
        assert text_of(events(streamed)) == SHOWN
    run_id = start(client, AWKWARD)
    with ThreadPoolExecutor() as pool:
        live = pool.submit(heard, server, run_id)
        followed = client.get(f"{RUNS}/{run_id}/logs?follow=true")
        assert text_of(live.result()) == SHOWN
    assert followed.text == SHOWN
    assert client.get(f"{RUNS}/{run_id}/logs").text == SHOWN
    for follow in ("true", "false"):
        url = f"{RUNS}/{run_id}/logs?follow={follow}"
        assert text_of(events(client.get(url, headers={"Accept": NDJSON}))) == SHOWN
        sent = client.get(url, headers={"Accept": "text/event-stream"})
        assert text_of(data_of(sent.text)) == SHOWN
    assert client.get(f"{RUNS}/{run_id}/logs?offset=3").text == SHOWN[3:]


def test_a_line_without_an_end(client: httpx.Client, server: Server) -> None:
    with growing_less_than(GROWTH, server.pid):
        run_id = start(client, f"head -c {LINE} /dev/zero | tr '\\0' x; echo ::progress 50 >&2")
        for _ in ("live", "late"):
            with client.stream("GET", f"{RUNS}/{run_id}/logs?follow=1") as answer:
                assert sum(map(len, answer.iter_raw())) == LINE + len("::progress 50\n")
        assert show(client, run_id)["stdout_bytes"] == LINE
        assert client.delete(f"{RUNS}/{run_id}").status_code == 204
    assert not list((server.home / "logs").glob(f"{run_id}*"))


@pytest.mark.parametrize("end", ["time-out", "stop"])
def test_two_hundred_processes_go_with_their_run(client: httpx.Client, end: str) -> None:
    code = created(client, uuid4().hex, BOMB, language="python")
    body = {"name": code, "timeout": 2.0 if end == "time-out" else 60.0}
    run_id = client.post(f"{RUNS}/start", json=body).json()["job_id"]
    assert printed(client, run_id) == "ready\n"
    assert len(find(run_id)) > 200
    if end == "stop":
        assert client.post(f"{RUNS}/{run_id}/stop").json()["status"] == "cancelled"
    assert finished(client, run_id)["status"] == {"time-out": "timed_out"}.get(end, "cancelled")
    assert not find(run_id)


def test_what_ignores_the_signal_and_what_left_the_session(client: httpx.Client) -> None:
    run_id = start(client, "trap '' TERM; setsid sleep 60 & echo $!; while :; do sleep 1; done")
    stray = int(printed(client, run_id))
    answer = client.post(f"{RUNS}/{run_id}/stop").json()
    assert (answer["status"], answer["signal"]) == ("cancelled", "SIGKILL")
    until(lambda: not psutil.pid_exists(stray) or psutil.Process(stray).status() == "zombie")
    assert not find(run_id)


def test_a_run_is_over_when_its_child_is(client: httpx.Client) -> None:
    run_id = start(client, "sleep 60 & echo $!; exit 3")
    with client.stream("GET", f"{RUNS}/{run_id}/logs?follow=true") as answer:
        (line,) = answer.iter_lines()
    run = show(client, run_id)
    assert (run["status"], run["returncode"]) == ("failed", 3)
    assert run["duration_seconds"] < 10
    os.kill(int(line), signal.SIGKILL)


def test_stopped_before_it_starts_and_twice_and_when_over(
    client: httpx.Client, tmp_path: Path
) -> None:
    client.put("/api/v1/groups/held", json={})
    client.post("/api/v1/groups/held/pause")
    run_id = start(client, f"touch {tmp_path}/ran", group="held")
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(client.post, f"{RUNS}/{run_id}/stop") for _ in range(4)]
        answers = [done.result().json() for done in asked]
    assert {(a["status"], a["signal"], a["pid"]) for a in answers} == {("cancelled", None, None)}
    client.post("/api/v1/groups/held/resume")
    assert finished(client, start(client, "true", group="held"))["status"] == "completed"
    assert not (tmp_path / "ran").exists()
    items = client.get(f"{RUNS}/{run_id}/history").json()["items"]
    assert [item["status"] for item in items] == ["queued", "cancelled"]
    over = finished(client, start(client, "exit 4"))
    answer = client.post(f"{RUNS}/{over['id']}/stop").json()
    assert (answer["status"], answer["returncode"], answer["signal"]) == ("failed", 4, None)
    running = start(client, "echo ready; exec sleep 60")
    printed(client, running)
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(client.post, f"{RUNS}/{running}/stop") for _ in range(4)]
        answers = [done.result().json() for done in asked]
    assert {(a["status"], a["returncode"]) for a in answers} == {("cancelled", -15)}
    items = client.get(f"{RUNS}/{running}/history").json()["items"]
    assert [item["status"] for item in items] == ["queued", "running", "cancelled"]


def test_followed_before_the_first_byte_and_removed_meanwhile(
    client: httpx.Client, server: Server, tmp_path: Path
) -> None:
    gate, size = tmp_path / "gate", 20_000_000
    os.mkfifo(gate)
    run_id = start(client, f"cat {gate}; head -c {size} /dev/zero | tr '\\0' y")
    with client.stream("GET", f"{RUNS}/{run_id}/logs?follow=true") as answer:
        chunks = answer.iter_raw(1000)
        gate.write_text("first\n")
        assert next(chunks).startswith(b"first\n")
        until(lambda: show(client, run_id)["status"] == "completed")
        assert client.delete(f"{RUNS}/{run_id}").status_code == 204
        assert sum(map(len, chunks)) == size + 6 - 1000, "what was begun is read to its end"
    for path in ("", "/logs", "/logs?follow=true", "/history", "/events", "/steps", "/status"):
        problem(client.get(f"{RUNS}/{run_id}{path}"), 404, "run-not-found")
    problem(client.post(f"{RUNS}/{run_id}/stop"), 404, "run-not-found")
    problem(client.post(f"{RUNS}/{run_id}/retry"), 404, "run-not-found")
    url = f"{server.new.replace('http', 'ws', 1)}/ws/workflows/{run_id}"
    for path in ("", "/logs"):
        with (
            connect(url + path, additional_headers=server.auth, proxy=None) as socket,
            pytest.raises(ConnectionClosed) as closed,
        ):
            socket.recv(timeout=15)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4404


def test_repeated_removed_and_cleaned_at_once(client: httpx.Client) -> None:
    client.put("/api/v1/groups/race", json={})
    first = [finished(client, start(client, "exit 1", group="race"))["id"] for _ in range(4)]
    known, seen = list(first), []

    def act(number: int) -> None:
        for turn in range(15):
            run_id = known[(turn * 7 + number) % len(known)]
            if number % 4 == 0:
                answer = client.post(f"{RUNS}/clean", json={"group": "race"})
            elif number % 4 == 1:
                answer = client.delete(f"{RUNS}/{run_id}")
            else:
                answer = client.post(f"{RUNS}/{run_id}/retry")
                if answer.status_code == 202:
                    known.append(answer.json()["job_id"])
            seen.append(answer.status_code)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(act, number) for number in range(8)]:
            done.result()
    assert set(seen) <= {200, 202, 204, 404, 409}
    left = {"group": "race", "status": ["queued", "running"]}
    until(lambda: not client.get(f"{RUNS}/list", params=left).json()["items"])
    client.post(f"{RUNS}/clean", json={"group": "race"})
    assert client.get(f"{RUNS}/list", params={"group": "race"}).json()["items"] == []


def test_a_log_at_its_limit(home: Path) -> None:
    gate = home.with_name("gate")
    os.mkfifo(gate)
    with (
        start_app(home, max_log_bytes=str(CAP)) as server,
        server.client(timeout=30) as client,
    ):
        run_id = start(client, f"yes 0123456 | head -c 100000; cat {gate}; echo late; echo e >&2")
        with client.stream("GET", f"{RUNS}/{run_id}/logs?follow=true&stream=stdout") as answer:
            chunks = answer.iter_raw()
            first = next(chunks)
            until(lambda: (home / "logs" / f"{run_id}.out").stat().st_size == CAP + 1)
            gate.write_text("")
            whole = first + b"".join(chunks)
        assert whole == (b"0123456\n" * CAP)[:CAP]
        run = show(client, run_id)
        assert (run["status"], run["truncated"]) == ("completed", True)
        assert (run["stdout_bytes"], run["stderr_bytes"]) == (CAP, 2)
        assert text_of(heard(server, run_id)) == whole.decode()
        assert client.get(f"{RUNS}/{run_id}/logs?stream=stdout").content == whole
        answer = client.get(f"{RUNS}/{run_id}/logs?offset={CAP}&stream=stdout")
        assert answer.content == b""
        told = execute(client, "yes 0123456 | head -c 100000")
        assert told["output"] == whole.decode()
        exact = show(client, execute(client, f"head -c {CAP} /dev/zero")["job_id"])
        assert (exact["stdout_bytes"], exact["truncated"]) == (CAP, False)
        assert server.stop() == 0


def test_ten_thousand_wait(home: Path) -> None:
    steps = "\n".join(f"  s{n}: {{run: 'true'}}" for n in range(MANY // 10))
    with (
        start_app(home, max_queued_runs=str(MANY)) as server,
        server.client(timeout=60) as client,
    ):
        client.post("/api/v1/groups/default/pause")
        name = created(client, "wide", f"steps:\n{steps}", language="yaml")
        ids = []
        for _ in range(10):
            answer = client.post(f"{RUNS}/start", json={"name": name})
            assert answer.status_code == 202
            ids.append(answer.json()["job_id"])
        for path, body in (
            ("start", {"name": name}),
            ("execute", {"command": "true", "background": True}),
            ("execute", {"command": "true"}),
        ):
            answer = client.post(f"{RUNS}/{path}", json=body)
            problem(answer, 503, "queue-full")
            assert int(answer.headers["Retry-After"]) > 0
        server.kill()
    with (
        start_app(home, max_queued_runs=str(MANY)) as server,
        server.client(timeout=60) as client,
    ):
        assert client.get(f"{RUNS}/status").json()["queued_runs"] == MANY + 10
        answer = client.post(f"{RUNS}/execute", json={"command": "true"})
        problem(answer, 503, "queue-full")
        assert client.post(f"{RUNS}/{ids[0]}/stop").json()["status"] == "cancelled"
        client.put("/api/v1/groups/other", json={})
        assert finished(client, start(client, "true", group="other"))["status"] == "completed"
        assert server.stop() == 0
        assert b"Traceback" not in b"".join(server.printed)
