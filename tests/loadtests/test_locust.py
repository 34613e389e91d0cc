"""Locust, as a user runs it: every operation of every stack, and teeth for wrong answers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests

from loadtests.calls import OPERATIONS, STACKS
from loadtests.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadtests.servers import Server

WITHIN = 60  # seconds; only a hang takes that long
LINE = re.compile(r"^[A-Z]+ +(\w+/[\w ]+?) +(\d+) +(\d+)\(", re.MULTILINE)


def locust(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    argv = ["-f", "loadtests/locustfile.py", "--headless", "--only-summary"]
    return subprocess.run(
        [sys.executable, "-m", "locust", *argv, *args],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WITHIN,
        check=False,
    )


def figures(printed: str) -> dict[str, tuple[int, int]]:
    """Requests and failures by the name of the operation, from Locust's last table.

    Its CSV files may lack the last second.
    """
    return {name: (int(sent), int(failed)) for name, sent, failed in LINE.findall(printed)}


def active_workflows(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = requests.get(f"{url}/status", timeout=5).json()[
        "active_workflows"
    ]
    return found


def web_page(url: str) -> str:
    """Locust's page, as soon as it serves it."""
    ends = time.monotonic() + WITHIN
    while True:
        try:
            return requests.get(url, timeout=5).text
        except requests.ConnectionError:
            assert time.monotonic() < ends
            time.sleep(0.1)


def wait_until(holds: Callable[[], object]) -> None:
    ends = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.1)


def hosts(old: Server, both: Server) -> dict[str, str]:
    """Where the users of each stack send their load."""
    return {
        "LOADTEST_LEGACY_URL": old.urls["legacy daemon"],
        "LOADTEST_SHIM_URL": both.urls["legacy API"],
        "LOADTEST_NEW_URL": both.urls["new API"],
    }


def test_every_operation_of_every_stack_succeeds(old: Server, both: Server) -> None:
    done = locust(
        *("-u", "6", "-r", "6", "-t", "3s"),
        **hosts(old, both),
    )
    assert done.returncode == 0, done.stdout
    seen = figures(done.stdout)
    wanted = {f"{stack}/{operation}" for stack in STACKS for operation in OPERATIONS}
    assert seen.keys() == wanted
    assert {name for name, (sent, failed) in seen.items() if not sent or failed} == set()
    for url in (old.urls["legacy daemon"], both.urls["legacy API"]):
        assert active_workflows(url) == []


def test_people_the_command_line_and_followers(old: Server, both: Server) -> None:
    done = locust(
        *("-u", "14", "-r", "14", "-t", "3s"),
        *("MixedLegacy", "MixedShim", "MixedNew", "CliClient", "LogFollower"),
        **hosts(old, both),
    )
    assert done.returncode == 0, done.stdout
    seen = figures(done.stdout)
    # A wrong exit code and an unknown name are what was asked for, not failures.
    people = ("execute failing", "start unknown", "start workflow", "stop workflow", "status")
    wanted = {f"{stack}/{operation}" for stack in STACKS for operation in people}
    wanted |= {f"new/cli {operation}" for operation in ("run", "status", "runs")}
    wanted |= {f"new/{o}" for o in ("start background run", "follow first line")}
    wanted |= {"new/follow to the end"}
    assert wanted <= seen.keys(), done.stdout
    assert {name for name, (sent, failed) in seen.items() if not sent or failed} == set()
    for url in (old.urls["legacy daemon"], both.urls["legacy API"]):
        assert active_workflows(url) == []


def test_a_follower_that_cannot_follow_is_a_failure(limit: str) -> None:
    done = locust(*("--host", limit, "-u", "2", "-r", "2", "-t", "3s"), "LogFollower", "CliClient")
    assert done.returncode == 1, done.stdout
    seen = figures(done.stdout)
    assert seen["new/cli run"][0] == seen["new/cli run"][1] > 0
    assert seen["new/start background run"][0] == seen["new/start background run"][1] > 0


