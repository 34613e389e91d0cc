"""Stages on a real server: who answers, for whom, from when, and what is written down of it."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from compat.clients import is_within
from tests.servers import Server, start_dual

API = "/api/v1/cutover"
STATUS = "GET /status"
EXECUTE = "POST /execute"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    with start_dual(home, MCLI_DEFAULT_STAGE="legacy", MCLI_ALLOW_STACK_HEADER="true") as running:
        yield running
        assert running.stop() == 0
        assert b"Traceback" not in b"".join(running.printed)


@pytest.fixture
def old(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.legacy, timeout=30) as client:
        yield client


@pytest.fixture
def new(server: Server) -> Iterator[httpx.Client]:
    with server.client(timeout=30) as client:
        yield client


def move(new: httpx.Client, route: str, stage: str, **more: object) -> dict[str, Any]:
    answer = new.put(f"{API}/routes", json={"route": route, "stage": stage, **more})
    assert answer.status_code == 200, answer.text
    moved: dict[str, Any] = answer.json()
    return moved


def until(found: Callable[[], Any], within: float = 15) -> Any:  # noqa: ANN401
    """Ask until there is something."""
    deadline = time.monotonic() + within
    while not (value := found()):
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)
    return value


def stats(new: httpx.Client, route: str) -> dict[str, Any]:
    (found,) = new.get(f"{API}/stats", params={"route": route}).json()
    return dict(found)


@pytest.mark.parametrize("percent", [0, 1, 10, 50, 100])
def test_a_canary_is_sticky_and_exact(percent: int, old: httpx.Client, new: httpx.Client) -> None:
    move(new, STATUS, "canary", percent=percent)
    for number in range(60):
        client = f"script-{number}"
        wanted = "new" if is_within(f"id:{client}".encode(), percent) else "legacy"
        answers = [old.get("/status", headers={"X-Client-Id": client}) for _ in range(2)]
        assert [answer.headers["X-Served-By"] for answer in answers] == [wanted] * 2


def test_a_stack_can_be_forced_where_that_is_allowed(
    old: httpx.Client, new: httpx.Client, tmp_path: Path
) -> None:
    move(new, STATUS, "legacy")
    for stack in ("new", "legacy"):
        answer = old.get("/status", headers={"X-Mcli-Stack": stack})
        assert answer.headers["X-Served-By"] == stack
    assert old.get("/status", headers={"X-Mcli-Stack": "x"}).headers["X-Served-By"] == "legacy"
    with start_dual(tmp_path, MCLI_DEFAULT_STAGE="legacy") as strict:
        answer = httpx.get(f"{strict.legacy}/status", headers={"X-Mcli-Stack": "new"})
        assert answer.headers["X-Served-By"] == "legacy"


def test_what_is_gone_names_its_successor(old: httpx.Client, new: httpx.Client) -> None:
    move(new, "GET /health", "gone")
    for method in ("GET", "HEAD"):
        answer = old.request(method, "/health")
        assert answer.status_code == 410
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert int(answer.headers["Retry-After"]) > 0
        assert 'rel="successor-version"' in answer.headers["Link"]
    problem = old.get("/health").json()
    assert (problem["status"], problem["code"]) == (410, "route-gone")
    assert problem["successor"] == "/livez"
    forced = old.get("/health", headers={"X-Mcli-Stack": "legacy"})
    assert forced.status_code == 410
    move(new, "GET /health", "legacy")
    assert old.get("/health").status_code == 200


def test_a_brownout_refuses_the_same_clients_in_its_windows(
    old: httpx.Client, new: httpx.Client
) -> None:
    moved = move(new, STATUS, "brownout", brownout={"lasts": 3600, "percent": 50})
    assert moved["brownout"]["percent"] == 50
    for number in range(30):
        headers = {"X-Client-Id": f"c{number}"}
        out = is_within(b"id:c%d" % number, 50, b"brownout")
        for _ in range(2):
            answer = old.get("/status", headers=headers)
            assert answer.status_code == (410 if out else 200)
            assert ";duration=3600;percent=50" in answer.headers["X-Brownout"]
        if out:
            assert 0 < int(answer.headers["Retry-After"]) <= 3600
            assert answer.json()["code"] == "route-brownout"
        else:
            assert answer.headers["X-Served-By"] == "new"


def test_a_brownout_is_announced_before_it_comes(old: httpx.Client, new: httpx.Client) -> None:
    later = {"begins": "2035-01-01T00:00:00Z", "lasts": 60, "every": 3600}
    move(new, STATUS, "brownout", brownout=later)
    answer = old.get("/status")
    assert answer.status_code == 200
    assert answer.headers["X-Brownout"] == "@2051222400;duration=60;percent=100"
    move(new, STATUS, "legacy")


def test_every_move_is_written_down(new: httpx.Client) -> None:
    before = new.get(f"{API}/audit", params={"limit": 1}).json()
    seq = before[0]["seq"] if before else 0
    move(new, "GET /processes", "shadow", reason="first look", by="ada@build")
    move(new, "GET /processes", "canary", percent=5, by="ada@build")
    move(new, "GET /processes", "legacy", by="bob@build", reason="too soon")
    entries = new.get(f"{API}/audit", params={"after": seq, "subject": "GET /processes"}).json()
    assert [(e["by"], e["before"], e["after"], e["reason"]) for e in entries] == [
        ("bob@build", "canary 5%", "legacy", "too soon"),
        ("ada@build", "shadow", "canary 5%", ""),
        ("ada@build", "legacy", "shadow", "first look"),
    ]
    revisions = [entry["revision"] for entry in entries]
    assert revisions == sorted(revisions, reverse=True)


def test_the_second_of_two_operators_sees_a_conflict(new: httpx.Client) -> None:
    seen = next(r for r in new.get(f"{API}/routes").json() if r["route"] == STATUS)["revision"]
    body = {"route": STATUS, "stage": "shadow", "revision": seen, "by": "ada@build"}
    assert new.put(f"{API}/routes", json=body).status_code == 200
    late = new.put(f"{API}/routes", json={**body, "stage": "new", "by": "bob@build"})
    assert (late.status_code, late.json()["code"]) == (409, "route-moved")
    assert "ada@build" in late.json()["detail"]
    move(new, STATUS, "legacy")


def test_two_operators_at_once_make_one_move(new: httpx.Client) -> None:
    seen = next(r for r in new.get(f"{API}/routes").json() if r["route"] == STATUS)["revision"]
    body = {"route": STATUS, "stage": "new", "revision": seen}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: new.put(f"{API}/routes", json=body), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 7]
    move(new, STATUS, "legacy")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"route": STATUS, "stage": "canary", "percent": 101}, "/percent"),
        ({"route": STATUS, "stage": "canary"}, ""),
        ({"route": STATUS, "stage": "new", "percent": 10}, ""),
        ({"route": STATUS, "stage": "brownout"}, ""),
        ({"route": STATUS, "stage": "new", "brownout": {"lasts": 1}}, ""),
        (
            {"route": STATUS, "stage": "brownout", "brownout": {"lasts": 9, "every": 9}},
            "/brownout",
        ),
        ({"route": STATUS, "stage": "brownout", "brownout": {"lasts": 0}}, "/brownout/lasts"),
        ({"route": STATUS, "stage": "sideways"}, "/stage"),
    ],
)
def test_what_cannot_be_is_refused(new: httpx.Client, body: dict[str, Any], pointer: str) -> None:
    answer = new.put(f"{API}/routes", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("path", ["stats", "mismatches", "callers", "record"])
def test_an_unknown_route_is_named(new: httpx.Client, path: str) -> None:
    answer = new.get(f"{API}/{path}", params={"route": "GET /nope"})
    assert (answer.status_code, answer.json()["code"]) == (404, "route-not-found")
    assert STATUS in answer.json()["detail"]


def test_callers_are_told_apart_without_their_secrets(old: httpx.Client, new: httpx.Client) -> None:
    for headers in (
        {"X-Client-Id": "nightly"},
        {"X-API-Key": "very-secret"},
        {"User-Agent": "curl/8"},
    ):
        old.get("/commands", headers=headers)
    old.get("/commands", headers={"X-Client-Id": "nightly"})
    answer = new.get(f"{API}/callers", params={"route": "GET /commands"})
    assert "very-secret" not in answer.text
    counts = {row["label"]: row["count"] for row in answer.json()}
    assert counts["nightly"] == 2
    assert counts["127.0.0.1 curl/8"] == 1
    assert len(counts) == 3


def test_readiness_is_a_no_with_reasons(new: httpx.Client) -> None:
    answer = new.get(f"{API}/ready").json()
    assert answer["ready"] is False
    assert len(answer["because"]) == len(answer["routes"]) == 19
    status = next(row for row in answer["routes"] if row["route"] == STATUS)
    assert any("still answers it" in reason for reason in status["because"])
    assert any("sunset" in reason for reason in status["because"])


def test_moves_are_told_over_a_websocket(server: Server, new: httpx.Client) -> None:
    with connect(f"ws{server.new[4:]}/ws/cutover", additional_headers=server.auth) as socket:
        moved = move(new, STATUS, "shadow", reason="watched")
        event = json.loads(socket.recv(10))
        assert (event["type"], event["subject"], event["after"]) == ("audit", STATUS, "shadow")
        assert (event["revision"], event["reason"]) == (moved["revision"], "watched")
    move(new, STATUS, "legacy")
    with connect(
        f"ws{server.new[4:]}/ws/cutover?after={event['seq'] - 1}", additional_headers=server.auth
    ) as socket:
        assert json.loads(socket.recv(10)) == event


def test_another_process_sees_a_move_within_a_second(
    server: Server, new: httpx.Client, tmp_path: Path
) -> None:
    database = f"sqlite+aiosqlite:///{server.home / 'mcli.db'}"
    with start_dual(tmp_path, MCLI_DATABASE_URL=database, MCLI_DEFAULT_STAGE="legacy") as second:
        with httpx.Client(base_url=second.legacy, timeout=30) as there:
            for stage, stack in (("new", "new"), ("legacy", "legacy")):
                move(new, STATUS, stage)
                moved = time.monotonic()
                until(lambda s=stack: there.get("/status").headers["X-Served-By"] == s)  # type: ignore[misc]
                assert time.monotonic() - moved < 1
        assert second.stop() == 0


def test_without_a_database_the_last_known_stages_stay_in_force(
    server: Server, old: httpx.Client, new: httpx.Client
) -> None:
    move(new, STATUS, "canary", percent=100)
    before = new.get(f"{API}/audit", params={"subject": STATUS}).json()
    with closing(sqlite3.connect(server.home / "mcli.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        refused = new.put(f"{API}/routes", json={"route": STATUS, "stage": "legacy"})
        assert (refused.status_code, refused.json()["code"]) == (503, "storage-unavailable")
        assert old.get("/status").headers["X-Served-By"] == "new"
        holder.execute("ROLLBACK")
    assert new.get(f"{API}/audit", params={"subject": STATUS}).json() == before
    move(new, STATUS, "legacy")


def test_recorded_traffic_holds_no_secrets_and_no_commands(
    server: Server, old: httpx.Client
) -> None:
    url = f"{server.new}{API}/record"
    wanted = {"route": EXECUTE, "limit": "2"}
    with httpx.stream("GET", url, params=wanted, headers=server.auth, timeout=30) as stream:
        body = {"command": "echo private", "token": "t0k", "timeout": 5}
        old.post("/execute", json=body, headers={"X-API-Key": "very-secret"})
        old.get("/status")
        old.post("/execute?x=1", content=b"{broken", headers={"Content-Type": "application/json"})
        first, second = (json.loads(line) for line in stream.iter_lines())
    assert first["route"] == EXECUTE
    (sent,), (broken,) = first["steps"], second["steps"]
    assert json.loads(sent["body"]) == {"command": ": recorded", "token": "***", "timeout": 5}
    assert dict(sent["headers"])["x-api-key"] == "redacted"
    assert (broken["target"], broken["body"]) == ("/execute?x=1", "{")
