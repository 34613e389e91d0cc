"""`mclictl run`: as if the command ran here."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Mclictl, start_server

if TYPE_CHECKING:
    from pathlib import Path


def test_output_goes_where_the_command_sent_it(mclictl: Mclictl) -> None:
    done = mclictl("run", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_text_is_passed_on_exactly(mclictl: Mclictl) -> None:
    # U+2028 and a lone carriage return end a line for some readers, but not for us.
    command = r"printf 'no newline \342\200\250 \303\274 \r [red]x[/red] \033[31mraw'"
    done = mclictl("run", command, PYTHONIOENCODING="utf-8:strict")
    assert done.stdout.encode() == "no newline \u2028 ü \n [red]x[/red] \033[31mraw".encode()


def test_output_comes_while_the_command_runs(mclictl: Mclictl, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with mclictl.spawn("run", f"mkfifo '{gate}'; echo first; cat '{gate}'") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "first\n"
        gate.write_text("second\n")
        assert process.stdout.read() == "second\n"
        assert process.wait() == 0


def test_more_output_than_any_buffer_arrives_whole(mclictl: Mclictl) -> None:
    done = mclictl("run", "seq 1 200000")
    assert done.stdout == "".join(f"{n}\n" for n in range(1, 200001))


@pytest.mark.parametrize(
    ("command", "code"),
    [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("nonesuch", 127)],
)
def test_the_exit_code_is_passed_through(mclictl: Mclictl, command: str, code: int) -> None:
    mclictl("run", command, exits=code)


def test_a_time_out_is_124_and_says_so(mclictl: Mclictl) -> None:
    done = mclictl("run", "--timeout", "0.3", "echo begun; sleep 60", exits=124)
    assert done.stdout == "begun\n"
    assert "timed_out" in done.stderr


def test_words_behind_dashes_are_quoted(mclictl: Mclictl) -> None:
    done = mclictl("run", "--", "printf", "%s|", "a b", "$HOME", "--json")
    assert done.stdout == "a b|$HOME|--json|"


def test_environment_and_folder_are_set(mclictl: Mclictl, tmp_path: Path) -> None:
    done = mclictl(
        "run", "--env", "A=1=2", "--env", "B=", "--cwd", str(tmp_path), 'echo "$A$B"; pwd'
    )
    assert done.stdout == f"1=2\n{tmp_path}\n"


def test_json_is_one_object_with_everything(mclictl: Mclictl) -> None:
    found = mclictl.json("run", "echo out; echo err >&2; exit 4", exits=4)
    assert found["job_id"]
    assert {name: found[name] for name in ("status", "returncode", "output", "error")} == {
        "status": "failed",
        "returncode": 4,
        "output": "out\n",
        "error": "err\n",
    }


def test_in_the_background_the_id_is_printed(mclictl: Mclictl) -> None:
    run_id = mclictl("run", "-b", "echo later").stdout.strip()
    assert mclictl("logs", "-f", run_id).stdout == "later\n"
    assert mclictl.json("run", "-b", "true")["status"] == "queued"


def test_ctrl_c_ends_the_command(mclictl: Mclictl, tmp_path: Path) -> None:
    command = f"echo ready; sleep 1234; echo '{tmp_path}'"
    with mclictl.spawn("run", command) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert "Traceback" not in process.stderr.read()
    (run,) = (run for run in mclictl.json("runs") if run["command"] == command)
    mclictl("logs", "-f", run["id"])
    assert mclictl.json("show", run["id"])["status"] == "cancelled"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["echo", "hi"], "mclictl run -- echo hi"),
        ([], "Missing argument 'COMMAND'"),
        (["true", "--", "true"], "not both"),
        (["--env", "A", "true"], "'A' is not of the form K=V"),
        (["--timeout", "0", "true"], "--timeout"),
    ],
)
def test_a_wrong_command_line_is_explained(mclictl: Mclictl, args: list[str], said: str) -> None:
    done = mclictl("run", *args, exits=2)
    assert done.stdout == ""
    assert said in done.stderr


def test_what_the_server_refuses_is_told(mclictl: Mclictl) -> None:
    done = mclictl("run", "", exits=1)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")


def test_a_reader_that_leaves_ends_the_command(mclictl: Mclictl, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    command = f"echo begun; cat '{gate}'; sleep 1234"
    with mclictl.spawn("run", command) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "begun\n"
        process.stdout.close()
        gate.write_text("for nobody\n")
        assert process.wait(30) == 1
        assert process.stderr.read() == ""
    (run,) = (run for run in mclictl.json("runs") if run["command"] == command)
    mclictl("logs", "-f", run["id"])
    assert mclictl.json("show", run["id"])["status"] == "cancelled"


def test_a_server_that_dies_is_told_with_the_id_of_the_run(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with start_server(tmp_path / "home") as server:
        mclictl = Mclictl(server.new, tmp_path, server.token)
        with mclictl.spawn("run", f"echo begun; cat '{gate}'") as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "begun\n"
            (run,) = mclictl.json("runs")
            server.kill()
            assert process.wait(30) == 3
            assert f"`mclictl show {run['id']}`" in process.stderr.read()
    # The command outlives the server; let it end.
    gate.write_text("")
