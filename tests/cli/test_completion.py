"""`mclictl completion` and `help`: a real bash completes commands, options and names."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cli.main import COMMANDS
from cli.reference import reference
from tests.cli.invocations import every_command
from tests.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Mclictl

ASK = """
eval "$(mclictl completion bash)"
COMP_WORDS=({words}); COMP_CWORD={at}
_mclictl_completion mclictl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


NAMED = {
    "name", "names", "id_or_name", "run_id", "run_ids", "key_id", "after", "group", "tag", "tags",
    "command_name", "workflow",
}  # fmt: skip
"""Parameters that stand for something on the server."""
NEW = {
    "mclictl login", "mclictl self where", "mclictl commands add", "mclictl process create",
    "mclictl process run", "mclictl schedule add", "mclictl users add", "mclictl keys add",
    "mclictl commands import",
}  # fmt: skip
"""Commands whose NAME is yet to be, or is known without a server."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the `mclictl` of this tree."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "mclictl"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m cli "$@"\n')
    program.chmod(0o755)
    return folder


def completed(mclictl: Mclictl, path: Path, *words: str, **extra: str) -> list[str]:
    """What bash would offer for the last of these words."""
    script = ASK.format(words=" ".join(f"'{word}'" for word in ("mclictl", *words)), at=len(words))
    environment = mclictl.environment(**extra)
    environment["PATH"] = f"{path}:{environment['PATH']}"
    done = subprocess.run(
        ["/bin/bash", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_and_options(mclictl: Mclictl, path: Path) -> None:
    assert completed(mclictl, path, "wh") == ["whoami"]
    assert completed(mclictl, path, "groups", "se") == ["set"]
    assert completed(mclictl, path, "runs", "--lim") == ["--limit"]


def test_bash_completes_names_from_the_server(mclictl: Mclictl, path: Path) -> None:
    mclictl("groups", "set", "completes-group", "--slots", "1")
    sorted_ = ["--group", "completes-sort", "--tag", "completes-tag"]
    add = ["commands", "add", "completes-command", "--language", "shell", *sorted_, "-"]
    mclictl(*add, stdin="true")
    mclictl("process", "create", "completes-process", "true")
    mclictl("schedule", "add", "completes-job", "--cron", "@yearly", "true")
    mclictl("users", "add", "completes-user", stdin="correct horse battery")
    mclictl("keys", "add", "completes", "--scope", "workflows:read")
    (key,) = (each["id"] for each in mclictl.json("keys") if each["name"] == "completes")
    run_id = mclictl.finished("true")
    assert completed(mclictl, path, "groups", "rm", "compl") == ["completes-group"]
    assert completed(mclictl, path, "commands", "show", "compl") == ["completes-command"]
    assert completed(mclictl, path, "schedule", "show", "compl") == ["completes-job"]
    assert completed(mclictl, path, "users", "rm", "compl") == ["completes-user"]
    assert completed(mclictl, path, "process", "stop", "compl") == ["completes-process"]
    assert completed(mclictl, path, "run", "--group", "compl") == ["completes-group"]
    named = ["completes-command", "completes-process"]
    assert completed(mclictl, path, "runs", "--name", "compl") == named
    assert completed(mclictl, path, "commands", "list", "--group", "compl") == ["completes-sort"]
    assert completed(mclictl, path, "commands", "list", "--tag", "compl") == ["completes-tag"]
    assert completed(mclictl, path, "keys", "rm", key[:6]) == [key]
    assert run_id in completed(mclictl, path, "show", run_id[:20])


def test_every_name_of_what_there_is_can_be_completed() -> None:
    for context in every_command():
        for param in context.command.params:
            shown = f"{context.command_path} {param.human_readable_name}"
            if param.name in NAMED and context.command_path not in NEW:
                assert param._custom_shell_complete is not None, shown


def test_nothing_is_completed_without_a_server(mclictl: Mclictl, path: Path) -> None:
    gone = "http://127.0.0.1:1"
    assert completed(mclictl, path, "groups", "rm", "", MCLI_URL=gone) == []


def test_the_script_is_for_a_shell_we_know(mclictl: Mclictl) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "mclictl" in mclictl("completion", shell).stdout
    assert "tcsh" in mclictl("completion", "tcsh", exits=2).stderr


def test_help_is_the_same_as_its_option(mclictl: Mclictl) -> None:
    assert mclictl("help").stdout == mclictl("--help").stdout
    assert mclictl("help", "groups", "set").stdout == mclictl("groups", "set", "--help").stdout
    assert "Did you mean 'groups'?" in mclictl("help", "grops", exits=2).stderr
    assert "has no commands of its own" in mclictl("help", "run", "x", exits=2).stderr


def test_the_page_of_all_commands_is_current() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == reference().rstrip() + "\n", "python -m cli.reference > docs/cli.md"
    for name in COMMANDS:
        assert f"## mclictl {name}\n" in page
