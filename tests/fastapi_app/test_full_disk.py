"""No room on the disk: what is stored stays, what goes on goes on, and nobody is told otherwise."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.fastapi_app.routers.wire import (
    RUNS,
    created,
    execute,
    finished,
    printed,
    problem,
    show,
    start,
)
from tests.fastapi_app.starting import serving, start_app, until
from tests.servers import StartError
from tests.servers import start as start_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server

STEPS = "steps: {a: {run: echo a}, b: {run: echo b, needs: [a]}}"
SECRET = "s3cret-of-a-full-disk"


@contextmanager
def full(*pids: int, room: int = 0) -> Iterator[None]:
    """Let no file of these processes become longer than `room` bytes."""
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for pid in pids:
            limits = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def helpers(server: Server) -> list[int]:
    """The spawn helpers of a server that runs nothing."""
    return [child.pid for child in psutil.Process(server.pid).children()]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, httpx.Client]]:
    """A server that is to be hurt; it must end cleanly, and never have failed unseen."""
    with (
        start_app(tmp_path_factory.mktemp("home"), stop_grace="0.3") as server,
        server.client(timeout=30) as client,
    ):
        yield server, client
        assert server.stop() == 0
        said = b"".join(server.printed).decode()
        assert "Traceback" not in said, said
        assert SECRET not in said


def test_a_database_that_takes_nothing(own: tuple[Server, httpx.Client], tmp_path: Path) -> None:
    server, client = own
    gates = [tmp_path / "one", tmp_path / "two"]
    for gate in gates:
        os.mkfifo(gate)
    stored, document = created(client, "stored"), created(client, "doc", STEPS, language="yaml")
    old = finished(client, start(client, "echo kept"))
    ending, stopped, retried = (
        start(client, f"echo $$; cat {gates[0]}; exit 7"),
        start(client, "echo $$; exec sleep 60"),
        start(client, f"echo $$; cat {gates[1]}; exit 3", retries={"times": 1, "delay": 0.01}),
    )
    for run_id in (ending, stopped, retried):
        printed(client, run_id)
    before = client.get(f"{RUNS}/list").json()
    with full(server.pid):
        for path, body in (
            ("execute", {"command": "true", "background": True, "secrets": {"TOKEN": SECRET}}),
            ("start", {"name": stored}),
            ("start", {"name": document}),
        ):
            answer = client.post(f"{RUNS}/{path}", json=body)
            assert problem(answer, 503, "storage-unavailable")["detail"]
            assert int(answer.headers["Retry-After"]) > 0
        problem(client.post(f"{RUNS}/{stopped}/stop"), 503, "storage-unavailable")
        problem(client.delete(f"{RUNS}/{old['id']}"), 503, "storage-unavailable")
        put = client.put("/api/v1/groups/more", json={"slots": 1})
        problem(put, 503, "storage-unavailable")
        # What a client waits for needs no room to be run, and is written down later.
        told = execute(client, "echo seen; exit 5")
        assert (told["output"], told["returncode"]) == ("seen\n", 5)
        for gate in gates:
            gate.touch()
            gate.write_text("")
        assert client.get(f"{RUNS}/list").json() == before
        assert show(client, old["id"]) == old
        assert printed(client, old["id"]) == "kept\n"
        assert show(client, stopped)["status"] == "running"
    assert until(lambda: show(client, ending)["returncode"]) == 7
    gates[1].write_text("")
    assert finished(client, retried)["attempt"] == 2
    until(lambda: client.get(f"{RUNS}/{told['job_id']}").status_code == 200)
    assert show(client, told["job_id"])["returncode"] == 5
    assert client.post(f"{RUNS}/{stopped}/stop").json()["status"] == "cancelled"
    assert not list((server.home / "work").iterdir())
    assert finished(client, start(client, "echo again"))["status"] == "completed"
    listed = client.get(f"{RUNS}/list").json()["items"]
    assert len(listed) == len(before["items"]) + 2, "what was refused was not run"


def test_what_runs_when_the_disk_fills_up_has_an_end(own: tuple[Server, httpx.Client]) -> None:
    server, client = own
    room = 10_000
    with full(*helpers(server), room=room):
        killed = finished(client, start(client, "exec yes 0123456789"))
        assert (killed["status"], killed["returncode"], killed["stdout_bytes"]) == (
            "failed",
            -25,  # SIGXFSZ; on a full disk the write fails instead, as in the next one
            room,
        )
        noted = start(client, "trap '' XFSZ; yes 0123456789; echo $? >&2; exit 4")
        assert finished(client, noted)["returncode"] == 4
        assert client.get(f"{RUNS}/{noted}/logs?stream=stdout").text == printed(
            client, killed["id"]
        )
        assert printed(client, killed["id"]) == ("0123456789\n" * room)[:room]


def test_no_room_for_what_must_be_written_down_first(own: tuple[Server, httpx.Client]) -> None:
    server, client = own
    document = created(client, uuid4().hex, STEPS, language="yaml")
    with full(*helpers(server)):
        run = finished(client, start(client, "echo never"))
        assert (run["status"], run["stdout_bytes"]) == ("failed", 0)
        assert "File too large" in run["reason"]
        answer = client.post(f"{RUNS}/start", json={"name": document})
        run = finished(client, answer.json()["job_id"])
        assert (run["status"], run["returncode"]) == ("failed", 126)
    again = client.post(f"{RUNS}/{run['id']}/retry").json()["job_id"]
    assert finished(client, again)["status"] == "completed"


def test_logs_that_cannot_be_written(own: tuple[Server, httpx.Client]) -> None:
    server, client = own
    document = created(client, uuid4().hex, STEPS, language="yaml")
    aside = server.home / "elsewhere"
    (server.home / "logs").rename(aside)
    run_id = start(client, "echo never")
    run = until(lambda: (found := show(client, run_id))["status"] != "queued" and found)
    assert (run["status"], run["returncode"]) == ("failed", 127)
    run_id = client.post(f"{RUNS}/start", json={"name": document}).json()["job_id"]
    run = until(lambda: (found := show(client, run_id))["status"] == "failed" and found)
    assert "No such file" in run["reason"]
    aside.rename(server.home / "logs")
    assert finished(client, start(client, "echo again"))["status"] == "completed"


# Without its capabilities even root is held to the rights on files.
POWERLESS = """
import ctypes
assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()) == 0
"""


@pytest.mark.parametrize(("name", "mode"), [("mcli.db", 0o400), (".", 0o500)])
def test_a_server_does_not_start_where_it_cannot_write(home: Path, name: str, mode: int) -> None:
    with start_app(home) as server, server.client() as client:
        execute(client, "echo kept")
        assert server.stop() == 0
    for left in home.glob("mcli.db-*"):
        left.unlink()
    (home / name).chmod(mode)
    python, option, code = serving()
    with pytest.raises(StartError) as told:
        start_server([python, option, POWERLESS + code], home, {"new API"})
    (home / name).chmod(0o700)
    _, _, said = str(told.value).partition("did not start:\n")
    (line,) = said.splitlines()
    assert line.startswith("mclictl serve: ")
    assert str(home) in line
