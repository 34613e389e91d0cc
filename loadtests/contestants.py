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

from loadtests import seed
from loadtests.calls import NEW_API, OLD_CONTRACT, Call, Dialect
from loadtests.owner import authorization
from loadtests.servers import BY_HAND, GUNICORN, LIMIT, OLD_DAEMON, RESIDENT, ROOT, Launch, dual

BOTH = ("status", "execute")


@dataclass(frozen=True)
class Contestant:
    """A server, the URL of it that is measured (by what the server calls it), and its dialect."""

    key: str
    title: str
    launch: Launch
    listens_as: str
    by_hand_url: str
    dialect: Dialect
    rows: Collection[str] = BOTH


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
    """An operation under a number of connections; `explained` says what a server does for it.

    It lasts a while, or `count` requests; after `patience` seconds an answer is given up. `needs`
    names what `loadtests.seed` must have put there. A server that a row `writes` to is not
    measured again. Errors of those that it `excuses` are shown, but are no mistake.
    """

    key: str
    title: str
    explained: str
    call: Callable[[Dialect], Call]
    connections: int = 10
    count: int | None = None
    patience: float | None = None
    writes: bool = False
    needs: str | None = None
    excuses: Collection[str] = ()

    @property
    def load(self) -> str:
        """How much of it at once."""
        connections = f"{self.connections:,} connection{'s' * (self.connections > 1)}"
        return connections if self.count is None else f"{connections}, {self.count:,} requests"


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
OURS = ("mount", "shadow", "shim", "resident", "api")
"""Those whose ratios to the old daemon must not get worse."""
MANY = 1000
ALIKE = ("status", "ab", "users", "commands", "logs", "execute", "execute-1", "start", "start-1")
CONTESTANTS: Mapping[str, Contestant | Program] = {
    contestant.key: contestant
    for contestant in (
        Contestant(
            BASELINE, "old daemon (werkzeug)", OLD_DAEMON, "legacy daemon", OLD, OLD_CONTRACT, ALIKE
        ),
        Contestant(
            "gunicorn",
            "old daemon (gunicorn)",
            GUNICORN,
            "legacy daemon",
            OLD,
            OLD_CONTRACT,
            ("status", "users", "commands", "logs", "execute", "start"),
        ),
        Contestant("mount", "shim, stage legacy", dual("legacy"), "legacy API", OLD, OLD_CONTRACT),
        Contestant("shadow", "shim, stage shadow", dual("shadow"), "legacy API", OLD, OLD_CONTRACT),
        Contestant("shim", "shim, stage new", dual("new"), "legacy API", OLD, OLD_CONTRACT, ALIKE),
        Contestant(
            "resident",
            "shim, stage new, 500 MB",
            dual("new", RESIDENT),
            "legacy API",
            OLD,
            OLD_CONTRACT,
            ("execute",),
        ),
        Contestant(
            "api",
            "/api/v1",
            dual("new"),
            "new API",
            NEW,
            NEW_API,
            tuple(row for row in ALIKE if row != "logs"),
        ),
        Contestant("limit", "limit: bare ASGI app", LIMIT, "limit", NEW, OLD_CONTRACT),
        Program(
            "spawn",
            "limit: posix_spawn in C",
            "loadtests/posix_spawn.c",
            ("execute", "execute-1"),
        ),
    )
}
STATUS = (
    "Says whether the daemon runs, what runs on it and how much ever ran. The old daemon reads it "
    "from the database; the new stack does so again only after somebody has written, and here "
    "nobody writes: its best case."
)
QUEUE = (
    " All users come at once, send the next request on an answer, and give up after 5 s. The old "
    "daemon closes each connection after its answer and lets 128 wait (werkzeug's own number); "
    "whom the kernel turns away comes back 1, 3, 7 s later, so this row shows that queue more than "
    "any code. Both ends need `ulimit -n 4096`."
)
EXECUTE = (
    "Commits a run to the database, starts `sh -c true`, waits for its end, commits that, and "
    "answers with output and exit code. The limit in C only spawns and waits."
)
START = (
    "Looks a stored command up, commits a run of it, and answers; the run (a shell script that is "
    "`true`) goes on in the background, on the same processors."
)
# Reads first: where a server is kept from row to row, they find it empty.
ROWS: Mapping[str, Row] = {
    row.key: row
    for row in (
        Row("status", "GET /status", STATUS, lambda dialect: dialect.status()),
        Row(
            "ab",
            "GET /status, as ab does",
            STATUS + " So many requests without a warm-up, as `ab -n 1000 -c 10` sends them.",
            lambda dialect: dialect.status(),
            count=1000,
        ),
        Row(
            "users",
            "GET /status, 1,000 users",
            STATUS + QUEUE,
            lambda dialect: dialect.status(),
            connections=MANY,
            count=2 * MANY,
            patience=5.0,
            excuses=(BASELINE, "gunicorn"),
        ),
        Row(
            "commands",
            "GET /commands, 200 stored",
            "Reads 200 stored commands from the database, all in one answer of some 60 kB.",
            lambda dialect: dialect.every_command(seed.LAST_COMMAND),
            needs="commands",
        ),
        Row(
            "logs",
            "GET /processes/ID/logs",
            "Looks a process up and reads the last 100 lines of its two log files of 500 kB. "
            "/api/v1 streams a log from its beginning instead, which is other work, and so has no "
            "line here.",
            lambda _: Call("GET", f"/processes/{seed.PROCESS}/logs", text=seed.LAST_LINE),
            needs="logs",
        ),
        Row(
            "execute-1",
            'POST /execute {"command":"true"}, one at a time',
            EXECUTE,
            lambda dialect: dialect.execute("true", ""),
            connections=1,
            writes=True,
        ),
        Row(
            "execute",
            'POST /execute {"command":"true"}',
            EXECUTE,
            lambda dialect: dialect.execute("true", ""),
            writes=True,
        ),
        Row(
            "start-1",
            "POST /workflow/start, one at a time",
            START,
            lambda dialect: dialect.start(seed.TRUE),
            connections=1,
            writes=True,
            needs="start",
        ),
        Row(
            "start",
            "POST /workflow/start",
            START,
            lambda dialect: dialect.start(seed.TRUE),
            writes=True,
            needs="start",
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
    if row.count is not None:
        argv += ["-n", str(row.count)]
    if row.patience is not None:
        argv += ["--patience", f"{row.patience:g}"]
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


def by_hand(row: Row, contestant: Contestant | Program) -> list[str]:
    """Lines for the shell, in their order, on the usual ports: the server, what it needs, the load.

    The first one goes on; the others are for a second terminal.
    """
    if isinstance(contestant, Program):
        binary = Path("build", contestant.key)
        compile_it = f"mkdir -p build && cc -O2 -o {binary} {contestant.source}"
        return [compile_it, f"{binary} -c {row.connections}"]
    argv = hammer_argv(row, contestant, contestant.by_hand_url)
    load = "python -m " + shlex.join(argv)
    if authorization(row.call(contestant.dialect).path):
        load = f"LOADTEST_TOKEN=$(cat {BY_HAND['home']}/token) {load}"
    plant = [f"python -m loadtests.seed {row.needs} {BY_HAND['home']}"] if row.needs else []
    return [contestant.launch.by_hand(), *plant, load]
