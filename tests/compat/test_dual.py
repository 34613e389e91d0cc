"""Both stacks in one process: stages, shared state, two ports, errors at the operator."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.compat.serving import exchange
from tests.servers import ROOT, Server, environment, start_dual

ROUTES = "/api/v1/cutover/routes"
WAIT = "while [ -e $HERE/hold ]; do sleep 0.01; done"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_dual(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def old(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.legacy, timeout=30) as client:
        yield client


@pytest.fixture
def new(server: Server) -> Iterator[httpx.Client]:
    with server.client(timeout=30) as client:
        yield client


@pytest.fixture
def held(new: httpx.Client, tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A stored command that runs until its file is gone, and the environment it needs."""
    name = f"held-{tmp_path.name}"
    (tmp_path / "hold").touch()
    new.post("/api/v1/commands/create", json={"name": name, "code": WAIT}).raise_for_status()
    yield name, {"HERE": str(tmp_path)}
    (tmp_path / "hold").unlink(missing_ok=True)


def move(new: httpx.Client, route: str, stage: str) -> None:
    new.put(ROUTES, json={"route": route, "stage": stage}).raise_for_status()


def test_a_stage_holds_from_the_next_call_on(old: httpx.Client, new: httpx.Client) -> None:
    assert old.get("/health").headers["X-Served-By"] == "new"
    move(new, "GET /health", "legacy")
    assert old.get("/health").headers["X-Served-By"] == "legacy"
    assert old.get("/status").headers["X-Served-By"] == "new"
    move(new, "GET /health", "new")
    assert old.get("/health").headers["X-Served-By"] == "new"


def test_stages_survive_a_restart(tmp_path: Path) -> None:
    with start_dual(tmp_path) as first:
        with first.client() as client:
            move(client, "POST /execute", "legacy")
        first.kill()
    with start_dual(tmp_path) as second:
        answer = httpx.post(f"{second.legacy}/execute", json={"command": "echo hi"})
        assert answer.headers["X-Served-By"] == "legacy"
        assert answer.json()["output"] == "hi\n"
        assert second.stop() == 0


