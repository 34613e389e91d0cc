"""`mclictl stop`, `send`, `retry`, `rm` and `clean`: act on runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Mclictl, start_server

if TYPE_CHECKING:
    from pathlib import Path


def reading(mclictl: Mclictl, command: str = "cat") -> str:
    """Start a run whose standard input is open, and return its id once it can read."""
    run_id = mclictl("run", "-b", "--stdin", f"echo ready; {command}").stdout.strip()
    with mclictl.spawn("follow", run_id) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
    return run_id


def test_several_runs_are_stopped_one_after_the_other(mclictl: Mclictl) -> None:
    first, second = mclictl.background("sleep 1234"), mclictl.background("sleep 1234")
    lines = mclictl("stop", first, second).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [[first, "cancelled:"], [second, "cancelled:"]]
    assert [run["id"] for run in mclictl.json("stop", first, second)] == [first, second]


def test_a_run_can_be_interrupted_or_killed(mclictl: Mclictl) -> None:
    caught = (
        "trap 'echo caught >&2; exit 9' INT; trap '' TERM; echo ready; while :; do sleep 0.05; done"
    )
    first = ready(mclictl, caught)
    assert mclictl.json("stop", "--interrupt", first)["signal"] == "SIGINT"
    assert "caught" in mclictl("logs", first).stderr
    second = ready(mclictl, caught)
    assert mclictl.json("stop", "--grace", "100ms", second)["signal"] == "SIGKILL"
    third = ready(mclictl, caught)
    assert mclictl.json("stop", "--kill", third)["signal"] == "SIGKILL"
    assert "either" in mclictl("stop", "--kill", "--interrupt", third, exits=2).stderr


def ready(mclictl: Mclictl, command: str) -> str:
    """Start a run and return its id once it has said `ready`."""
    run_id = mclictl.background(command)
    with mclictl.spawn("follow", run_id) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
    return run_id


def test_text_is_sent_with_a_newline_or_without(mclictl: Mclictl) -> None:
    run_id = reading(mclictl)
    assert mclictl("send", run_id, "first").stdout == ""
    mclictl("send", run_id, "sec", "--no-newline")
    assert mclictl.json("send", run_id, "önd") == {"id": run_id, "bytes": 5, "ended": False}
    mclictl("send", run_id, "--end")
    assert mclictl("follow", run_id).stdout == "ready\nfirst\nsecönd\n"


@pytest.mark.parametrize("dash", [[], ["-"]])
def test_standard_input_is_sent(mclictl: Mclictl, dash: list[str]) -> None:
    run_id = reading(mclictl)
    mclictl("send", run_id, *dash, stdin="a\nb\n")
    mclictl("send", run_id, "-", "--end", stdin="ü")
    assert mclictl("follow", run_id).stdout == "ready\na\nb\nü"


def test_more_than_a_pipe_holds_is_sent_as_the_run_reads(mclictl: Mclictl, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    run_id = reading(mclictl, f"cat '{gate}'; wc -c")
    script = tmp_path / "text"
    script.write_text("ü" * 150_000)
    with script.open() as text, mclictl.spawn("send", run_id, "-", "--end", stdin=text) as process:
        gate.write_text("")
        assert process.wait(60) == 0
    assert mclictl("follow", run_id).stdout == "ready\n300000\n"


def test_what_cannot_be_sent_is_told(mclictl: Mclictl) -> None:
    closed = mclictl.background("sleep 1234")
    assert mclictl("send", closed, "x", exits=1).stderr.startswith("Error: ")
    mclictl("stop", closed)
    assert mclictl("send", closed, "x", exits=1).stderr.startswith("Error: ")
    assert "--background" in mclictl("run", "--stdin", "cat", exits=2).stderr


def test_a_run_is_repeated(mclictl: Mclictl) -> None:
    run_id = mclictl.finished("echo again; exit 3")
    new_id = mclictl("retry", run_id).stdout.strip()
    assert new_id != run_id
    assert mclictl("follow", new_id, exits=3).stdout == "again\n"
    assert mclictl.json("show", new_id)["retry_of"] == run_id
    assert mclictl("retry", "--wait", run_id, exits=3).stdout == "again\n"
    assert mclictl.json("retry", "--wait", run_id, exits=3)["returncode"] == 3
    assert mclictl.json("retry", run_id)["status"] == "queued"


def test_a_run_is_forgotten(mclictl: Mclictl) -> None:
    first, second = mclictl.finished("echo 1"), mclictl.finished("echo 2")
    assert mclictl("rm", first).stdout == f"removed {first}\n"
    assert mclictl.json("rm", second) == {"removed": [second]}
    assert "No run" in mclictl("show", first, exits=1).stderr
    assert "No run" in mclictl("rm", first, exits=1).stderr
    assert "No run" in mclictl("follow", first, exits=1).stderr


def test_a_run_that_goes_on_is_neither_forgotten_nor_repeated(mclictl: Mclictl) -> None:
    run_id = mclictl.background("sleep 1234")
    assert mclictl("rm", run_id, exits=1).stderr.startswith("Error: ")
    assert mclictl("retry", run_id, exits=1).stderr.startswith("Error: ")
    mclictl("stop", run_id)


def test_ended_runs_are_cleaned_away(tmp_path: Path) -> None:
    with start_server(tmp_path / "home") as server:
        mclictl = Mclictl(server.new, tmp_path, server.token)
        good, bad = mclictl.finished("echo good"), mclictl.finished("echo bad; false")
        going = mclictl.background("sleep 1234")
        assert "--yes" in mclictl("clean", exits=2).stderr
        dry = mclictl("clean", "--dry-run").stdout
        assert dry == "there are 2 runs and 9 B of output\n"
        assert mclictl("clean", "--older-than", "1h", "--yes").stdout.startswith("removed 0 runs")
        assert mclictl("clean", "--status", "failed", "--yes").stdout.startswith(
            "removed 1 run and"
        )
        assert {run["id"] for run in mclictl.json("runs")} == {good, going}
        assert mclictl.json("clean", "--group", "default", "--yes")["removed"] == 1
        assert [run["id"] for run in mclictl.json("runs")] == [going]
        assert bad not in mclictl("runs").stdout
        mclictl("stop", going)
        server.stop()


@pytest.mark.parametrize("verb", ["rm", "retry", "send", "stop"])
def test_an_id_is_needed(mclictl: Mclictl, verb: str) -> None:
    assert "ID" in mclictl(verb, exits=2).stderr
