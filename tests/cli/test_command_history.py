"""`mclictl commands history`, `diff`, `rollback`, `stats`, `enable` and `disable`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Mclictl


@pytest.fixture
def name(mclictl: Mclictl) -> str:
    """A command with two versions."""
    made = f"past-{uuid4().hex[:8]}"
    mclictl("commands", "add", made, "--code", "echo one\n", "--tag", "a")
    mclictl("commands", "edit", made, "--code", "echo two\n", "--tag", "b")
    return made


def test_versions_are_listed_and_printed(mclictl: Mclictl, name: str) -> None:
    header, second, first = mclictl("commands", "history", name).stdout.splitlines()
    assert header.split() == ["VERSION", "WHEN", "AUTHOR", "NAME", "NOTE"]
    assert [line.split()[0] for line in (second, first)] == ["2", "1"]
    assert second.split()[2:] == ["owner", name, "-"]
    found = mclictl.json("commands", "history", name)
    assert [version["version"] for version in found] == [2, 1]
    assert mclictl("commands", "history", name, "--version", "1").stdout == "echo one\n"
    assert mclictl.json("commands", "history", name, "--version", "1")["tags"] == ["a"]
    one = mclictl("commands", "history", name, "--limit", "1")
    assert (len(one.stdout.splitlines()), one.stderr) == (2, "There are more: add --limit N.\n")
    assert "no version 9" in mclictl("commands", "history", name, "--version", "9", exits=1).stderr


def test_a_difference_is_shown_as_patch_takes_it(mclictl: Mclictl, name: str) -> None:
    shown = mclictl("commands", "diff", name).stdout
    assert shown == (
        f'# tags: ["a"] -> ["b"]\n--- {name}@1\n+++ {name}@2\n@@ -1 +1 @@\n-echo one\n+echo two\n'
    )
    assert mclictl.json("commands", "diff", name, "2", "1")["old"] == 2
    assert "\033[32m+echo two" in mclictl.on_terminal("commands", "diff", name)
    same = mclictl("commands", "diff", name, "1", "1")
    assert (same.stdout, same.stderr) == ("", "versions 1 and 1 say the same\n")
    assert "no version 7" in mclictl("commands", "diff", name, "7", exits=1).stderr


def test_a_roll_back_is_a_new_version(mclictl: Mclictl, name: str) -> None:
    done = mclictl("commands", "rollback", name, "1")
    assert done.stdout == f"{name} is as in version 1 again, now version 3\n"
    assert mclictl("commands", "show", name, "--code").stdout == "echo one\n"
    assert mclictl.json("commands", "rollback", name, "2")["version"] == 4
    notes = [version["note"] for version in mclictl.json("commands", "history", name)]
    assert notes == ["rolled back to version 2", "rolled back to version 1", None, None]
    assert "no version 9" in mclictl("commands", "rollback", name, "9", exits=1).stderr


def test_commands_are_switched_off_and_on(mclictl: Mclictl, name: str) -> None:
    assert mclictl("commands", "disable", name).stdout == f"disabled {name} (shell)\n"
    assert "is not active" in mclictl("workflow", "start", name, exits=1).stderr
    (found,) = [c for c in mclictl.json("commands", "list", "--inactive") if c["name"] == name]
    assert found["is_active"] is False
    assert mclictl.json("commands", "enable", name)["is_active"] is True
    assert mclictl.json("commands", "disable", name)["is_active"] is False
    assert mclictl("commands", "enable", name).stdout == f"enabled {name} (shell)\n"
    for verb in ("enable", "disable"):
        assert "no command" in mclictl("commands", verb, "nobody", exits=1).stderr
    both = mclictl("commands", "list", "--all", "--inactive", exits=2)
    assert "only one of" in both.stderr


def test_statistics_are_shown(mclictl: Mclictl, name: str) -> None:
    mclictl("workflow", "start", name, "--wait")
    mclictl("commands", "edit", name, "--code", "exit 3")
    mclictl("workflow", "start", name, "--wait", exits=3)
    lines = dict(
        line.split(None, 1) for line in mclictl("commands", "stats", name).stdout.splitlines()
    )
    assert (lines["runs"], lines["completed"], lines["failed"]) == ("2", "1", "1")
    shown = mclictl("commands", "stats", name).stdout
    assert "success rate  50.0%" in shown
    assert "last failure" in shown
    found = mclictl.json("commands", "stats", name, "--since", "1h")
    assert (found["runs"], found["success_rate"]) == (2, 0.5)
    assert "no command" in mclictl("commands", "stats", "nobody", exits=1).stderr


@pytest.mark.parametrize("verb", ["history", "diff", "stats", "similar"])
def test_the_name_of_a_route_is_told(mclictl: Mclictl, verb: str) -> None:
    said = mclictl("commands", verb, "search", exits=1).stderr
    assert "No stored command can be named 'search'" in said
