"""`mclictl schedule`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.cli.conftest import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Mclictl

HEADER = ["NAME", "SCHEDULE", "NEXT", "LAST", "RESULT", "FIRED", "TASK"]


@pytest.fixture
def job(mclictl: Mclictl) -> Iterator[str]:
    """Name of a job of this test's own, not due for long."""
    name = f"job-{uuid4().hex[:8]}"
    mclictl("schedule", "add", name, "--cron", "@yearly", "--timezone", "UTC", "echo hi")
    yield name
    mclictl("schedule", "rm", name, "--yes")


def shown(mclictl: Mclictl, name: str) -> dict[str, Any]:
    found: dict[str, Any] = mclictl.json("schedule", "show", name)
    return found


def test_jobs_are_made_listed_and_removed(mclictl: Mclictl) -> None:
    name = f"job-{uuid4().hex[:8]}"
    header, line = mclictl(
        "schedule", "add", name, "--every", "5m", "make report"
    ).stdout.splitlines()
    assert header.split() == HEADER
    assert re.fullmatch(rf"{name} +every 5m +20\S+Z +- +- +0 +make report", line)
    # Other jobs may make the columns wider.
    assert line.split() in [each.split() for each in mclictl("schedule").stdout.splitlines()]
    assert mclictl("schedule", "list").stdout == mclictl("schedule").stdout
    assert name in [each["name"] for each in mclictl.json("schedule")]
    assert mclictl("schedule", "rm", name, "-y").stdout == f"removed {name}\n"
    assert "There is no job" in mclictl("schedule", "rm", name, "-y", exits=1).stderr


def test_a_job_is_removed_only_after_a_yes(mclictl: Mclictl, job: str) -> None:
    assert "--yes" in mclictl("schedule", "rm", job, exits=2).stderr
    other = mclictl.json("schedule", "add", "gone", "--every", "1d", "true")["name"]
    assert mclictl.json("schedule", "rm", other, "--yes") == {"removed": [other]}
    assert shown(mclictl, job)["name"] == job


@pytest.mark.parametrize(
    ("args", "task"),
    [
        (["echo hi"], {"type": "shell", "command": "echo hi"}),
        (
            ["true", "--retries", "2", "--timeout", "1m", "--env", "A=b", "--group", "default"],
            {
                "type": "shell",
                "command": "true",
                "retries": {"times": 2},
                "timeout": 60.0,
                "env": {"A": "b"},
                "run_group": "default",
            },
        ),
        (
            [
                "--http",
                "http://127.0.0.1:1/x",
                "--method",
                "POST",
                "--body",
                "b",
                "--header",
                "A=1",
            ],
            {
                "type": "http",
                "url": "http://127.0.0.1:1/x",
                "method": "POST",
                "body": "b",
                "headers": {"A": "1"},
            },
        ),
        (["--clean-up", "30d"], {"type": "cleanup", "older_than": 2_592_000.0}),
    ],
)
def test_what_a_job_does(mclictl: Mclictl, job: str, args: list[str], task: dict[str, Any]) -> None:
    assert mclictl.json("schedule", "edit", job, *args)["task"] == task
    assert mclictl("schedule", "show", job).stdout


def test_a_stored_command_is_scheduled(mclictl: Mclictl, job: str) -> None:
    name = f"c{uuid4().hex[:8]}"
    mclictl("commands", "add", name, "--language", "shell", "-", stdin="echo $1")
    edited = mclictl.json("schedule", "edit", job, "--command", name, "--arg", "x")
    assert edited["task"] == {"type": "command", "name": name, "args": ["x"]}
    assert f"command {name} x" in mclictl("schedule", "list").stdout
    wrong = mclictl("schedule", "edit", job, "--workflow", name, exits=1)
    assert "is no document of steps" in wrong.stderr


def test_a_job_is_changed(mclictl: Mclictl, job: str) -> None:
    policy = ["--catch-up", "all", "--window", "2h", "--overlap", "queue", "--jitter", "30s"]
    ends = ["--start", "2027-01-01T00:00", "--end", "2098-01-01", "--max-runs", "7"]
    told = ["--description", "why", "--on-failure", "https://example.com/hook"]
    mclictl("schedule", "edit", job, *policy, *ends, *told, "--secret", "a secret of sixteen")
    found = shown(mclictl, job)
    assert (found["catch_up"], found["catch_up_window"], found["jitter"]) == ("all", 7200, 30)
    assert (found["overlap"], found["max_runs"], found["description"]) == ("queue", 7, "why")
    assert found["on_failure"] == {"url": "https://example.com/hook", "signed": True}
    assert found["next_at"] >= "2027"
    assert "catch_up" in mclictl("schedule", "show", job).stdout
    other = f"{job}-renamed"
    assert mclictl.json("schedule", "edit", job, "--rename", other)["name"] == other
    header, line = mclictl("schedule", "edit", other, "--rename", job).stdout.splitlines()
    assert header.split() == HEADER
    assert line.split()[0] == job


