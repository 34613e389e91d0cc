"""`--watch` shows again what a list shows, until Ctrl-C."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Mclictl, start_server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "args",
    [
        ["runs", "--limit", "1"],
        ["groups", "list"],
        ["status"],
        ["schedule", "list"],
        ["commands", "list"],
    ],
    ids=lambda args: args[0],
)
def test_it_is_shown_until_ctrl_c(mclictl: Mclictl, args: list[str]) -> None:
    mclictl.finished("true")
    with mclictl.spawn(*args, "--watch", "--json") as process:
        assert process.stdout is not None
        first, second = (json.loads(process.stdout.readline()) for _ in range(2))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert type(first) is type(second)


@pytest.mark.parametrize("args", [["runs"], ["process", "list"]], ids=lambda args: args[0])
def test_a_terminal_is_drawn_again(mclictl: Mclictl, args: list[str]) -> None:
    mclictl.finished("echo drawn")
    mclictl("process", "create", f"drawn-{args[0]}", "true")
    for drawn in mclictl.redrawn(*args, "--watch"):
        assert "drawn" in drawn
        assert "STATUS" in drawn or "STATE" in drawn


def test_a_server_that_comes_back_is_waited_for(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with start_server(home) as first:
        mclictl = Mclictl(first.new, tmp_path, first.token)
        with mclictl.spawn("runs", "--watch", "--json") as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "[]\n"
            first.kill()
            assert "mclictl serve" in process.stderr.readline()
            with start_server(home, "--port", first.new.rpartition(":")[2]):
                run_id = mclictl.finished("true")
                assert any(run_id in line for line in process.stdout)
                process.kill()


def test_a_server_that_never_answered_ends_it(mclictl: Mclictl) -> None:
    done = mclictl("runs", "--watch", "--url", "http://127.0.0.1:1", exits=3)
    assert "mclictl serve" in done.stderr