def test_an_unknown_route_or_stage_is_named(new: httpx.Client) -> None:
    unknown = new.put(ROUTES, json={"route": "GET /nope", "stage": "new"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "route-not-found")
    assert "POST /execute" in unknown.json()["detail"]
    wrong = new.put(ROUTES, json={"route": "GET /status", "stage": "sideways"})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["pointer"] == "/stage"


@pytest.mark.parametrize("starter", ["legacy", "new"])
@pytest.mark.parametrize("stopper", ["legacy", "new"])
def test_a_workflow_of_either_stack_is_listed_and_stopped_by_both(
    starter: str,
    stopper: str,
    old: httpx.Client,
    new: httpx.Client,
    held: tuple[str, dict[str, str]],
) -> None:
    name, env = held
    move(new, "POST /workflow/start", starter)
    started = old.post("/workflow/start", json={"name": name, "env": env})
    assert started.headers["X-Served-By"] == starter
    run_id = started.json()["id"]
    for stage in ("legacy", "new"):
        move(new, "GET /status", stage)
        listed = old.get("/status").json()["active_workflows"]
        assert next(w for w in listed if w["id"] == run_id)["status"] == "running"
    assert new.get(f"/api/v1/workflows/{run_id}").json()["status"] == "running"
    move(new, "POST /workflow/stop", stopper)
    stopped = old.post("/workflow/stop", json={"id": run_id})
    assert stopped.headers["X-Served-By"] == stopper
    assert stopped.json() == {"id": run_id, "name": name, "status": "stopped"}
    run = new.get(f"/api/v1/workflows/{run_id}").json()
    assert (run["status"], run["returncode"]) == ("cancelled", -15)


def test_the_new_api_stops_what_the_old_stack_started(
    old: httpx.Client, new: httpx.Client, held: tuple[str, dict[str, str]]
) -> None:
    name, env = held
    move(new, "POST /workflow/start", "legacy")
    run_id = old.post("/workflow/start", json={"name": name, "env": env}).json()["id"]
    stopped = new.post(f"/api/v1/workflows/{run_id}/stop").json()
    assert (stopped["status"], stopped["signal"]) == ("cancelled", "SIGTERM")
    move(new, "POST /workflow/start", "new")


@pytest.mark.parametrize("stage", ["legacy", "new"])
def test_a_command_of_the_new_api_shows_and_runs_on_both(
    stage: str, old: httpx.Client, new: httpx.Client
) -> None:
    name = f"shared-{stage}"
    body = {"name": name, "code": "echo got $1", "tags": ["t"], "group": "g"}
    created = new.post("/api/v1/commands/create", json=body).json()
    for route in ("GET /commands", "GET /commands/<id>", "POST /execute"):
        move(new, route, stage)
    listed = old.get("/commands").json()["commands"]
    assert created["id"] in [command["id"] for command in listed]
    shown = old.get(f"/commands/{created['id']}").json()
    assert (shown["code"], shown["tags"], shown["group"]) == ("echo got $1", ["t"], "g")
    answer = old.post("/execute", json={"command_name": name, "args": ["it"]}).json()
    assert (answer["output"], answer["returncode"]) == ("got it\n", 0)
    assert new.get(f"/api/v1/commands/{name}").json()["execution_count"] == 1
    for route in ("GET /commands", "GET /commands/<id>", "POST /execute"):
        move(new, route, "new")


@pytest.mark.parametrize("stage", ["legacy", "new"])
def test_the_switch_is_one(stage: str, old: httpx.Client, new: httpx.Client) -> None:
    move(new, "POST /daemon/stop", stage)
    assert old.post("/daemon/stop").json() == {"status": "stopped"}
    try:
        refused = new.post("/api/v1/workflows/execute", json={"command": "true"})
        assert (refused.status_code, refused.json()["code"]) == (503, "daemon-stopped")
        assert new.get("/api/v1/daemon/status").json()["running"] is False
    finally:
        assert old.post("/daemon/start").json() == {"status": "started"}
        move(new, "POST /daemon/stop", "new")
    assert new.post("/api/v1/workflows/execute", json={"command": "true"}).status_code == 200


def test_the_old_port_knows_nothing_of_the_new_api(server: Server, old: httpx.Client) -> None:
    for path in ("/api/v1/workflows/list", "/docs", "/livez", "/migration"):
        answer = old.get(path)
        assert answer.status_code == 404
        assert answer.text.startswith("<!doctype html>")
        assert "Deprecation" not in answer.headers
    handshake = (
        b"GET /ws/workflows/x/logs HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    address = httpx.URL(server.legacy)
    closed = exchange((address.host, address.port or 0), handshake)
    assert closed.startswith(b"HTTP/1.1 403")


def test_unknown_paths_of_the_new_api_are_problems_never_html(new: httpx.Client) -> None:
    missing = new.get("/api/v1/nothing")
    assert missing.status_code == 404
    wrong = new.patch("/api/v1/workflows/execute")
    assert wrong.status_code == 405
    assert "POST" in wrong.headers["Allow"]
    for answer in (missing, wrong):
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_the_links_of_an_old_answer_lead_somewhere(old: httpx.Client, new: httpx.Client) -> None:
    links = old.get("/status").headers["Link"]
    targets = [part.partition(">")[0] for part in links.split("<")[1:]]
    assert [new.get(target).status_code for target in targets] == [200, 200]
    assert "POST /execute" in new.get(targets[1]).text


def test_header_names_are_spelled_as_the_old_server_did(server: Server) -> None:
    address = httpx.URL(server.legacy)
    for path in ("/status", "/nothing"):
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        head = exchange((address.host, address.port or 0), request).partition(b"\r\n\r\n")[0]
        names = {line.partition(b":")[0] for line in head.splitlines()[1:]}
        assert {b"Content-Type", b"Content-Length", b"Date"} <= names


def test_raw_bytes_in_a_request_line_are_taken(server: Server) -> None:
    address = httpx.URL(server.legacy)
    request = (
        "GET /commands/é?all=ü HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    )
    answer = exchange((address.host, address.port or 0), request)
    assert answer.endswith(b'{"error":"Command not found"}\n')


def serve(home: Path, *args: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is expected to give up at once."""
    return subprocess.run(
        [sys.executable, "-m", "cli", "serve", *args],
        cwd=ROOT,
        env=environment(home, **extra),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_taken_old_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = serve(tmp_path, "--port", "0", "--legacy-port", port)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert port in done.stderr
    assert "MCLI_LEGACY_PORT" in done.stderr


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    done = serve(tmp_path, MCLI_DEFAULT_STAGE="sideways", MCLI_LEGACY_PORT="many")
    assert done.returncode == 1
    assert "MCLI_DEFAULT_STAGE" in done.stderr
    assert "MCLI_LEGACY_PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("stage", ["legacy", "new"])
def test_a_stop_finishes_answers_and_leaves_background_runs(stage: str, tmp_path: Path) -> None:
    with start_dual(tmp_path, MCLI_DEFAULT_STAGE=stage) as first:
        begun = tmp_path / "begun"
        gate = tmp_path / "gate"
        os.mkfifo(tmp_path / "gate.bg")
        background = httpx.post(
            f"{first.new}/api/v1/workflows/execute",
            headers=first.auth,
            json={"command": f"cat {gate}.bg; echo bye", "background": True},
        ).json()
        command = f"touch {begun}; while [ ! -e {gate} ]; do sleep 0.01; done; echo answered"
        with (
            httpx.Client(timeout=30) as client,
            socket.create_connection(
                (httpx.URL(first.legacy).host, httpx.URL(first.legacy).port or 0), timeout=30
            ) as raw,
        ):
            body = f'{{"command":"{command}"}}'.encode()
            raw.sendall(
                b"POST /execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            while not begun.exists():
                client.get(f"{first.new}/livez")
            first.process.send_signal(signal.SIGTERM)
            gate.touch()
            received = b""
            while b"answered" not in received:
                received += (piece := raw.recv(65536))
                assert piece, received
        assert first.process.wait(20) == 0
    (tmp_path / "gate.bg").write_text("held\n")
    with start_dual(tmp_path) as second, second.client() as client:
        logs = client.get(f"/api/v1/workflows/{background['job_id']}/logs", params={"follow": True})
        assert logs.text == "held\nbye\n"
