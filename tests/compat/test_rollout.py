"""Rollouts on real servers under load: over by themselves, back by themselves, never lost."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from compat.clients import is_within
from tests.servers import Server, start, start_dual

API = "/api/v1/cutover"
ROUTE = "GET /status"
LEGACY = {"MCLI_DEFAULT_STAGE": "legacy"}
CLIENTS = 40
PLAN = """
name = "status"
routes = ["GET /status"]
interval = "200ms"
[gate]
parity = 0.99
errors = 0.01
samples = 20
[[steps]]
stage = "shadow"
hold = "500ms"
[[steps]]
stage = "canary"
percent = 25
hold = "500ms"
[[steps]]
stage = "new"
hold = "500ms"
"""


def start_faulty(home: Path, fault: str, /, switch: str = "", **extra: str) -> Server:
    """Both stacks, the new one with a fault."""
    settings = {"MCLI_TEST_FAULT": fault, **LEGACY, **extra}
    if switch:
        settings["MCLI_TEST_FAULT_FILE"] = switch
    argv = [sys.executable, "-m", "tests.compat.faulty", "serve", "--port", "0"]
    return start([*argv, "--legacy-port", "0"], home, {"new API", "legacy API"}, **settings)


class Load:
    """Calls a route from many clients in turn until told to stop, and counts what they saw."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self.seen: Counter[tuple[str, str, int]] = Counter()

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            number = 0
            while not self._over.is_set():
                number += 1
                name = f"script-{number % CLIENTS}"
                try:
                    answer = client.get("/status", headers={"X-Client-Id": name})
                except httpx.TransportError:
                    self._over.wait(0.05)  # the server is being killed; nobody answers
                    continue
                served = answer.headers.get("X-Served-By", "")
                self.seen[name, served, answer.status_code] += 1
                self._over.wait(0.002)

    def stop(self) -> None:
        self._over.set()


@contextmanager
def load(url: str) -> Iterator[Load]:
    """Load while the context lasts."""
    caller = Load(url)
    thread = threading.Thread(target=caller.run)
    thread.start()
    try:
        yield caller
    finally:
        caller.stop()
        thread.join(30)


