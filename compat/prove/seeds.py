"""What every server under proof holds, put into its database directly, the same ids everywhere."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

BEGAN = 1767225600.25  # 2026-01-01T00:00:00.250000+00:00
PLANTED = re.compile(rb"00000000-0000-4000-8000-\d{12}|2026-01-01T\d\d:\d\d:\d\d\.250000")
"""Values that were planted: these are the same on every server, volatile or not."""
LIVE = "('queued', 'running')"
SPARES = 40
"""Processes that are there to be removed."""


def planted_id(number: int) -> str:
    """The id of a planted row."""
    return f"00000000-0000-4000-8000-{number:012d}"


@dataclass(frozen=True, slots=True)
class Script:
    """A stored command."""

    name: str
    code: str
    language: str = "shell"
    description: str = ""
    group: str = ""
    tags: tuple[str, ...] = ()
    active: bool = True


@dataclass(frozen=True, slots=True)
class Past:
    """A run that has ended."""

    kind: str
    name: str
    status: str
    returncode: int | None
    reason: str | None = None
    stdout: bytes = b""
    stderr: bytes = b""


@dataclass(frozen=True, slots=True)
class Made:
    """A managed process, and its latest run."""

    name: str
    command: str
    args: tuple[str, ...] = ()
    working_dir: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    past: Past | None = None


def _ended(status: str, code: int | None, why: str | None = None, **out: bytes) -> Past:
    return Past("process", "", status, code, why, **out)


LINES = b"".join(b"line %d\n" % number for number in range(1, 251))
SCRIPTS = (
    Script("alpha", "echo alpha\n", "shell", "Says alpha", "greek", ("a", "\u00fc")),
    Script("Zeta", "echo Zeta"),
    Script("\u00e9clair", "echo \u00e9clair\n", description='"\\ \u2028 \U0001f600 </script>'),
    Script("hidden", "echo hidden\n", active=False),
    Script("quick", "exit 0\n"),
    Script("failing", "echo begun; echo oops >&2; exit 7\n"),
    Script("sh-args", 'echo "$0" $#; printf "[%s]" "$@"; ls\n'),
    Script("greeting", 'printf "%s,%s" "$GREETING" "$COUNT"\n'),
    Script("py-args", "import sys\nprint(sys.argv)\nsys.exit(2)\n", "python"),
    Script("lua-args", "print('hello', ...)\n", "lua"),
    Script("node-args", "console.log(process.argv.slice(2));\n", "node"),
    Script("bytes", r"printf 'a\377b\303'; printf '\303\251' >&2" + "\n"),
    Script("sleeper", "sleep 50\n"),
    Script("a/b c%41", "echo odd\n", "shell", "", "g/\u00fc", ("x",)),
)
PASTS = (
    Past("workflow", "finished", "completed", 0),
    Past("workflow", "crashed", "failed", 3),
    Past("workflow", "halted", "cancelled", -15),
    Past("workflow", "vanished", "lost", None, "the server that watched it is gone"),
    Past("workflow", "late", "timed_out", None),
    Past("workflow", "twice", "failed", 1),
    Past("workflow", "twice", "completed", 0),
    Past("execute", "", "completed", 0, None, b"hi\n"),
    Past("execute", "", "failed", 2),
)
PROCESSES = (
    Made("made", "echo made"),
    Made("ended", "seq 250", past=_ended("completed", 0, stdout=LINES, stderr=b"\xff\xc3\n\xe9")),
    Made("broken", "exit 3", past=_ended("failed", 3, stderr=b"no newline")),
    Made("halted", "exit 0", past=_ended("cancelled", -15, stdout=b"\n\n\n")),
    Made("slain", "exit 0", past=_ended("cancelled", -9, "killed", stdout=b"a\r\nb\rc")),
    Made("vanished", "exit 0", past=_ended("lost", None, "the server that watched it is gone")),
    Made("late", "exit 0", past=_ended("timed_out", None)),
    Made("with args", "printf", ("%s\\n", "a", "b c"), "/", (("K", "\u00e9"),)),
    Made("quick", "true"),
    Made("noisy", "echo out; echo err >&2; exit 4"),
    Made("absent", "/nonexistent/program", ("x",)),
    Made("sleeper", "sleep 50"),
)
COMMAND_IDS = {script.name: planted_id(100 + n) for n, script in enumerate(SCRIPTS)}
PAST_IDS = tuple(planted_id(200 + n) for n in range(len(PASTS)))
PROCESS_IDS = {made.name: planted_id(300 + n) for n, made in enumerate(PROCESSES)}
SPARE_IDS = tuple(planted_id(500 + n) for n in range(SPARES))


class Garden:
    """The database and logs below a server's `home`, planted, watched and planted anew."""

    def __init__(self, home: Path) -> None:
        self._logs = home / "logs"
        self._given_up: set[str] = set()
        # A batch is played by a thread of its own, one at a time.
        self._database = sqlite3.connect(
            home / "mcli.db", timeout=10, isolation_level=None, check_same_thread=False
        )

    def close(self) -> None:
        self._database.close()

    def live(self) -> set[str]:
        """The runs that are not over, but for those given up."""
        query = f"SELECT id FROM runs WHERE status IN {LIVE}"  # noqa: S608 - constants
        return {row[0] for row in self._database.execute(query)} - self._given_up

    def give_up(self, runs: set[str]) -> None:
        """Take these runs for live no longer: they will never be over."""
        self._given_up |= runs

    def live_pids(self) -> list[int]:
        """The leaders of all groups that still run."""
        query = f"SELECT pid FROM runs WHERE status IN {LIVE} AND pid IS NOT NULL"  # noqa: S608
        return [row[0] for row in self._database.execute(query)]

    def plant(self, *, spares: bool = False) -> None:
        """Make it hold what was planted and nothing else, and the daemon run.

        What is live stays: a server holds it in memory. With `spares` there are processes to be
        removed.
        """
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(f"DELETE FROM runs WHERE status NOT IN {LIVE}")  # noqa: S608
        self._database.execute("DELETE FROM processes")
        self._database.execute("DELETE FROM commands")
        self._database.execute("UPDATE service_state SET value = 'running' WHERE key = 'daemon'")
        self._insert("commands", _commands())
        self._insert("processes", _processes(spares=spares))
        self._insert("runs", _runs())
        self._database.execute("COMMIT")
        for log in self._logs.iterdir():
            log.unlink(missing_ok=True)
        for run_id, past in _past():
            (self._logs / f"{run_id}.out").write_bytes(past.stdout)
            (self._logs / f"{run_id}.err").write_bytes(past.stderr)

    def _insert(self, table: str, rows: list[dict[str, object]]) -> None:
        names = rows[0].keys()
        places = ", ".join(f":{name}" for name in names)
        statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})"  # noqa: S608
        self._database.executemany(statement, rows)