LOSES_LINES = """
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute

async def start(request):
    return JSONResponse({"job_id": "1", "status": "queued"}, 202)

async def follow(socket):
    await socket.accept()
    await socket.send_json({"type": "log", "message": "half of it"})
    await socket.send_json({"type": "end"})
    await socket.close()

routes = [
    Route("/api/v1/workflows/execute", start, methods=["POST"]),
    WebSocketRoute("/ws/workflows/1/logs", follow),
]
uvicorn.run(Starlette(routes=routes), port=int(sys.argv[1]), log_level="critical")
"""


def test_a_log_that_is_not_whole_is_a_failure(unused_tcp_port: int) -> None:
    argv = [sys.executable, "-c", LOSES_LINES, str(unused_tcp_port)]
    with subprocess.Popen(argv, cwd=ROOT) as server:
        try:
            url = f"http://127.0.0.1:{unused_tcp_port}"
            web_page(url)
            done = locust("--host", url, "-u", "1", "-t", "2s", "LogFollower")
        finally:
            server.terminate()
    seen = figures(done.stdout)
    assert seen["new/follow first line"][1] == 0
    sent, failed = seen["new/follow to the end"]
    assert sent == failed > 0
    assert "10 characters instead of" in done.stdout


def test_answers_that_only_look_right_are_failures(limit: str) -> None:
    done = locust(
        *("--host", limit, "-u", "1", "-t", "2s", "--exit-code-on-error", "7", "ShimScript"),
    )
    assert done.returncode == 7, done.stdout
    seen = figures(done.stdout)
    # The bare app answers these as the old daemon does, so nothing but the missing header is wrong.
    for name in ("shim/status", "shim/execute true"):
        sent, failed = seen[name]
        assert sent == failed > 0
    assert "X-Served-By is None" in done.stdout


def test_loadtest_starts_everything_and_ends_it(tmp_path: Path, unused_tcp_port: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "loadtests.run", "--web-port", str(unused_tcp_port)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        urls = [line.split()[1] for line in lines]
        assert [line.split()[0] for line in lines] == [
            *("LegacyScript", "ShimScript", "NewClient"),
            "Locust",
        ]
        for url in urls[:2]:
            assert requests.get(f"{url}/status", timeout=5).json()["running"] is True
        assert requests.get(f"{urls[2]}/readyz", timeout=5).status_code == 200
        assert "ShimScript" in web_page(urls[3])
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN) == 0
    for url in urls:
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)
    assert list(tmp_path.iterdir()) == []


def test_workers_that_locust_forgets_are_ended_too(unused_tcp_port: int) -> None:
    argv = [sys.executable, "-m", "loadtests.run", "--web-port", str(unused_tcp_port)]
    with subprocess.Popen([*argv, "--processes", "1"], cwd=ROOT, stdout=subprocess.DEVNULL) as run:
        url = f"http://127.0.0.1:{unused_tcp_port}"
        web_page(url)
        started = {"user_count": 1, "spawn_rate": 1, "user_classes": "ShimScript"}
        count = f"{url}/worker-count"
        wait_until(lambda: requests.get(count, timeout=5).json()["worker_count"] == 1)
        requests.post(f"{url}/swarm", data=started, timeout=30)
        wait_until(lambda: requests.get(f"{url}/compare/data", timeout=5).json()["users"] == 1)
        requests.post(f"{url}/stop", timeout=30)
        wait_until(lambda: requests.get(count, timeout=5).json()["worker_count"] == 0)
        children = psutil.Process(run.pid).children(recursive=True)
        locusts = [child for child in children if "locust" in child.cmdline()]
        listening = [at.laddr.ip for one in locusts for at in one.net_connections() if not at.raddr]
        assert set(listening) == {"127.0.0.1"}
        run.send_signal(signal.SIGTERM)
        run.wait(WITHIN)
    assert len(locusts) == 2
    assert [process for process in locusts if process.is_running()] == []
