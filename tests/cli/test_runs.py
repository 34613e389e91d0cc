"""`mclictl runs`, `show` and `stop`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import visible

if TYPE_CHECKING:
    from tests.cli.conftest import Mclictl

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def test_runs_are_listed_newest_first(mclictl: Mclictl) -> None:
    first, second = mclictl.finished("echo 1"), mclictl.finished("exit 5")
    header, *lines = mclictl("runs").stdout.splitlines()
    assert header.split() == ["ID", "STATUS", "COMMAND", "RC", "STARTED", "TOOK"]
    assert [line.split()[0] for line in lines[:2]] == [second, first]
    assert lines[0].split()[1:5] == ["failed", "exit", "5", "5"]
    assert [run["id"] for run in mclictl.json("runs")[:2]] == [second, first]


def test_runs_can_be_narrowed(mclictl: Mclictl) -> None:
    good, bad = mclictl.finished("true"), mclictl.finished("false")
    failed = [run["id"] for run in mclictl.json("runs", "--status", "failed")]
    assert bad in failed
    assert good not in failed
    both = mclictl.json("runs", "--status", "failed", "--status", "completed", "--kind", "execute")
    assert {good, bad} <= {run["id"] for run in both}
    assert mclictl.json("runs", "--name", "nobody has this name") == []


def test_runs_can_be_narrowed_by_when_they_were_accepted(mclictl: Mclictl) -> None:
    run_id = mclictl.finished("true")
    assert run_id in {run["id"] for run in mclictl.json("runs", "--since", "1h")}
    assert run_id not in {run["id"] for run in mclictl.json("runs", "--until", "1h")}
    # Its whole second: the fraction as printed may be rounded up.
    second = mclictl.json("show", run_id)["created_at"][:19] + "Z"
    assert run_id in {run["id"] for run in mclictl.json("runs", "--since", second)}
    assert mclictl.json("runs", "--since", "2999-01-01") == []
    assert "neither how long ago" in mclictl("runs", "--since", "odd", exits=2).stderr


def test_a_limit_is_kept_and_all_pages_through(mclictl: Mclictl) -> None:
    made = {mclictl.background("true") for _ in range(3)}
    done = mclictl("runs", "--limit", "2")
    assert len(done.stdout.splitlines()) == 3
    assert "there are more" in done.stderr
    assert made <= {run["id"] for run in mclictl.json("runs", "--limit", "2", "--all")}


def test_an_empty_list_is_no_output_and_no_failure(mclictl: Mclictl) -> None:
    done = mclictl("runs", "--name", "nobody has this name")
    assert done.stdout == ""
    assert done.stderr.startswith("no runs; those of processes")


def test_a_table_elsewhere_is_never_cut_and_one_line_a_run(mclictl: Mclictl) -> None:
    mclictl.finished("true " + "x" * 300 + "\n# second line \033[31m")
    line = mclictl("runs", "--limit", "1", COLUMNS="40").stdout.splitlines()[1]
    assert "x" * 300 + r"\n# second line \x1b[31m" in line


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_table_fits_the_terminal(mclictl: Mclictl, columns: int) -> None:
    run_id = mclictl.finished("true " + "x" * 300)
    shown = visible(mclictl.on_terminal("runs", "--limit", "1", columns=columns))
    assert max(map(len, shown)) <= columns
    assert len(shown) <= 3  # the title, the run, and that there are more
    if columns >= 80:
        assert shown[1].startswith(f"{run_id}  completed  true x")


def test_colours_only_on_a_terminal_that_wants_them(mclictl: Mclictl) -> None:
    mclictl.finished("true")
    assert "\033[" in mclictl.on_terminal("runs")
    assert "\033[" not in mclictl("runs", FORCE_COLOR="1").stdout
    # Bold is no colour; NO_COLOR leaves it alone.
    assert "\033[32m" not in mclictl.on_terminal("runs", NO_COLOR="1")


def test_times_are_for_humans_on_a_terminal(mclictl: Mclictl) -> None:
    run_id = mclictl.finished("true")
    shown = mclictl.on_terminal("show", run_id, NO_COLOR="1")
    assert " ago" in shown or "now" in shown
    assert mclictl.json("show", run_id)["created_at"] in mclictl("show", run_id).stdout


def test_one_run_is_shown_whole(mclictl: Mclictl) -> None:
    run_id = mclictl.finished("echo hi")
    fields, _, history = mclictl("show", run_id).stdout.partition("\n\n")
    shown = dict(line.split(maxsplit=1) for line in fields.splitlines())
    assert (shown["id"], shown["status"], shown["returncode"]) == (run_id, "completed", "0")
    assert (shown["command"], shown["stdout"]) == ("echo hi", "3 B")
    found = mclictl.json("show", run_id)
    assert (found["id"], found["stdout_bytes"]) == (run_id, 3)
    statuses = ["queued", "running", "completed"]
    assert [line.split()[1] for line in history.splitlines()] == ["STATUS", *statuses]
    assert [change["status"] for change in found["history"]] == statuses


def test_stop_says_which_signal_it_took(mclictl: Mclictl) -> None:
    run_id = mclictl.background("sleep 1234")
    assert mclictl("stop", run_id).stdout == f"{run_id} cancelled: ended by SIGTERM\n"
    assert mclictl("stop", run_id).stdout == f"{run_id} was over already: cancelled\n"
    other = mclictl.json("stop", mclictl.background("sleep 1234"))
    assert (other["status"], other["signal"]) == ("cancelled", "SIGTERM")


@pytest.mark.parametrize("verb", [["show"], ["logs"], ["logs", "-f"], ["stop"], ["wait"]])
@pytest.mark.parametrize("run_id", [UNKNOWN, UNKNOWN[:8], "list", "../commands/list", ""])
def test_an_unknown_id_is_told(mclictl: Mclictl, verb: list[str], run_id: str) -> None:
    done = mclictl(*verb, run_id, exits=1)
    assert done.stdout == ""
    assert f"No run has the id '{run_id}'" in done.stderr


@pytest.mark.parametrize("args", [["--status", "odd"], ["--limit", "0"], ["--kind", "odd"], ["x"]])
def test_a_wrong_command_line_is_told(mclictl: Mclictl, args: list[str]) -> None:
    assert "Usage: mclictl runs" in mclictl("runs", *args, exits=2).stderr