def _commands() -> list[dict[str, object]]:
    return [
        {
            "id": COMMAND_IDS[script.name],
            "name": script.name,
            "description": script.description,
            "code": script.code,
            "language": script.language,
            "group_name": script.group,
            "tags": json.dumps(script.tags),
            "created_at": BEGAN + number,
            "updated_at": BEGAN + 3600 + number,
            "execution_count": 0,
            "last_executed": None,
            "is_active": script.active,
        }
        for number, script in enumerate(SCRIPTS)
    ]


def _processes(*, spares: bool) -> list[dict[str, object]]:
    rows = [*zip(PROCESS_IDS.values(), PROCESSES, strict=True)]
    if spares:
        rows += [(spare, Made("spare", "true")) for spare in SPARE_IDS]
    return [
        {
            "id": process_id,
            "name": made.name,
            "command": made.command,
            "args": json.dumps(made.args),
            "working_dir": made.working_dir,
            "environment": json.dumps(dict(made.environment)),
            "created_at": BEGAN + 7200 + number,
            "run_id": _run_of(process_id) if made.past else None,
        }
        for number, (process_id, made) in enumerate(rows)
    ]


def _runs() -> list[dict[str, object]]:
    processes = {_run_of(key): key for key in PROCESS_IDS.values()}
    return [
        {
            "id": run_id,
            "kind": past.kind,
            "name": past.name,
            "command": past.name or "true",
            "process_id": processes.get(run_id),
            "status": past.status,
            "reason": past.reason,
            "stop_requested": past.status == "cancelled",
            "returncode": past.returncode,
            "created_at": BEGAN + 10800 + number,
            "started_at": BEGAN + 10860 + number,
            "finished_at": BEGAN + 10920 + number,
            "stdout_bytes": len(past.stdout),
            "stderr_bytes": len(past.stderr),
        }
        for number, (run_id, past) in enumerate(_past())
    ]


def _past() -> list[tuple[str, Past]]:
    ended = [(_run_of(PROCESS_IDS[made.name]), made.past) for made in PROCESSES if made.past]
    return [*zip(PAST_IDS, PASTS, strict=True), *ended]


def _run_of(process_id: str) -> str:
    """The run of a planted process: its number and a hundred."""
    return planted_id(int(process_id[-12:]) + 100)