def test_a_job_is_paused_and_resumed(mclictl: Mclictl, job: str) -> None:
    assert " paused " in mclictl("schedule", "pause", job).stdout
    assert mclictl.json("schedule", "resume", job)["paused"] is False
    assert mclictl.json("schedule", "pause", job)["next_at"] is None
    assert " paused " not in mclictl("schedule", "resume", job).stdout
    for verb in ("pause", "resume"):
        assert "There is no job" in mclictl("schedule", verb, "none", exits=1).stderr


def test_a_job_is_run_now(mclictl: Mclictl, job: str) -> None:
    assert mclictl("schedule", "runs", job).stderr == "nothing yet\n"
    run_id = mclictl("schedule", "run", job).stdout.strip()
    assert mclictl("logs", "-f", run_id).stdout == "hi\n"
    again = mclictl.json("schedule", "run", job)
    assert again["manual"] is True
    mclictl("wait", again["id"])
    listed = mclictl("schedule").stdout.splitlines()
    assert any(line.split()[0] == job and " completed " in line for line in listed)
    lines = mclictl("schedule", "runs", job).stdout.splitlines()
    assert lines[0].split() == ["AT", "STATE", "RUN", "STATUS", "CODE", "REASON"]
    assert len(lines) == 3
    name = f"gone-{uuid4().hex[:8]}"
    mclictl("commands", "add", name, "--language", "shell", "-", stdin="true")
    mclictl("schedule", "edit", job, "--command", name)
    mclictl("commands", "rm", name, "--yes")
    assert "There is no command" in mclictl("schedule", "run", job, exits=1).stderr
    failed = mclictl("schedule", "runs", job).stdout.splitlines()[1]
    assert re.search(r" failed +- +- +- +There is no command", failed)
    found = mclictl.json("schedule", "runs", job, "-n", "2")
    assert found[1]["id"] == again["id"]
    assert "-n 2 shows them" in mclictl("schedule", "runs", job, "-n", "1").stderr
    for verb in ("run", "runs", "show"):
        assert "There is no job" in mclictl("schedule", verb, "none", exits=1).stderr


def test_a_schedule_is_looked_ahead_in(mclictl: Mclictl) -> None:
    args = ["--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "-n", "2"]
    first, second = mclictl("schedule", "preview", *args).stdout.splitlines()
    assert first < second
    assert first.endswith(("T02:30:00+01:00", "T02:30:00+02:00", "T03:00:00+02:00"))
    assert [each["local"] for each in mclictl.json("schedule", "preview", *args)] == [first, second]
    local = mclictl("schedule", "preview", "--cron", "@daily", TZ="Asia/Tokyo").stdout
    assert local.splitlines()[0].endswith("T00:00:00+09:00")
    wrong = mclictl("schedule", "preview", "--cron", "61 * * * *", exits=1)
    assert "the minute '61' is not one; it takes 0-59" in wrong.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["add", "x", "true"], "Give --cron, --every or --at"),
        (["add", "x", "--every", "5m"], "What?"),
        (["add", "x", "--every", "5m", "--cron", "@daily", "true"], "one of --cron"),
        (["add", "x", "--every", "5m", "true", "--http", "http://x"], "not several"),
        (["add", "x", "--timezone", "UTC", "true"], "--timezone needs"),
        (["add", "x", "--every", "5m", "true", "--secret", "x"], "--secret needs"),
        (["add", "x", "--every", "5m", "true", "--end", "soon"], "is no moment"),
        (["edit", "x"], "what is to be changed"),
        (["edit", "x", "--timeout", "5s"], "needs the task"),
        (["preview"], "When?"),
        (["rm"], "Missing argument"),
        (["ad", "x"], "Did you mean 'add'?"),
    ],
)
def test_a_wrong_command_line_is_told(mclictl: Mclictl, args: list[str], told: str) -> None:
    done = mclictl("schedule", *args, exits=2)
    assert told in done.stderr
    assert done.stdout == ""


def test_the_table_fits_the_terminal(mclictl: Mclictl, job: str) -> None:
    for columns in (40, 80):
        lines = visible(mclictl.on_terminal("schedule", columns=columns))
        assert max(map(len, lines)) <= columns
    assert any(job[:8] in line for line in lines)


def test_nobody_at_home_is_told(mclictl: Mclictl) -> None:
    done = mclictl("schedule", "list", "--url", "http://127.0.0.1:1", exits=3)
    assert "mclictl serve" in done.stderr
    assert json.loads(mclictl("schedule", "list", "--json").stdout) is not None
