"""`mclictl workflow`: runs of stored commands."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Mclictl


def store(mclictl: Mclictl, code: str) -> str:
    name = f"job-{uuid4().hex[:8]}"
    mclictl("commands", "add", name, "--code", code)
    return name


def test_start_prints_the_id(mclictl: Mclictl) -> None:
    name = store(mclictl, 'echo "$GREETING $1 $2"')
    args = ("workflow", "start", name, "a b", "--env", "GREETING=hi", "--", "--json")
    run_id = mclictl(*args).stdout.strip()
    assert mclictl("logs", "-f", run_id).stdout == "hi a b --json\n"
    started = mclictl.json("workflow", "start", name)
    assert (started["name"], started["status"]) == (name, "queued")


def test_waiting_shows_the_output_and_passes_on_the_exit_code(mclictl: Mclictl) -> None:
    name = store(mclictl, "echo out; echo err >&2; exit ${1:-0}")
    done = mclictl("workflow", "start", name, "--wait", "7", exits=7)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert mclictl("workflow", "start", name, "-f").stdout == "out\n"
    ended = mclictl.json("workflow", "start", name, "6", "--wait", exits=6)
    assert (ended["name"], ended["status"], ended["returncode"]) == (name, "failed", 6)


def test_runs_of_stored_commands_are_listed(mclictl: Mclictl) -> None:
    name = store(mclictl, "true")
    mclictl("workflow", "start", name, "a b", "--wait")
    other = mclictl.finished("true")
    header, line = mclictl("workflow", "list", "--name", name).stdout.splitlines()
    assert header.split()[0] == "ID"
    assert f"completed  {name} 'a b'" in line
    (found,) = mclictl.json("workflow", "list", "--name", name, "--status", "completed")
    assert (found["kind"], found["args"]) == ("workflow", ["a b"])
    assert other not in {run["id"] for run in mclictl.json("workflow", "list", "--all")}
    assert mclictl.json("workflow", "list", "--name", name, "--status", "lost") == []


def test_stop_by_id_and_by_name(mclictl: Mclictl) -> None:
    name = store(mclictl, "sleep 1234")
    first, second, third = (mclictl("workflow", "start", name).stdout.strip() for _ in range(3))
    assert mclictl("workflow", "stop", first).stdout.startswith(f"{first} cancelled")
    done = mclictl("workflow", "stop", name)
    assert done.stdout.startswith(f"{third} cancelled")
    assert "More than one" in done.stderr
    stopped = mclictl.json("workflow", "stop", name)
    assert (stopped["id"], stopped["status"]) == (second, "cancelled")
    assert f"No run of '{name}' is going on" in mclictl("workflow", "stop", name, exits=1).stderr


@pytest.mark.parametrize("wait", [[], ["--wait"], ["--json"]])
def test_an_unknown_command_is_told(mclictl: Mclictl, wait: list[str]) -> None:
    done = mclictl("workflow", "start", "nonesuch", *wait, exits=1)
    assert done.stdout == ""
    assert "nonesuch" in done.stderr
