"""`mclictl logs`: what a run has written, and what it is still writing."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Mclictl, start_server

if TYPE_CHECKING:
    from pathlib import Path

BOTH = "printf 'out1\\nout2\\n'; printf 'err1\\nerr2\\n' >&2"


@pytest.mark.parametrize("follow", [[], ["-f"]])
@pytest.mark.parametrize(
    ("args", "stdout", "stderr"),
    [
        ([], "out1\nout2\n", "err1\nerr2\n"),
        (["--stream", "all"], "out1\nout2\n", "err1\nerr2\n"),
        (["--stream", "stdout"], "out1\nout2\n", ""),
        (["--stream", "stderr"], "err1\nerr2\n", ""),
        (["--offset", "5"], "out2\n", "err1\nerr2\n"),
        (["--offset", "5,5"], "out2\n", "err2\n"),
        (["--stream", "stderr", "--offset", "5"], "err2\n", ""),
    ],
)
def test_streams_and_offsets(
    mclictl: Mclictl, follow: list[str], args: list[str], stdout: str, stderr: str
) -> None:
    done = mclictl("logs", *follow, *args, mclictl.finished(BOTH))
    assert (done.stdout, done.stderr) == (stdout, stderr)


def test_json_is_a_list_of_events(mclictl: Mclictl) -> None:
    run_id = mclictl.finished(BOTH)
    events = [event for event in mclictl.json("logs", run_id) if event["type"] == "log"]
    for stream, text in (("stdout", "out1\nout2\n"), ("stderr", "err1\nerr2\n")):
        assert "".join(e["message"] for e in events if e["stream"] == stream) == text
        assert [e["offset"] for e in events if e["stream"] == stream][-1] == 10


def test_followed_json_is_an_event_on_each_line(mclictl: Mclictl) -> None:
    lines = mclictl("logs", "-f", "--json", mclictl.background(BOTH)).stdout.splitlines()
    end = json.loads(lines[-1])
    assert (end["type"], end["status"], end["returncode"]) == ("end", "completed", 0)
    assert {json.loads(line)["type"] for line in lines[:-1]} == {"log"}


def test_a_running_run_is_followed_to_its_end(mclictl: Mclictl, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    run_id = mclictl.background(f"echo before; cat '{gate}'")
    with mclictl.spawn("logs", "-f", run_id) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "before\n"
        gate.write_text("after\n")
        assert process.stdout.read() == "after\n"
        assert process.wait() == 0


def test_ctrl_c_leaves_the_run_alone(mclictl: Mclictl) -> None:
    run_id = mclictl.background("echo ready; sleep 1234")
    with mclictl.spawn("logs", "-f", run_id) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == ""
    assert mclictl.json("show", run_id)["status"] == "running"
    mclictl("stop", run_id)


def test_following_goes_on_when_the_server_comes_back(tmp_path: Path) -> None:
    home, gate = tmp_path / "home", tmp_path / "gate"
    os.mkfifo(gate)
    with start_server(home) as first:
        mclictl = Mclictl(first.new, tmp_path, first.token)
        run_id = mclictl.background(f"echo before; echo wrong >&2; cat '{gate}'; echo done >&2")
        with mclictl.spawn("logs", "-f", run_id) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "before\n"
            assert process.stderr.readline() == "wrong\n"
            first.kill()
            with start_server(home, "--port", first.new.rpartition(":")[2]):
                gate.write_text("after\n")
                assert process.stdout.read() == "after\n"
                assert process.stderr.read() == "done\n"
                assert process.wait() == 0


@pytest.mark.parametrize("offset", ["x", "-1", "1,2,3", "1,"])
def test_a_wrong_offset_is_told(mclictl: Mclictl, offset: str) -> None:
    run_id = mclictl.background("true")
    assert "number of bytes" in mclictl("logs", f"--offset={offset}", run_id, exits=2).stderr
