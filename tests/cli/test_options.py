"""The options of `run` and `workflow start`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Mclictl


def test_everything_asked_for_is_kept_with_the_run(mclictl: Mclictl) -> None:
    before = mclictl.finished("true")
    options = (
        f"--priority 5 --after {before} --on any --retries 2 --retry-delay 100ms --nice 3 "
        "--memory 512M --cpu 60 --processes 5000 --timeout 1m --env A=1 --stdin"
    ).split()
    run_id = mclictl("run", "-b", *options, "cat").stdout.strip()
    found = mclictl.json("show", run_id)
    assert (found["priority"], found["after"], found["on"]) == (5, [before], "any")
    assert (found["timeout"], found["env"], found["stdin"]) == (60, {"A": "1"}, True)
    assert (found["retries"]["times"], found["retries"]["delay"]) == (2, 0.1)
    assert found["limits"] == {"nice": 3, "memory": 536870912, "cpu": 60, "processes": 5000}
    shown = mclictl("show", run_id).stdout
    for said in ("2, after 100 ms", "nice 3, memory 536.9 MB, processor 1 min 0 s", before):
        assert said in shown
    mclictl("stop", run_id)


def test_a_stored_command_takes_the_same_options(mclictl: Mclictl) -> None:
    name = f"options-{time.time_ns()}"
    mclictl("commands", "add", name, "--code", "nice")
    options = ("--nice", "4", "--priority", "-1")
    assert mclictl("workflow", "start", name, "--wait", *options).stdout == "4\n"


def test_a_failing_run_is_tried_again(mclictl: Mclictl) -> None:
    run_id = mclictl(
        "run", "-b", "--retries", "2", "--retry-delay", "10ms", "echo $MCLI_RUN_ID; exit 3"
    ).stdout.strip()
    assert mclictl("follow", run_id, exits=3).stdout == f"{run_id}\n" * 3
    history = mclictl.json("show", run_id)["history"]
    assert [change["attempt"] for change in history if change["status"] == "running"] == [1, 2, 3]
    assert "ATTEMPT" in mclictl("show", run_id).stdout


def test_a_secret_is_seen_by_the_run_alone(mclictl: Mclictl) -> None:
    command = 'printf %s "$TOKEN" | wc -c; echo "$TOKEN $PASS"'
    token = "hush-hush-9"
    done = mclictl("run", "--secret", "TOKEN", "--secret", "PASS=open sesame", command, TOKEN=token)
    assert done.stdout == "11\n*** ***\n"
    (run,) = (run for run in mclictl.json("runs") if run["command"] == command)
    shown = mclictl("show", run["id"]).stdout
    assert token not in shown
    assert '["PASS", "TOKEN"]' in shown or '["TOKEN", "PASS"]' in shown


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--secret", "NO_SUCH_VARIABLE"], "no variable 'NO_SUCH_VARIABLE'"),
        (["--secret", "=x"], "not of the form"),
        (["--env", "x"], "not of the form"),
        (["--memory", "much"], "is not a size"),
        (["--timeout", "soon"], "is not a duration"),
        (["--timeout", "0"], "more than nothing"),
        (["--retry-delay", "1s"], "--retry-delay needs --retries"),
        (["--on", "any"], "--on needs --after"),
        (["--after", "x"], "--after needs --background"),
        (["--retries", "1"], "--retries needs --background"),
        (["--stdin"], "--stdin needs --background"),
        (["--nice", "20"], "--nice"),
        (["--priority", "1001"], "--priority"),
    ],
)
def test_a_wrong_option_is_told(mclictl: Mclictl, args: list[str], said: str) -> None:
    done = mclictl("run", *args, "true", exits=2)
    assert done.stdout == ""
    assert said in done.stderr


def test_what_the_server_does_not_know_is_told(mclictl: Mclictl) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    assert unknown in mclictl("run", "-b", "--after", unknown, "true", exits=1).stderr


@pytest.mark.parametrize(
    "args",
    [
        ("commands", "show", "b\udcff"),
        ("schedule", "add", "b\udcff", "--every", "1d", "true"),
        ("process", "stop", "b\udcff"),
        ("runs", "--name", "b\udcff"),
        ("sync", "push", "b\udcff"),
        ("keys", "rm", "b\udcff"),
    ],
    ids=lambda args: " ".join(args[:2]),
)
def test_bytes_that_are_no_text_are_told(mclictl: Mclictl, args: tuple[str, ...]) -> None:
    done = mclictl(*args, exits=2)
    assert "Names and texts must be UTF-8, and \\udcff is not." in done.stderr
