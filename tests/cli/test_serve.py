"""`mclictl serve`: what the user says, and nothing else, overrides the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Mclictl, start_server
from tests.cli.invocations import note
from tests.servers import StartError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server


def test_an_option_wins_over_the_environment(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with start_server(tmp_path / "environment", "--home", str(said)) as server:
        assert Mclictl(server.new, said).json("status")["home"] == str(said)
        server.stop()


def test_what_is_not_said_comes_from_the_environment(server: Server, mclictl: Mclictl) -> None:
    assert mclictl.json("status")["home"] == str(server.home)


def test_a_port_that_is_taken_is_told(server: Server, tmp_path: Path) -> None:
    port = server.new.rpartition(":")[2]
    with pytest.raises(StartError, match=port) as failed:
        start_server(tmp_path, "--port", port)
    assert "Traceback" not in str(failed.value)


def test_it_says_where_it_listens(server: Server) -> None:
    note(["serve"])
    assert server.new in b"".join(server.printed).decode()


@pytest.mark.parametrize("args", [["--port", "65536"], ["--port", "x"], ["--home"], ["extra"]])
def test_a_wrong_command_line_starts_nothing(mclictl: Mclictl, args: list[str]) -> None:
    assert "Error: " in mclictl("serve", *args, exits=2).stderr
