"""`mclictl run FILE`: a script of this machine, without storing it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Mclictl

ARGS = '#!/bin/sh\nprintf "%s|" "$@"\n'


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script that prints its arguments, which nobody may execute."""
    path = tmp_path / "show me.sh"
    path.write_text(ARGS)
    return path


def run_in(mclictl: Mclictl, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Call mclictl in a folder."""
    environment = mclictl.environment() | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "cli", *args],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ([], "|"),
        (["--arg", "x"], "--arg|x|"),
        (["--", "--json", "-v"], "--json|-v|"),
        (["--json", "--url", "http://x"], "--json|--url|http://x|"),
        (["a", "--", "b"], "a|--|b|"),
        (["two words", "$HOME", "'", ""], "two words|$HOME|'||"),
        (["-b", "--help"], "-b|--help|"),
    ],
)
def test_arguments_are_untouched(
    mclictl: Mclictl, script: Path, given: list[str], taken: str
) -> None:
    assert mclictl("run", str(script), *given).stdout == taken


def test_it_runs_from_this_folder_by_its_shebang(mclictl: Mclictl, tmp_path: Path) -> None:
    path = tmp_path / "where.txt"
    path.write_text("#!/usr/bin/env python3\nimport os, sys\nprint(os.getcwd()); sys.exit(7)\n")
    done = run_in(mclictl, tmp_path, "run", "./where.txt")
    assert (done.returncode, done.stdout) == (7, f"{tmp_path}\n")


@pytest.mark.parametrize(
    ("name", "code", "program"),
    [
        ("a.py", "print('hi')", "python3"),
        ("a.sh", "echo hi", "sh"),
        ("a.js", "console.log('hi')", "node"),
        ("a.lua", "print('hi')", "lua"),
    ],
)
def test_without_a_shebang_it_is_run_by_its_suffix(
    mclictl: Mclictl, tmp_path: Path, name: str, code: str, program: str
) -> None:
    (tmp_path / name).write_text(code)
    done = run_in(mclictl, tmp_path, "run", name)
    if shutil.which(program) is None:
        assert done.returncode == 127
        assert "interpreter not found" in done.stderr
    else:
        assert (done.returncode, done.stdout) == (0, "hi\n")


def test_options_of_ours_stand_before_it(mclictl: Mclictl, script: Path, tmp_path: Path) -> None:
    run_id = mclictl("run", "-b", "--env", "A=b", str(script), "-b").stdout.strip()
    assert mclictl("logs", "-f", run_id).stdout == "-b|"
    assert mclictl.json("show", run_id)["env"] == {"A": "b"}
    done = mclictl("run", "--cwd", "/", "--json", str(script), "x")
    assert json.loads(done.stdout)["output"] == "x|"
    other = tmp_path / "pwd.sh"
    other.write_text("pwd\n")
    assert mclictl("run", "--cwd", "/", str(other)).stdout == "/\n"


def test_shell_text_stays_shell_text(mclictl: Mclictl, tmp_path: Path) -> None:
    assert mclictl("run", "echo a.py").stdout == "a.py\n"
    assert mclictl("run", "/bin/echo hi; exit 3", exits=3).stdout == "hi\n"
    (tmp_path / "a.py").write_text("print('file')")
    assert run_in(mclictl, tmp_path, "run", "--", "echo", "a.py").stdout == "a.py\n"
    assert run_in(mclictl, tmp_path, "run", "echo a.py").stdout == "a.py\n"
    assert "No such command" not in run_in(mclictl, tmp_path, "run", "b.py").stdout


def test_a_program_without_a_shebang_is_run_as_it_is(mclictl: Mclictl) -> None:
    assert mclictl("run", "/bin/echo", "-n", "hi").stdout == "hi"


@pytest.mark.parametrize(
    ("content", "mode", "code", "told"),
    [
        ("echo hi\n", 0o644, 126, "no shebang"),
        ("#!/bin/sh\r\necho hi\r\n", 0o755, 126, "sed -i"),
        ("#!/nowhere/perl\n", 0o755, 127, "wants /nowhere/perl, which is not there"),
        ("#!/usr/bin/env nonesuch\n", 0o755, 127, "wants nonesuch, which is not on the PATH"),
        ("#!\n", 0o755, 126, "names no interpreter"),
    ],
)
def test_a_file_that_cannot_be_run_is_told(
    mclictl: Mclictl, tmp_path: Path, content: str, mode: int, code: int, told: str
) -> None:
    path = tmp_path / "script"
    path.write_bytes(content.encode())
    path.chmod(mode)
    done = mclictl("run", str(path), exits=code)
    assert told in done.stderr
    assert done.stdout == ""


def test_what_is_no_file_is_told(mclictl: Mclictl, tmp_path: Path) -> None:
    assert "There is no file" in mclictl("run", "./nonesuch.sh", exits=127).stderr
    assert "Is a directory" in mclictl("run", f"{tmp_path}/", exits=126).stderr
    document = tmp_path / "steps.toml"
    document.write_text("[steps.a]\nrun = 'true'\n")
    assert "mclictl workflow start" in mclictl("run", str(document), exits=126).stderr
    notebook = tmp_path / "cut.ipynb"
    notebook.write_bytes(b'{"cells": [{"source": "\xff')
    told = mclictl("run", str(notebook), exits=126).stderr
    assert told.startswith(f"Error: {notebook} cannot be run: it is no notebook: Unterminated")
    assert len(told.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_is_told(mclictl: Mclictl, script: Path) -> None:
    script.chmod(0)
    assert "Permission denied" in mclictl("run", str(script), exits=126).stderr


def test_another_machine_has_no_files_of_ours(mclictl: Mclictl, script: Path) -> None:
    done = mclictl("run", "--url", "http://other.example:8000", str(script), exits=2)
    assert "mclictl commands add" in done.stderr


def test_an_interpreter_with_options(mclictl: Mclictl, tmp_path: Path) -> None:
    path = tmp_path / "flags"
    code = "import sys; print(sys.flags.ignore_environment)"
    path.write_text(f"#!/usr/bin/env -S python3 -u -E\n{code}")
    assert mclictl("run", str(path)).stdout == "1\n"
    path.write_text("#!/bin/sh -e\nfalse\necho never\n")
    assert mclictl("run", str(path), exits=1).stdout == ""
