"""`mclictl wait`: until runs are over, with their exit code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Mclictl, start_server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("command", "code"), [("true", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_the_exit_code_is_the_runs(mclictl: Mclictl, command: str, code: int) -> None:
    done = mclictl("wait", mclictl.background(command), exits=code)
    assert (done.stdout, done.stderr) == ("", "")


def test_of_several_the_first_that_is_not_0_in_the_order_given(mclictl: Mclictl) -> None:
    slow, fast = mclictl.background("sleep 0.3; exit 5"), mclictl.background("exit 6")
    good = mclictl.background("true")
    mclictl("wait", good, slow, fast, exits=5)
    mclictl("wait", fast, slow, exits=6)
    found = mclictl.json("wait", good, slow, exits=5)
    assert [(run["id"], run["returncode"]) for run in found] == [(good, 0), (slow, 5)]


def test_it_waits_until_the_end(mclictl: Mclictl, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    run_id = mclictl.background(f"cat '{gate}'; exit 3")
    with mclictl.spawn("wait", run_id) as process:
        assert mclictl.json("show", run_id)["status"] in {"queued", "running"}
        gate.write_text("")
        assert process.wait(30) == 3


def test_a_time_out_is_124_and_leaves_the_run_alone(mclictl: Mclictl) -> None:
    run_id = mclictl.background("sleep 1234")
    done = mclictl("wait", "--timeout", "300ms", run_id, exits=124)
    assert done.stdout == ""
    assert done.stderr == f"Error: {run_id} is not over after 0.3 s.\n"
    assert mclictl.json("show", run_id)["status"] == "running"
    mclictl("stop", run_id)
    done = mclictl("wait", run_id, exits=143)
    assert done.stdout == ""


def test_a_run_that_never_started_is_125(mclictl: Mclictl) -> None:
    first = mclictl.background("sleep 1234")
    second = mclictl("run", "-b", "--after", first, "true").stdout.strip()
    mclictl("stop", first)
    assert "cancelled" in mclictl("wait", second, exits=125).stderr


def test_waiting_goes_on_when_the_server_comes_back(tmp_path: Path) -> None:
    home, gate = tmp_path / "home", tmp_path / "gate"
    os.mkfifo(gate)
    with start_server(home) as first:
        mclictl = Mclictl(first.new, tmp_path, first.token)
        # The gate opens when the run is there to read it, and only after the server has gone.
        run_id = mclictl.background(f"echo begun; cat '{gate}'; exit 3")
        with mclictl.spawn("logs", "-f", run_id) as reader, mclictl.spawn("wait", run_id) as waiter:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "begun\n"
            first.kill()
            with start_server(home, "--port", first.new.rpartition(":")[2]) as second:
                gate.write_text("")
                assert waiter.wait(30) == 3
                assert reader.wait(30) == 0
                second.stop()


def test_an_unknown_run_is_told(mclictl: Mclictl) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    assert f"'{unknown}'" in mclictl("wait", unknown, exits=1).stderr
    assert "ID" in mclictl("wait", exits=2).stderr
    assert "duration" in mclictl("wait", "x", "--timeout", "soon", exits=2).stderr
