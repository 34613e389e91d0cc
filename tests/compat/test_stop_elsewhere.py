"""What runs in the new stack is stopped through the old one, its steps and attempts too."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from tests.fastapi_app.starting import until
from tests.servers import Server, start_dual

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = "/api/v1/workflows"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Both stacks; the old contract is answered by the old one."""
    home = tmp_path_factory.mktemp("home")
    with start_dual(home, MCLI_DEFAULT_STAGE="legacy", MCLI_STOP_GRACE="0.3") as running:
        yield running
        assert running.stop() == 0
        assert b"Traceback" not in b"".join(running.printed)


@pytest.fixture
def new(server: Server) -> Iterator[httpx.Client]:
    with server.client(timeout=30) as client:
        yield client


def started(new: httpx.Client, code: str, language: str, **terms: object) -> str:
    """The id of a run of a new stored command."""
    name = uuid4().hex
    body = {"name": name, "code": code, "language": language}
    new.post("/api/v1/commands/create", json=body).raise_for_status()
    answer = new.post(f"{RUNS}/start", json={"name": name, **terms}).raise_for_status()
    return str(answer.json()["job_id"])


def show(new: httpx.Client, path: str) -> Any:  # noqa: ANN401 - any JSON
    return new.get(f"{RUNS}/{path}").raise_for_status().json()


def stop(server: Server, run_id: str) -> None:
    answer = httpx.post(f"{server.legacy}/workflow/stop", json={"id": run_id}, timeout=30)
    assert (answer.status_code, answer.headers["X-Served-By"]) == (200, "legacy")
    assert answer.json()["status"] == "stopped"


def test_a_document_with_all_its_steps(server: Server, new: httpx.Client) -> None:
    code = "steps: {a: {run: exec sleep 60}, b: {run: echo never, needs: [a], when: any}}"
    run_id = started(new, code, "yaml")
    until(lambda: show(new, run_id)["status"] == "running")
    stop(server, run_id)
    until(lambda: all(s["status"] == "cancelled" for s in show(new, f"{run_id}/steps")["items"]))
    assert show(new, run_id)["status"] == "cancelled"
    assert show(new, f"{run_id}/steps")["items"][1]["pid"] is None


def test_a_run_between_two_attempts(server: Server, new: httpx.Client) -> None:
    run_id = started(new, "echo tried; exit 1", "shell", retries={"times": 1, "delay": 2})
    until(lambda: show(new, run_id)["attempt"] == 2)
    due = datetime.fromisoformat(show(new, run_id)["not_before"]).timestamp()
    stop(server, run_id)
    until(lambda: time.time() > due + 0.5)
    assert show(new, run_id)["status"] == "cancelled"
    assert new.get(f"{RUNS}/{run_id}/logs").text == "tried\n", "there is no second attempt"
