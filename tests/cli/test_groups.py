"""`mclictl groups`, `pause` and `resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.cli.conftest import visible

if TYPE_CHECKING:
    from tests.cli.conftest import Mclictl


@pytest.fixture
def group(mclictl: Mclictl) -> str:
    """Name of a group of this test's own, with one slot."""
    name = f"group {uuid4().hex[:8]}"
    mclictl("groups", "set", name, "--slots", "1")
    return name


def row(mclictl: Mclictl, name: str) -> dict[str, object]:
    (found,) = (each for each in mclictl.json("groups") if each["name"] == name)
    assert isinstance(found, dict)
    return found


def test_groups_are_made_changed_listed_and_removed(mclictl: Mclictl, group: str) -> None:
    assert row(mclictl, group)["slots"] == 1
    header, line = mclictl("groups", "set", group, "--no-limit").stdout.splitlines()
    assert header.split() == ["NAME", "SLOTS", "PAUSED", "RUNNING", "QUEUED"]
    assert "no limit" in line
    assert row(mclictl, group)["slots"] is None
    assert any(each.startswith("default ") for each in mclictl("groups").stdout.splitlines())
    assert mclictl("groups", "list").stdout == mclictl("groups").stdout
    assert mclictl("groups", "rm", group).stdout == f"removed {group}\n"
    assert mclictl("groups", "rm", group, exits=1).stderr.startswith("Error: ")
    assert mclictl.json("groups", "set", group, "--slots", "2")["slots"] == 2
    assert mclictl.json("groups", "rm", group) == {"removed": group}


def test_a_paused_group_starts_nothing_until_it_is_resumed(mclictl: Mclictl, group: str) -> None:
    assert mclictl.json("pause", group)["paused"] is True
    run_id = mclictl("run", "-b", "--group", group, "echo late").stdout.strip()
    assert row(mclictl, group)["queued"] == 1
    assert mclictl.json("show", run_id)["status"] == "queued"
    assert "yes" in mclictl("pause", group).stdout
    assert "no" in mclictl("resume", group).stdout.splitlines()[1].split()
    assert mclictl("follow", run_id).stdout == "late\n"
    assert [run["id"] for run in mclictl.json("runs", "--group", group)] == [run_id]


def test_without_a_name_it_is_the_default_group(mclictl: Mclictl) -> None:
    try:
        assert mclictl.json("pause")["name"] == "default"
        assert row(mclictl, "default")["paused"] is True
    finally:
        assert mclictl.json("resume")["paused"] is False


def test_a_group_with_runs_stays(mclictl: Mclictl, group: str) -> None:
    run_id = mclictl("run", "-b", "--group", group, "sleep 1234").stdout.strip()
    assert mclictl("groups", "rm", group, exits=1).stderr.startswith("Error: ")
    mclictl("stop", run_id)


@pytest.mark.parametrize(
    "args",
    [
        ["groups", "set", "x"],
        ["groups", "set", "x", "--slots", "0"],
        ["groups", "set", "x", "--slots", "1", "--no-limit"],
        ["groups", "rm"],
        ["groups", "tes", "x"],
    ],
)
def test_a_wrong_command_line_is_told(mclictl: Mclictl, args: list[str]) -> None:
    assert mclictl(*args, exits=2).stdout == ""


@pytest.mark.parametrize("verb", [["pause"], ["resume"], ["run", "-b", "true", "--group"]])
def test_an_unknown_group_is_told(mclictl: Mclictl, verb: list[str]) -> None:
    assert "nonesuch" in mclictl(*verb, "nonesuch", exits=1).stderr


def test_the_table_fits_the_terminal(mclictl: Mclictl) -> None:
    assert max(map(len, visible(mclictl.on_terminal("groups", columns=60)))) <= 60