def begin(client: httpx.Client, plan: str = PLAN) -> str:
    answer = client.post(f"{API}/rollouts", json={"plan": plan, "by": "ada@build"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def until(
    client: httpx.Client, rollout: str, wanted: Callable[[dict[str, Any]], bool], within: float = 40
) -> dict[str, Any]:
    """Ask until the rollout is as wanted."""
    deadline = time.monotonic() + within
    while True:
        found: dict[str, Any] = client.get(f"{API}/rollouts/{rollout}").json()
        if wanted(found):
            return found
        assert time.monotonic() < deadline, found
        threading.Event().wait(0.05)


def is_over(found: dict[str, Any]) -> bool:
    return found["ended_at"] is not None


def stage_of(client: httpx.Client, route: str = ROUTE) -> str:
    rows = client.get(f"{API}/routes").json()
    return next(str(row["stage"]) for row in rows if row["route"] == route)


def assert_no_gap(client: httpx.Client, route: str = ROUTE) -> list[dict[str, Any]]:
    """Each move begins where the one before has ended, and none is missing."""
    entries = client.get(f"{API}/audit", params={"subject": route, "limit": 10000}).json()[::-1]
    moves: list[dict[str, Any]] = [entry for entry in entries if entry["what"] == "stage"]
    assert [move["revision"] for move in moves] == list(range(1, len(moves) + 1))
    assert all(a["after"] == b["before"] for a, b in pairwise(moves))
    return moves


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_dual(tmp_path_factory.mktemp("home"), **LEGACY) as running:
        yield running
        assert running.stop() == 0
        assert b"Traceback" not in b"".join(running.printed)


@pytest.fixture
def new(server: Server) -> Iterator[httpx.Client]:
    with server.client(timeout=30) as client:
        yield client
        for row in client.get(f"{API}/routes").json():
            if row["rollout"]:
                client.post(f"{API}/rollouts/{row['rollout']}/abort").raise_for_status()
            if row["stage"] != "legacy":
                body = {"route": row["route"], "stage": "legacy"}
                client.put(f"{API}/routes", json=body).raise_for_status()


def test_a_rollout_under_load_completes_by_itself(server: Server, new: httpx.Client) -> None:
    with load(server.legacy) as caller:
        found = until(new, begin(new), is_over)
    assert found["phase"] == "completed", found
    assert [step["state"] for step in found["steps"]] == ["done"] * 3
    assert stage_of(new) == "new"
    assert {status for _, _, status in caller.seen} == {200}
    assert {served for _, served, _ in caller.seen} == {"legacy", "new"}
    for move in assert_no_gap(new)[-3:]:
        assert move["rollout"] == found["id"]


@pytest.mark.parametrize("fault", ["fail", "raise"])
def test_a_fault_rolls_back_by_itself_and_only_the_canary_sees_it(
    fault: str, tmp_path: Path
) -> None:
    """No parity gate here: the fault gets as far as the canary, and no further."""
    plan = PLAN.replace("parity = 0.99\n", "")
    plan = plan.replace('percent = 25\nhold = "500ms"', 'percent = 25\nhold = "1m"')
    switch = tmp_path / "fault"
    with (
        start_faulty(tmp_path, fault, str(switch)) as broken,
        broken.client(timeout=30) as client,
        load(broken.legacy) as caller,
    ):
        rollout = begin(client, plan)
        until(client, rollout, lambda found: found["step"] == 1)
        switch.touch()
        found = until(client, rollout, is_over)
        assert found["phase"] == "rolled_back"
        assert "errors of GET /status is" in found["reason"]
        assert stage_of(client) == "legacy"
        caller.stop()
        errors = {name for name, _, status in caller.seen if status >= 500}
        assert errors
        assert all(is_within(f"id:{name}".encode(), 25) for name in errors)
        assert_no_gap(client)


@pytest.mark.parametrize(
    ("fault", "gate"), [("fail", "errors"), ("field", "parity"), ("newline", "parity")]
)
def test_in_the_shadow_no_client_sees_a_fault(fault: str, gate: str, tmp_path: Path) -> None:
    with (
        start_faulty(tmp_path, fault) as broken,
        broken.client(timeout=30) as client,
        load(broken.legacy) as caller,
    ):
        found = until(client, begin(client), is_over)
        assert found["phase"] == "rolled_back"
        assert f"{gate} of GET /status is" in found["reason"]
        assert stage_of(client) == "legacy"
    assert {(served, status) for _, served, status in caller.seen} == {("legacy", 200)}


def test_a_candidate_that_hangs_delays_nobody(tmp_path: Path) -> None:
    with (
        start_faulty(tmp_path, "hang", MCLI_SHADOW_TIMEOUT="0.3", MCLI_SHADOW_SLOTS="2") as broken,
        broken.client(timeout=30) as client,
        load(broken.legacy) as caller,
    ):
        found = until(client, begin(client), is_over)
        assert found["phase"] == "rolled_back"
        (mismatch,) = client.get(f"{API}/mismatches").json()
        assert mismatch["kind"] == "timeout"
    assert {status for _, _, status in caller.seen} == {200}


def test_killed_twenty_times_it_ends_where_it_should(tmp_path: Path) -> None:
    plan = PLAN.replace('hold = "500ms"', 'hold = "2s"').replace("samples = 20", "samples = 5")
    seeded = random.Random(20261126)
    rollout, kills, ports = "", 0, ("0", "0")
    while True:
        args = ["--port", ports[0], "--legacy-port", ports[1]]
        with start_dual(tmp_path, *args, **LEGACY) as running:
            ports = tuple(str(httpx.URL(u).port) for u in (running.new, running.legacy))  # type: ignore[assignment]
            with (
                running.client(timeout=30) as client,
                load(running.legacy) as caller,
            ):
                if not rollout:
                    rollout = begin(client, plan)
                if kills < 20:
                    threading.Event().wait(seeded.uniform(0.1, 0.7))
                    running.kill()
                    kills += 1
                    continue
                found = until(client, rollout, is_over)
                assert (found["phase"], stage_of(client)) == ("completed", "new")
                moves = assert_no_gap(client)
                assert [move["after"] for move in moves] == ["shadow", "canary 25%", "new"]
                assert not [status for _, _, status in caller.seen if status >= 500]
                break


def test_without_traffic_it_is_inconclusive_and_stays(new: httpx.Client) -> None:
    rollout = begin(new)
    found = until(new, rollout, lambda found: found["phase"] == "inconclusive")
    assert "0 of 20 samples" in found["reason"]
    assert (found["step"], stage_of(new)) == (0, "shadow")
    assert found["routes"][0]["gates"][0] == {
        "name": "parity",
        "verdict": "inconclusive",
        "value": None,
        "limit": 0.99,
        "samples": 0,
    }


def test_a_manual_step_waits_for_a_word(server: Server, new: httpx.Client) -> None:
    plan = PLAN.replace('stage = "shadow"', 'stage = "shadow"\nmanual = true')
    with load(server.legacy):
        rollout = begin(new, plan)
        found = until(new, rollout, lambda found: found["phase"] == "waiting")
        assert found["step"] == 0
        words = {"by": "bob@build", "step": 0}
        path = f"{API}/rollouts/{rollout}/promote"
        assert new.post(path, json=words).json()["step"] == 1
        late = new.post(path, json=words)
        assert (late.status_code, late.json()["code"]) == (409, "rollout-state")
        assert until(new, rollout, is_over)["phase"] == "completed"


def test_a_paused_rollout_holds_no_time(new: httpx.Client) -> None:
    rollout = begin(new)
    path = f"{API}/rollouts/{rollout}"
    paused = new.post(f"{path}/pause", json={"reason": "lunch"}).json()
    assert (paused["phase"], paused["reason"]) == ("paused", "lunch")
    assert new.post(f"{path}/pause").status_code == 409
    threading.Event().wait(0.8)  # longer than the step is to be held
    assert new.get(path).json()["held"] == paused["held"]
    assert new.post(f"{path}/resume").json()["phase"] == "running"
    assert new.get(path).json()["held"] < 0.5
    assert new.post(f"{path}/resume").status_code == 409


def test_an_aborted_rollout_takes_its_routes_back(new: httpx.Client) -> None:
    rollout = begin(new)
    assert stage_of(new) == "shadow"
    aborted = new.post(f"{API}/rollouts/{rollout}/abort", json={"by": "bob@build"}).json()
    assert (aborted["phase"], aborted["reason"]) == ("aborted", "aborted by bob@build")
    assert stage_of(new) == "legacy"
    for word in ("abort", "pause", "resume", "promote"):
        assert new.post(f"{API}/rollouts/{rollout}/{word}").status_code == 409


def test_a_route_has_one_mover(new: httpx.Client) -> None:
    rollout = begin(new)
    other = new.post(f"{API}/rollouts", json={"plan": PLAN})
    assert (other.status_code, other.json()["code"]) == (409, "rollout-active")
    moved = new.put(f"{API}/routes", json={"route": ROUTE, "stage": "new"})
    assert (moved.status_code, moved.json()["code"]) == (409, "rollout-active")
    assert rollout in moved.json()["detail"]


def test_what_is_beyond_the_first_step_is_not_begun_again(new: httpx.Client) -> None:
    new.put(f"{API}/routes", json={"route": ROUTE, "stage": "new"}).raise_for_status()
    answer = new.post(f"{API}/rollouts", json={"plan": PLAN})
    assert (answer.status_code, answer.json()["code"]) == (409, "rollout-state")


def test_an_unknown_rollout_is_named(new: httpx.Client) -> None:
    assert new.get(f"{API}/rollouts/nope").json()["code"] == "rollout-not-found"
    assert new.post(f"{API}/rollouts/nope/abort").status_code == 404
    bad = new.post(f"{API}/rollouts", json={"plan": "routes = 1"})
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid-plan")
