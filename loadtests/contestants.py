"""What the benchmark compares: contestants, rows and targets, declared."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtests.calls import NEW_API, OLD_CONTRACT, Call, Dialect
from loadtests.servers import GUNICORN, LIMIT, OLD_DAEMON, RESIDENT, ROOT, Launch, dual


@dataclass(frozen=True)
class Contestant:
    """A server, the URL of it that is measured (by what the server calls it), and its dialect."""

    key: str
    title: str
    launch: Launch
    listens_as: str
    by_hand_url: str
    dialect: Dialect
    rows: Collection[str] = ("status", "execute")


@dataclass(frozen=True)
class Program:
    """A C program that makes its own load, and prints figures as the load generator does."""

    key: str
    title: str
    source: str
    rows: Collection[str]

    def build(self, folder: Path) -> Path:
        """Compile it into that folder."""
        binary = folder / self.key
        compiler = ["cc", "-O2", "-o", str(binary), str(ROOT / self.source)]
        subprocess.run(compiler, check=True, stdin=subprocess.DEVNULL)
        return binary


@dataclass(frozen=True)
class Row:
    """An operation under a number of connections.

    A server that a row `writes` to is not measured again. `stored` is (name, code) of a command
    that the row needs.
    """

    key: str
    title: str
    call: Callable[[Dialect], Call]
    connections: int = 10
    writes: bool = False
    stored: tuple[str, str] | None = None


@dataclass(frozen=True)
class Target:
    """How often the throughput of one contestant another one must have, in one row.

    With `most`: how often its median time (p50) another one may take.
    """

    row: str
    contestant: str
    over: str
    least: float | None = None
    most: float | None = None


OLD = "http://127.0.0.1:5005"
NEW = "http://127.0.0.1:8000"
BASELINE = "old"
STARTED = "loadtest-true"
EVERY = ("status", "execute", "start")
CONTESTANTS: Mapping[str, Contestant | Program] = {
    contestant.key: contestant
    for contestant in (
        Contestant(
            BASELINE, "old daemon (werkzeug)", OLD_DAEMON, "legacy daemon", OLD, OLD_CONTRACT, EVERY
        ),
        Contestant(
            "gunicorn", "old daemon (gunicorn)", GUNICORN, "legacy daemon", OLD, OLD_CONTRACT, EVERY
        ),
        Contestant("mount", "shim, stage legacy", dual("legacy"), "legacy API", OLD, OLD_CONTRACT),
        Contestant("shadow", "shim, stage shadow", dual("shadow"), "legacy API", OLD, OLD_CONTRACT),
        Contestant("shim", "shim, stage new", dual("new"), "legacy API", OLD, OLD_CONTRACT, EVERY),
        Contestant(
            "resident",
            "shim, stage new, 500 MB",
            dual("new", RESIDENT),
            "legacy API",
            OLD,
            OLD_CONTRACT,
            ("execute",),
        ),
        Contestant("api", "/api/v1", dual("new"), "new API", NEW, NEW_API, EVERY),
        Contestant("limit", "limit: bare ASGI app", LIMIT, "limit", NEW, OLD_CONTRACT),
        Program("spawn", "limit: posix_spawn in C", "loadtests/posix_spawn.c", ("execute",)),
    )
}
ROWS: Mapping[str, Row] = {
    row.key: row
    for row in (
        Row("status", "GET /status", lambda dialect: dialect.status()),
        Row(
            "execute",
            'POST /execute {"command":"true"}',
            lambda dialect: dialect.execute("true", ""),
            writes=True,
        ),
        Row(
            "start",
            "POST /workflow/start",
            lambda dialect: dialect.start(STARTED),
            writes=True,
            stored=(STARTED, "true\n"),
        ),
    )
}
TARGETS = (
    *(
        Target("execute", key, over, least)
        for key in ("shim", "resident")
        for over, least in ((BASELINE, 2.0), ("gunicorn", 1.2), ("spawn", 0.6))
    ),
    Target("start", "shim", BASELINE, 3.3),
    Target("status", "shim", "limit", 0.6),
    Target("status", "shadow", "mount", most=1.1),
)


def absent(contestant: Contestant | Program) -> str | None:
    """Why it cannot take part on this machine; None when it can."""
    if isinstance(contestant, Program) and shutil.which("cc") is None:
        return f"{contestant.title}: not measured, there is no C compiler (`cc`) on this machine"
    return None


def hammer_argv(row: Row, contestant: Contestant, url: str) -> list[str]:
    """The load generator's arguments, less how long it runs."""
    call = row.call(contestant.dialect)
    argv = ["loadtests.hammer", url + call.path, "-c", str(row.connections)]
    if call.method != "GET":
        argv += ["-X", call.method]
    if call.body is not None:
        argv += ["--data", json.dumps(call.body)]
    if call.status != 200:
        argv += ["--status", str(call.status)]
    for fragment in call.fragments:
        argv += ["--expect", fragment]
    return argv


def load_argv(row: Row, contestant: Contestant, url: str) -> list[str]:
    """The load generator as a child process."""
    return [sys.executable, "-m", *hammer_argv(row, contestant, url)]


def by_hand(row: Row, contestant: Contestant | Program) -> tuple[str, str]:
    """What to start, and the row's load on it, as lines for the shell, on the usual ports."""
    if isinstance(contestant, Program):
        binary = Path("build", contestant.key)
        return f"cc -O2 -o {binary} {contestant.source}", f"{binary} -c {row.connections}"
    argv = hammer_argv(row, contestant, contestant.by_hand_url)
    return contestant.launch.by_hand(), "python -m " + shlex.join(argv)
