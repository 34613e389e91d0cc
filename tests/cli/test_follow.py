"""`mclictl follow`: one or several runs, live, to their end."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.cli.conftest import Mclictl, start_server

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = """
[steps.build]
run = "echo building; echo warned >&2"
[steps.test]
run = "echo testing; exit 3"
needs = ["build"]
[steps.mail]
run = "echo mailing"
needs = ["test"]
when = "failure"
[steps.publish]
run = "echo publishing"
needs = ["test"]
"""


def document(mclictl: Mclictl, text: str = DOCUMENT) -> str:
    name = f"doc-{uuid4().hex[:8]}"
    mclictl("commands", "add", name, "-", "--language", "toml", stdin=text)
    return name


def test_one_run_is_shown_as_it_is(mclictl: Mclictl) -> None:
    run_id = mclictl.background("printf 'a\\nb'; echo err >&2; exit 4")
    done = mclictl("follow", run_id, exits=4)
    assert (done.stdout, done.stderr) == ("a\nb", "err\n")
    assert mclictl("follow", run_id, "--offset", "2", exits=4).stdout == "b"


def test_several_runs_are_shown_by_lines_with_their_names(mclictl: Mclictl, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    slow = mclictl.background(f"printf 'be'; cat '{gate}'; echo fore; echo err >&2; exit 2")
    fast = mclictl.background("echo quick; printf rest")
    with mclictl.spawn("follow", slow, fast, slow) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        # The one that still runs does not hold up the other.
        assert process.stdout.readline() == f"{fast[-12:]} | quick\n"
        assert process.stdout.readline() == f"{fast[-12:]} | rest\n"
        gate.write_text("")
        assert process.stdout.read() == f"{slow[-12:]} | before\n"
        assert process.stderr.read() == f"{slow[-12:]} | err\n"
        assert process.wait(30) == 2


def test_json_is_an_event_on_each_line_with_its_run(mclictl: Mclictl) -> None:
    runs = {mclictl.background(f"echo {n}") for n in range(2)}
    events = [json.loads(line) for line in mclictl("follow", "--json", *runs).stdout.splitlines()]
    assert {event["job_id"] for event in events if event["type"] == "end"} == runs
    assert sorted(e["message"] for e in events if e["type"] == "log") == ["0\n", "1\n"]


def test_the_steps_of_a_document_are_shown_with_their_names(mclictl: Mclictl) -> None:
    name = document(mclictl)
    done = mclictl("workflow", "start", name, "--wait", exits=3)
    lines = sorted(done.stdout.splitlines())
    assert lines == ["build   | building", "mail    | mailing", "test    | testing"]
    assert done.stderr == "build   | warned\n"
    (run,) = mclictl.json("runs", "--name", name)
    assert sorted(mclictl("follow", run["id"], exits=3).stdout.splitlines()) == lines
    shown = mclictl("show", run["id"]).stdout
    for step, status in (("build", "completed"), ("test", "failed"), ("publish", "cancelled")):
        assert any(line.split()[:2] == [step, status] for line in shown.splitlines()), shown
    found = mclictl.json("show", run["id"])
    assert [step["name"] for step in found["step_runs"]][:2] == ["build", "test"]
    assert found["steps"] == 4


def test_a_document_that_is_wrong_is_told_when_it_is_stored(mclictl: Mclictl) -> None:
    wrong = "steps:\n  a: {run: x, needs: [b]}\n  b: {run: x, needs: [a], retry: 1}\n"
    done = mclictl("commands", "add", "x", "-", "--language", "yaml", stdin=wrong, exits=1)
    assert "steps need each other: a → b → a" in done.stderr
    assert "unknown key 'retry' (did you mean 'retries'?)" in done.stderr


def test_following_several_goes_on_when_the_server_comes_back(tmp_path: Path) -> None:
    home, gate = tmp_path / "home", tmp_path / "gate"
    os.mkfifo(gate)
    with start_server(home) as first:
        mclictl = Mclictl(first.new, tmp_path, first.token)
        slow = mclictl.background(f"echo before; cat '{gate}'")
        other = mclictl.finished("echo other")
        with mclictl.spawn("follow", slow, other) as process:
            assert process.stdout is not None
            said = {process.stdout.readline() for _ in range(2)}
            assert said == {f"{slow[-12:]} | before\n", f"{other[-12:]} | other\n"}
            first.kill()
            with start_server(home, "--port", first.new.rpartition(":")[2]) as second:
                gate.write_text("after\n")
                assert process.stdout.read() == f"{slow[-12:]} | after\n"
                assert process.wait(30) == 0
                second.stop()


def test_a_wrong_command_line_is_told(mclictl: Mclictl) -> None:
    assert "ID" in mclictl("follow", exits=2).stderr
    assert "--offset" in mclictl("follow", "a", "b", "--offset", "1", exits=2).stderr


@pytest.mark.parametrize("more", [[], ["x"]])
def test_an_unknown_run_is_told(mclictl: Mclictl, more: list[str]) -> None:
    assert "No run has the id 'x'" in mclictl("follow", "x", *more, exits=1).stderr
