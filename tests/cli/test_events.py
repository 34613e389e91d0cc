"""`mclictl events`: what happens to runs, as it happens."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.cli.conftest import Mclictl, start_server

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import Popen


def next_event(process: Popen[str]) -> dict[str, object]:
    assert process.stdout is not None
    event = json.loads(process.stdout.readline())
    assert isinstance(event, dict)
    return event


def test_each_change_is_an_event(mclictl: Mclictl) -> None:
    group = f"events-{uuid4().hex[:8]}"
    mclictl("groups", "set", group, "--no-limit")
    with mclictl.spawn("events", "--since", "0", "--group", group, "--json") as process:
        run_id = mclictl("run", "-b", "--group", group, "exit 3").stdout.strip()
        events = [next_event(process) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert [event["status"] for event in events] == ["queued", "running", "failed"]
    assert {event["job_id"] for event in events} == {run_id}
    history = mclictl.json("show", run_id)["history"]
    assert [change["seq"] for change in history] == [event["seq"] for event in events]


def test_a_line_says_what_happened(mclictl: Mclictl) -> None:
    group = f"events-{uuid4().hex[:8]}"
    mclictl("groups", "set", group, "--no-limit")
    run_id = mclictl("run", "-b", "--group", group, "--timeout", "100ms", "sleep 9").stdout.strip()
    args = ("events", "--since", "0", "--group", group, "--status", "timed_out")
    with mclictl.spawn(*args) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split()[1:3] == [run_id, "timed_out"]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_events_go_on_when_the_server_comes_back(tmp_path: Path) -> None:
    home, gate = tmp_path / "home", tmp_path / "gate"
    os.mkfifo(gate)
    with start_server(home) as first:
        mclictl = Mclictl(first.new, tmp_path, first.token)
        run_id = mclictl.background(f"cat '{gate}'")
        with mclictl.spawn("events", "--since", "0", "--json") as process:
            assert [next_event(process)["status"] for _ in range(2)] == ["queued", "running"]
            first.kill()
            with start_server(home, "--port", first.new.rpartition(":")[2]) as second:
                gate.write_text("")
                ended = next_event(process)
                assert (ended["job_id"], ended["status"]) == (run_id, "completed")
                process.send_signal(signal.SIGINT)
                assert process.wait(30) == 130
                second.stop()
