"""Every command is given odd words in every place: whatever it says, it is no traceback."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from tests.cli.conftest import WITHIN, Mclictl, start_server
from tests.cli.invocations import every_command
from tests.forked import Forked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ODD = ("", " ", '%_*"', "../x", "a" * 10_000, "é\U0001f600", "b\udcff", "-1", "1e309", "a=b", "[")
ENDLESS = {"mclictl serve", "mclictl record", "mclictl prove", "mclictl events"}
"""Those that wait for what is to come, or take minutes."""
EXITS = {0, 1, 2, 3, 124, 125, 126, 127}
TAKE_WORDS = {
    context.command_path: len(words)
    for context in every_command()
    if not isinstance(context.command, click.Group)
    and context.command_path not in ENDLESS
    and (words := [p for p in context.command.params if isinstance(p, click.Argument)])
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mclictl]:
    """A server of their own: what they make there is odd, too."""
    folder = tmp_path_factory.mktemp("odd")
    with start_server(folder / "home", MCLI_WORKFLOWS_DIR=str(folder / "workflows")) as running:
        yield Mclictl(running.new, folder, running.token)
        assert running.stop() == 0
        assert b"Traceback" not in b"".join(running.printed), b"".join(running.printed).decode()


@pytest.mark.parametrize("path", TAKE_WORDS)
def test_odd_words_are_told_in_words(here: Mclictl, tmp_path: Path, path: str) -> None:
    for odd in ODD:
        argv = [sys.executable, "-m", "cli", *path.split()[1:], *[odd] * TAKE_WORDS[path]]
        pipe = subprocess.PIPE
        with Forked(
            argv, cwd=tmp_path, env=here.environment(EDITOR="true"),
            stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe,
        ) as process:  # fmt: skip
            said = b"".join(process.communicate(timeout=WITHIN))
        assert b"Traceback" not in said, (odd, said)
        assert process.returncode in EXITS, (odd, process.returncode, said)
