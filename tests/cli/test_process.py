"""`mclictl process`: processes that the server looks after."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.cli.conftest import Mclictl, start_server, visible

if TYPE_CHECKING:
    from pathlib import Path

SLEEP = "exec sleep 600"


@pytest.fixture
def name() -> str:
    return f"p-{uuid4().hex[:8]}"


def states(mclictl: Mclictl) -> dict[str, str]:
    found: list[dict[str, Any]] = mclictl.json("process")
    return {each["name"]: each["state"] for each in found}


def test_from_its_making_to_its_end(mclictl: Mclictl, name: str) -> None:
    options = ["--restart", "always", "--delay", "10ms", "--give-up-after", "0", "--env", "A=b"]
    header, line = mclictl("process", "create", name, SLEEP, *options).stdout.splitlines()
    assert header.split()[:4] == ["NAME", "STATE", "HEALTH", "PID"]
    assert line.split()[:2] == [name, "created"]
    made = mclictl.json("process", "start", name)
    assert (made["state"], made["env"], made["backoff"]["give_up_after"]) == (
        "running",
        {"A": "b"},
        None,
    )
    assert mclictl.json("process", "restart", name)["pid"] != made["pid"]
    assert "running" in mclictl("process", "show", name).stdout
    assert mclictl.json("process", "show", name)["restarts"] == 1
    assert name in mclictl("process", "list", "--state", "running").stdout
    assert "created" not in states(mclictl)[name]
    edited = mclictl.json(
        "process", "edit", name, "--restart", "no", "--env", "C=d", "--longest", "2s"
    )
    assert (edited["restart"], edited["env"]) == ("no", {"A": "b", "C": "d"})
    assert (edited["backoff"]["delay"], edited["backoff"]["longest"]) == (0.01, 2.0)
    assert mclictl.json("process", "stop", name)["state"] == "stopped"
    assert mclictl("process", "rm", name).stdout == f"removed {name}\n"
    assert "There is no process" in mclictl("process", "show", name, exits=1).stderr


def test_what_runs_is_removed_only_when_asked_for(mclictl: Mclictl, name: str) -> None:
    mclictl("process", "run", name, SLEEP)
    assert f"{name} is running. Kill and remove?" in mclictl("process", "rm", name, exits=1).stderr
    assert states(mclictl)[name] == "running"
    assert mclictl("process", "rm", name, stdin="y\n").stdout == f"removed {name}\n"
    mclictl("process", "run", name, SLEEP)
    assert mclictl.json("process", "kill", name)["reason"] == "killed"
    mclictl("process", "start", name)
    other = f"{name}-2"
    mclictl("process", "create", other, SLEEP)
    removed = mclictl.json("process", "rm", "--yes", name, other, name)
    assert removed == {"removed": [name, other]}
    assert mclictl("process", "rm", name, exits=1).stderr.startswith("Error: There is no process")


def test_each_verb_shows_the_process_as_it_is_then(mclictl: Mclictl, name: str) -> None:
    def shown(*args: str) -> list[str]:
        header, line = mclictl("process", *args).stdout.splitlines()
        assert header.split()[:2] == ["NAME", "STATE"]
        assert line.split()[0] == name
        return line.split()

    pid = shown("run", name, SLEEP)[3]
    assert shown("restart", name)[3] != pid
    assert shown("edit", name, "--restart", "no")[1] == "running"
    assert shown("stop", name)[1] == "stopped"
    assert shown("start", name)[1] == "running"
    assert shown("kill", name)[1] == "stopped"


def test_output_is_waited_for_printed_and_followed(mclictl: Mclictl, name: str) -> None:
    done = mclictl("process", "run", name, "--wait", "echo a; echo b; echo c >&2; exit 7", exits=7)
    assert (done.stdout, done.stderr) == ("a\nb\n", "c\n")
    shown = mclictl("process", "logs", name, "--lines", "1")
    assert (shown.stdout, shown.stderr) == ("b\n", "c\n")
    assert mclictl("process", "logs", "-f", name, "--stream", "stderr").stdout == "c\n"
    events = mclictl.json("process", "logs", name)
    assert [event["type"] for event in events] == ["start", "log", "log", "end"]
    assert mclictl("process", "logs", "nonesuch", exits=1).stderr.startswith("Error: ")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_following_goes_on_when_the_server_comes_back(
    tmp_path: Path, how: signal.Signals, form: list[str]
) -> None:
    home, gate = tmp_path / "home", tmp_path / "gate"
    os.mkfifo(gate)
    # Each life says which it is, and ends with what comes through the gate.
    life = f"cd '{tmp_path}'; echo x >> n; echo life $(wc -l < n); cat gate"
    events: list[Any] = []
    with start_server(home) as first:
        mclictl = Mclictl(first.new, tmp_path, first.token)
        mclictl("process", "run", "web", life, "--restart", "always", "--delay", "10ms")
        with mclictl.spawn("process", "logs", "-f", "web", *form) as process:
            assert process.stdout is not None
            assert process.stderr is not None

            def said() -> str:
                """The next line of the process."""
                assert process.stdout is not None
                line = process.stdout.readline()
                if form:
                    events.append(json.loads(line))
                    is_log = events[-1]["type"] == "log"
                    line = events[-1]["message"] if is_log else said()
                return line

            assert said() == "life 1\n"
            gate.write_text("bye 1\n")
            assert [said(), said()] == ["bye 1\n", "life 2\n"]
            first.process.send_signal(how)
            first.process.wait(30)
            gate.write_text("bye 2\n")
            with start_server(home, "--port", first.new.rpartition(":")[2]):
                assert [said(), said()] == ["bye 2\n", "life 3\n"]
                mclictl("process", "rm", "--yes", "web")
                rest = process.stdout.read()
                assert process.stderr.read() == ""
                assert process.wait() == 0
    if form:
        events += map(json.loads, rest.splitlines())
        told = [event["type"] for event in events]
        assert told == ["start", "log", "log", "end"] * 2 + ["start", "log", "end"]
    else:
        assert rest == ""


def test_a_lost_server_is_told(tmp_path: Path) -> None:
    with start_server(tmp_path / "home") as first:
        mclictl = Mclictl(first.new, tmp_path, first.token)
        made = mclictl.json("process", "run", "web", f"echo up; {SLEEP}")
        with mclictl.spawn("process", "logs", "-f", "web") as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "up\n"
            first.kill()
            assert process.wait(60) == 3
            assert (
                f"go on later with `mclictl process logs -f {made['id']}`" in process.stderr.read()
            )
        os.kill(made["pid"], signal.SIGKILL)


def test_health_is_described_and_taken_away(mclictl: Mclictl, name: str) -> None:
    options = ["--health-command", "true", "--health-interval", "5s", "--autostart"]
    made = mclictl.json("process", "create", name, "printf", "%s", "x", *options)
    assert (made["args"], made["autostart"]) == (["%s", "x"], True)
    assert made["health_check"]["interval"] == 5
    url = ["--health-url", "http://127.0.0.1:1/", "--health-retries", "2"]
    check = mclictl.json("process", "edit", name, *url)["health_check"]
    assert (check["command"], check["interval"], check["retries"]) == (None, 5, 2)
    gone = mclictl.json("process", "edit", name, "--no-health", "--no-autostart")
    assert (gone["health_check"], gone["autostart"]) == (None, False)


def test_changes_are_watched(mclictl: Mclictl, name: str) -> None:
    made = mclictl.json("process", "run", name, SLEEP, "--restart", "always", "--delay", "10ms")
    with mclictl.spawn("process", "list", "--watch", "--json") as watching:
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        assert first["type"] == "snapshot"
        os.kill(made["pid"], signal.SIGKILL)
        while True:
            message = json.loads(watching.stdout.readline())
            now = message.get("process", {})
            if now.get("name") == name and now["state"] == "running" and now["restarts"] == 1:
                break
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130
    with mclictl.spawn("process", "list", "--watch") as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("NAME")
        mclictl("process", "stop", name)
        while f"{name}  stopped" not in watching.stdout.readline():
            pass
        watching.send_signal(signal.SIGINT)
        watching.wait(30)


@pytest.mark.parametrize(
    ("args", "exits"),
    [
        (["create"], 2),
        (["edit", "nonesuch", "--restart", "no"], 1),
        (["create", "a/b", "true"], 1),
        (["create", "x", "true", "--delay", "soon"], 2),
        (["create", "x", "true", "--health-command", "true", "--health-url", "http://x/"], 1),
        (["run", "x", "true", "--wait", "--restart", "always"], 1),
        (["start", "nonesuch"], 1),
        (["stop", "nonesuch"], 1),
        (["kill", "nonesuch"], 1),
        (["restart", "nonesuch"], 1),
        (["--state", "odd"], 2),
        (["list", "--state", "odd"], 2),
    ],
)
def test_what_is_wrong_is_told(mclictl: Mclictl, args: list[str], exits: int) -> None:
    done = mclictl("process", *args, exits=exits)
    assert done.stdout == ""
    assert "Error: " in done.stderr


def test_an_edit_of_nothing_is_told(mclictl: Mclictl, name: str) -> None:
    mclictl("process", "create", name, "true")
    assert "Say what to change" in mclictl("process", "edit", name, exits=2).stderr


def test_the_table_fits_the_terminal(mclictl: Mclictl, name: str) -> None:
    mclictl("process", "create", name, "true " + "x" * 200)
    assert max(map(len, visible(mclictl.on_terminal("process", columns=100)))) <= 100
