"""The shadow on real servers: nothing twice, nobody waits, and nobody is blamed for noise."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.compat.test_rollout import start_faulty
from tests.contract.seeds import plant
from tests.servers import Server, start_dual, start_legacy

API = "/api/v1/cutover"
RUNS = 5000
SETTLED = {"MCLI_DEFAULT_STAGE": "shadow", "MCLI_SHADOW_QUEUE": "100000"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    with start_dual(home, **SETTLED) as running:
        plant(home)
        yield running
        assert running.stop() == 0
        assert b"Traceback" not in b"".join(running.printed)


@pytest.fixture
def old(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.legacy, timeout=60) as client:
        yield client


@pytest.fixture
def new(server: Server) -> Iterator[httpx.Client]:
    with server.client(timeout=30) as client:
        yield client
        client.delete(f"{API}/mismatches").raise_for_status()


def shadow(new: httpx.Client, route: str) -> dict[str, Any]:
    (found,) = new.get(f"{API}/stats", params={"route": route}).json()
    return {**found["shadow"], "answered": found["legacy"]["requests"], "noise": found["noise"]}


def settled(new: httpx.Client, route: str, calls: int, within: float = 60) -> dict[str, Any]:
    """The shadow of a route once that many calls have been counted, and each is accounted for.

    An answer is counted a moment after it has gone out.
    """
    deadline = time.monotonic() + within
    while True:
        found = shadow(new, route)
        tried = found["compared"] + found["dropped"] + found["skipped"]
        if calls <= found["answered"] == tried:
            return found
        assert time.monotonic() < deadline, found
        threading.Event().wait(0.05)


def test_five_thousand_commands_in_the_shadow_run_five_thousand_times(
    server: Server, new: httpx.Client
) -> None:
    lines = server.home / "lines"
    body = {"command": f"echo x >> {lines}"}

    def call(count: int) -> set[tuple[int, str, bool]]:
        with httpx.Client(base_url=server.legacy, timeout=60) as client:
            answers = [client.post("/execute", json=body) for _ in range(count)]
        return {(a.status_code, a.headers["X-Served-By"], a.json()["success"]) for a in answers}

    with ThreadPoolExecutor(4) as pool:
        seen = set().union(*pool.map(call, [RUNS // 4] * 4))
    assert seen == {(200, "legacy", True)}
    found = settled(new, "POST /execute", RUNS)
    assert lines.read_text() == "x\n" * RUNS
    assert (found["compared"], found["mismatched"], found["dropped"]) == (RUNS, 0, 0)


@pytest.mark.parametrize(
    ("route", "path", "bodies"),
    [
        (
            "POST /execute",
            "/execute",
            [
                {"command": "echo é; echo err >&2; exit 3"},
                {"command": "sleep 5", "timeout": 0.1},
                {"command_name": "sh-args", "args": ["a b", 1]},
                {"command_name": "lua-hello"},
                {"command_name": "nonesuch"},
                {"command": 5},
                {},
            ],
        ),
        (
            "POST /workflow/start",
            "/workflow/start",
            [
                {"name": "quick", "args": [1, "x"], "env": {"A": "b"}},
                {"name": "hidden"},
                {"name": 1},
                {},
            ],
        ),
        (
            "POST /workflow/stop",
            "/workflow/stop",
            [{"name": "quick"}, {"name": "nonesuch"}, {"id": "nonesuch"}, {}],
        ),
        (
            "POST /processes",
            "/processes",
            [
                {"command": "echo", "args": ["hi"], "environment": {"A": 1}, "working_dir": "/"},
                {"command": "true", "auto_start": True},
                {"command": ""},
            ],
        ),
        (
            "POST /processes/run",
            "/processes/run",
            [{"command": "echo hi; exit 4", "detach": False}, {"command": "true"}, {}],
        ),
    ],
)
def test_a_write_is_rehearsed_and_the_same(
    old: httpx.Client, new: httpx.Client, route: str, path: str, bodies: list[dict[str, Any]]
) -> None:
    before = shadow(new, route)
    for body in bodies:
        old.post(path, json=body)
    old.post(path, content=b"{", headers={"Content-Type": "application/json"})
    old.post(path, content=b"x")
    found = settled(new, route, before["answered"] + len(bodies) + 2)
    assert new.get(f"{API}/mismatches").json() == []
    assert found["mismatched"] == before["mismatched"]


def test_switches_and_processes_are_rehearsed(old: httpx.Client, new: httpx.Client) -> None:
    made = old.post("/processes", json={"command": "sleep 60"}).json()["id"]
    calls = [
        ("POST", "/processes/<id>/start"),
        ("POST", "/processes/<id>/stop"),
        ("POST", "/processes/<id>/kill"),
        ("DELETE", "/processes/<id>"),
        ("POST", "/daemon/stop"),
        ("POST", "/daemon/start"),
    ]
    for method, path in calls:
        for target in (made, "nonesuch"):
            old.request(method, path.replace("<id>", target))
    for method, path in calls:
        assert settled(new, f"{method} {path}", 2)["mismatched"] == 0, path
    assert new.get(f"{API}/mismatches").json() == []


def test_what_was_removed_before_it_could_be_compared_blames_nobody(
    old: httpx.Client, new: httpx.Client
) -> None:
    before = shadow(new, "POST /processes")
    for _ in range(20):
        made = old.post("/processes", json={"command": "true"}).json()["id"]
        old.delete(f"/processes/{made}")
    found = settled(new, "POST /processes", before["answered"] + 20)
    assert found["skipped"] > before["skipped"]
    assert found["mismatched"] == before["mismatched"]
    assert new.get(f"{API}/mismatches").json() == []


def test_a_field_that_differs_from_itself_blames_nobody(
    server: Server, old: httpx.Client, new: httpx.Client
) -> None:
    """`active_commands` and the history change from moment to moment while commands run."""
    over = threading.Event()

    def run() -> None:
        with server.client(timeout=30) as client:
            while not over.is_set():
                client.post("/api/v1/workflows/execute", json={"command": "true"})

    runners = [threading.Thread(target=run) for _ in range(3)]
    for runner in runners:
        runner.start()
    try:
        for _ in range(150):
            old.get("/status")
        found = settled(new, "GET /status", 150)
    finally:
        over.set()
        for runner in runners:
            runner.join()
    assert "/command_history_count" in {noise["pointer"] for noise in found["noise"]}
    assert found["mismatched"] / found["compared"] <= 0.02


def test_what_is_too_large_is_skipped_and_counted(old: httpx.Client, new: httpx.Client) -> None:
    before = shadow(new, "POST /execute")
    answer = old.post("/execute", json={"command": "head -c 600000 /dev/zero | tr '\\0' x"})
    assert len(answer.json()["output"]) == 600_000
    after = settled(new, "POST /execute", before["answered"] + 1)
    assert after["skipped"] == before["skipped"] + 1


@pytest.mark.parametrize(
    ("fault", "pointer", "kind"),
    [
        ("field", "/running", "type"),
        ("newline", "", "bytes"),
        ("fail", "status", "status"),
        ("raise", "status", "status"),
    ],
)
def test_a_real_fault_is_found_with_both_sides(
    fault: str, pointer: str, kind: str, tmp_path: Path
) -> None:
    with (
        start_faulty(tmp_path, fault, **SETTLED) as broken,
        broken.client(timeout=30) as client,
        httpx.Client(base_url=broken.legacy, timeout=30) as old,
    ):
        for _ in range(30):
            assert old.get("/status").json()["running"] is True
        found = settled(client, "GET /status", 30)
        assert found["mismatched"] == found["compared"] == 30
        mismatches = client.get(f"{API}/mismatches", params={"route": "GET /status"}).json()
        assert (pointer, kind, 30) in {(m["pointer"], m["kind"], m["count"]) for m in mismatches}
        sample = mismatches[0]["samples"][-1]
        assert sample["request"]["target"] == "/status"
        assert json.loads(sample["control"]["body"])["running"] is True
        assert len(mismatches[0]["samples"]) <= 3


def test_a_full_queue_drops_and_counts(tmp_path: Path) -> None:
    settings = {**SETTLED, "MCLI_SHADOW_QUEUE": "5", "MCLI_SHADOW_SLOTS": "1"}
    with (
        start_faulty(tmp_path, "hang", **settings, MCLI_SHADOW_TIMEOUT="0.5") as broken,
        broken.client(timeout=30) as client,
        httpx.Client(base_url=broken.legacy, timeout=30) as old,
    ):
        for _ in range(40):
            assert old.get("/status").status_code == 200
        found = settled(client, "GET /status", 40)
        assert found["dropped"] >= 30
        assert found["compared"] == found["mismatched"] == 40 - found["dropped"]


def test_samples_hold_no_secrets(tmp_path: Path) -> None:
    settings = {**SETTLED, "MCLI_TEST_FAULT_ROUTE": "GET /processes/<id>"}
    with (
        start_faulty(tmp_path, "fail", **settings) as broken,
        broken.client(timeout=30) as client,
        httpx.Client(base_url=broken.legacy, timeout=30) as old,
    ):
        body = {"command": "true", "environment": {"DB": "hunter2"}}
        made = old.post("/processes", json=body).json()["id"]
        old.get(f"/processes/{made}", headers={"Authorization": "Bearer hunter2"})
        settled(client, "GET /processes/<id>", 1)
        found = client.get(f"{API}/mismatches").text
        assert '"pointer":"status"' in found
        assert "hunter2" not in found


def test_a_control_that_fails_is_the_answer(tmp_path: Path) -> None:
    with (
        start_dual(tmp_path, **SETTLED) as broken,
        start_legacy(tmp_path / "alone") as alone,
        broken.client(timeout=30) as new,
    ):
        for home in (broken.home, alone.home):
            with closing(sqlite3.connect(home / "mcli.db", isolation_level=None)) as database:
                database.execute("ALTER TABLE processes RENAME TO hidden")
        answer, wanted = (httpx.get(f"{s.legacy}/processes") for s in (broken, alone))
        assert answer.headers["X-Served-By"] == "legacy"
        assert (answer.status_code, answer.content) == (wanted.status_code, wanted.content)
        assert answer.status_code >= 500
        settled(new, "GET /processes", 1)
        (found,) = new.get(f"{API}/stats", params={"route": "GET /processes"}).json()
        assert (found["legacy"]["requests"], found["legacy"]["errors"]) == (1, 1)
