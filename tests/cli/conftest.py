"""A real server for all of these tests, and mclictl as a child process."""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from tests.cli.invocations import Outcome, note
from tests.forked import Forked
from tests.servers import ROOT, Server, environment, start_dual, start_new

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

WITHIN = 60  # seconds; only a hang takes that long
CLEAR = b"\33[2J\33[1;1H"
LAST = "test_every_command_is_tested"
DESELECTED = pytest.StashKey[bool]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the test that looks back on all the others run behind them."""
    items.sort(key=lambda item: item.name == LAST)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Remember that not all tests run."""
    for item in items[:1]:
        item.session.stash[DESELECTED] = True


def whole_selection(session: pytest.Session) -> bool:
    """Whether all tests of this folder run in this session, so that what they leave out counts."""
    here = Path(__file__).parent
    some = session.stash.get(DESELECTED, False) or any("::" in arg for arg in session.config.args)
    return not some and set(here.glob("test_*.py")) <= {item.path for item in session.items}


def start_server(home: Path, *args: str, **extra: str) -> Server:
    """Whatever this checkout can serve: the new app still stands when `compat` is gone."""
    compat = importlib.util.find_spec("compat")
    dual = compat is not None and compat.origin is not None
    return (start_dual if dual else start_new)(home, *args, **extra)


def visible(shown: str) -> list[str]:
    """Lines as a terminal shows them: without the escapes that make text bold or coloured."""
    return re.sub(r"\033\[[0-9;]*m", "", shown).splitlines()


@dataclass(frozen=True)
class Mclictl:
    """Calls `mclictl` as a user would, against one server."""

    url: str
    home: Path
    token: str = ""
    """Another home folder is not the machine owner's: the token has to be given."""

    def spawn(
        self, *args: str, stdin: TextIO | int = subprocess.DEVNULL, **extra: str
    ) -> subprocess.Popen[str]:
        """Start it and leave it running."""
        note(args)
        pipe = subprocess.PIPE
        return self._start(args, extra, text=True, stdin=stdin, stdout=pipe, stderr=pipe)

    def __call__(self, *args: str, exits: int = 0, stdin: str = "", **extra: str) -> Outcome:
        """Run it to its end, which must be the exit code expected, and never a traceback."""
        pipe = subprocess.PIPE
        process = self._start(args, extra, text=True, stdin=pipe, stdout=pipe, stderr=pipe)
        with process:
            try:
                stdout, stderr = process.communicate(stdin, WITHIN)
            finally:
                process.kill()
        assert process.returncode == exits, (args, process.returncode, stdout, stderr)
        assert "Traceback" not in stderr, stderr
        return Outcome(args, process.returncode, stdout, stderr)

    def json(self, *args: str, exits: int = 0, **extra: str) -> Any:  # noqa: ANN401 - any JSON
        """Run it with --json; its standard output must be one JSON document."""
        return json.loads(self(*args, "--json", exits=exits, **extra).stdout)

    def on_terminal(self, *args: str, columns: int = 80, **extra: str) -> str:
        """Run it on a terminal of so many columns and return what that shows."""
        with self._terminal(args, columns, extra) as (process, chunks):
            shown = b"".join(chunks)
            assert process.wait(WITHIN) == 0, shown
        return shown.decode().replace("\r\n", "\n")

    def redrawn(self, *args: str) -> list[str]:
        """Run it on a terminal until it has drawn three times, then Ctrl-C; the first two."""
        shown = b""
        with self._terminal(args, 120, {}) as (process, chunks):
            while shown.count(CLEAR) < 3:
                shown += next(chunks)
            process.send_signal(signal.SIGINT)
            assert process.wait(WITHIN) == 130, shown
        return [part.decode() for part in shown.split(CLEAR)[1:3]]

    @contextmanager
    def _terminal(
        self, args: Sequence[str], columns: int, extra: Mapping[str, str]
    ) -> Iterator[tuple[Forked, Iterator[bytes]]]:
        """Start it on a terminal; with what that shows, piece by piece."""
        note(args)
        ours, its = pty.openpty()
        ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        more = {"TERM": "xterm-256color", **extra}
        with self._start(args, more, stdin=its, stdout=its, stderr=its) as process:
            os.close(its)
            yield process, _chunks(ours)
        os.close(ours)

    def background(self, command: str) -> str:
        """Start a run in the background and return its id."""
        return self("run", "--background", command).stdout.strip()

    def finished(self, command: str) -> str:
        """Run a command in the background until it is over, and return its id."""
        run_id = self.background(command)
        self("logs", "-f", run_id)
        return run_id

    def _start(self, args: Sequence[str], extra: Mapping[str, str], **how: Any) -> Forked:  # noqa: ANN401 - as Popen's
        argv = [sys.executable, "-m", "cli", *args]
        return Forked(argv, cwd=ROOT, env=self.environment(**extra), **how)

    def environment(self, **extra: str) -> dict[str, str]:
        """The tests' own environment, less what changes how things are printed."""
        given = {"MCLI_URL": self.url} | ({"MCLI_TOKEN": self.token} if self.token else {})
        kept = environment(self.home, **(given | extra))
        for name in {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "VISUAL"} - extra.keys():
            kept.pop(name, None)
        return kept


def _chunks(terminal: int) -> Iterator[bytes]:
    # Linux reports the end of a terminal as an error.
    try:
        while chunk := os.read(terminal, 65536):
            yield chunk
    except OSError:
        return


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start one server for all of these tests."""
    with start_server(tmp_path_factory.mktemp("home")) as running:
        yield running
        running.stop()


@pytest.fixture
def mclictl(server: Server, tmp_path: Path) -> Mclictl:
    """Call mclictl against that server."""
    return Mclictl(server.new, tmp_path, server.token)
