"""What `mclictl` says about itself, and how little it loads to say it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from cli.main import COMMANDS, cli
from tests.cli.invocations import every_command
from tests.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {"httpx", "rich", "websockets", "fastapi", "sqlalchemy", "flask", "uvicorn", "pydantic"}


def ask(*args: str, cwd: Path = ROOT, python: tuple[str, ...] = ()) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, *python, "-m", "cli", *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


ALL = {context.command_path: context for context in every_command()}


def test_help_imports_no_command_and_nothing_heavy() -> None:
    code, _, times = ask("--help", python=("-X", "importtime"))
    loaded = {line.rpartition("|")[2].strip() for line in times.splitlines()}
    assert code == 0
    assert "cli.main" in loaded
    assert not {name.partition(".")[0] for name in loaded} & HEAVY
    assert not {module for module, _, _ in COMMANDS.values()} & loaded


def test_help_lists_every_command_and_the_exit_codes() -> None:
    _, shown, _ = ask("--help")
    listed, _, rest = shown.partition("Commands:\n")[2].partition("\n\n")
    names = [line.split()[0] for line in listed.splitlines()]
    assert names == cli.list_commands(click.Context(cli))
    for line in (
        "1    the server said no",
        "2    the command line",
        "3    the server cannot be",
        "124    it timed out",
        "125    it was not started",
        "128+N  signal",
    ):
        assert line in rest


@pytest.mark.parametrize("path", ALL)
def test_every_help_ends_with_an_example_of_its_command(path: str) -> None:
    shown = ALL[path].get_help()
    assert "\\b" not in shown, "a mark of click's that it has not understood"
    _, found, examples = shown.partition("\nExamples:\n")
    assert found
    assert f"{path} " in examples or f"{path}\n" in f"{examples}\n"
    assert all(line.startswith("  ") for line in examples.splitlines())


@pytest.mark.parametrize("path", ALL)
def test_every_command_says_what_it_does_and_what_its_options_do(path: str) -> None:
    command = ALL[path].command
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option) and not isinstance(option.type, click.Choice):
            assert option.help or option.show_default, (path, option.name)


@pytest.mark.parametrize("path", ALL)
def test_every_command_of_the_server_takes_json_and_url(path: str) -> None:
    command = ALL[path].command
    if not isinstance(command, click.Group) and command.name not in {"serve", "completion", "help"}:
        assert {"--json", "--url"} <= {name for option in command.params for name in option.opts}


def test_without_arguments_the_help_is_shown() -> None:
    code, shown, said = ask()
    assert code == 2
    assert "Commands:" in shown + said


@pytest.mark.parametrize(
    ("typed", "meant"),
    [(["rnus"], "runs"), (["stauts"], "status"), (["workflow", "strat"], "start")],
)
def test_a_mistyped_command_is_answered_with_the_nearest(typed: list[str], meant: str) -> None:
    code, shown, said = ask(*typed)
    assert (code, shown) == (2, "")
    assert f"No such command '{typed[-1]}'. Did you mean '{meant}'?" in said


def test_a_command_like_no_other_gets_no_suggestion() -> None:
    code, _, said = ask("xyzzy")
    assert code == 2
    assert "No such command 'xyzzy'." in said
    assert "Did you mean" not in said


def test_a_command_whose_module_is_deleted_is_gone(tmp_path: Path) -> None:
    left_out = shutil.ignore_patterns("status.py", "__pycache__")
    shutil.copytree(ROOT / "cli", tmp_path / "cli", ignore=left_out)
    code, shown, _ = ask("--help", cwd=tmp_path)
    assert code == 0
    assert "  run " in shown
    assert "  status " not in shown
    code, _, said = ask("status", cwd=tmp_path)
    assert code == 2
    assert "No such command 'status'." in said


def test_the_version_is_printed() -> None:
    code, shown, _ = ask("--version")
    assert code == 0
    assert shown.startswith("mclictl ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion_script(shell: str) -> None:
    code, shown, _ = ask("completion", shell)
    assert code == 0
    assert f"_MCLICTL_COMPLETE={shell}_complete" in shown


def test_another_shell_is_refused() -> None:
    code, shown, said = ask("completion", "tcsh")
    assert (code, shown) == (2, "")
    assert "tcsh" in said


@pytest.mark.parametrize(
    ("words", "offered"),
    [("mclictl ru", ["run", "runs"]), ("mclictl workflow st", ["start", "stop"])],
)
def test_completion_offers_commands(words: str, offered: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli"],
        cwd=ROOT,
        env={
            "_MCLICTL_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == [f"plain,{name}" for name in offered]
