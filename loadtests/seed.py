"""What the load finds in a server's state: stored commands, and a process with a log.

Neither contract of the old daemon can store a command; the tables are shared
(docs/decisions/0001).
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

WORKFLOW = "loadtest-sleeper"
# It ends by itself, should nobody be left to stop it.
CODE = "sleep 30\n"
TRUE = "loadtest-true"
COMMANDS = 200
LAST_COMMAND = f"loadtest-{COMMANDS - 1:03d}"
PROCESS = "loadtest-process"
LINES = 10_000
LAST_LINE = f"line {LINES - 1:05d}"
INSERT = (
    "INSERT OR IGNORE INTO commands (id, name, description, code, language, created_at, updated_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)


def plant(home: Path, name: str = WORKFLOW, code: str = CODE) -> None:
    """Store a command in the database of a server that has started."""
    _store(home, [name], code)


def commands(home: Path) -> None:
    """Store 200 commands."""
    _store(home, [f"loadtest-{number:03d}" for number in range(COMMANDS)], "true\n")


def log(home: Path) -> None:
    """Record a process that is over, and what it has printed."""
    now = time.time()
    with closing(sqlite3.connect(home / "mcli.db", timeout=5)) as connection, connection:
        connection.execute(
            "INSERT OR IGNORE INTO runs (id, kind, command, process_id, status, returncode,"
            " created_at, started_at, finished_at)"
            " VALUES (?, 'process', 'true', ?, 'completed', 0, ?, ?, ?)",
            (PROCESS, PROCESS, now, now, now),
        )
        connection.execute(
            "INSERT OR IGNORE INTO processes (id, name, command, args, environment, created_at,"
            " run_id) VALUES (?, 'loadtest', 'true', '[]', '{}', ?, ?)",
            (PROCESS, now, PROCESS),
        )
    text = "".join(f"line {number:05d} ".ljust(49, "-") + "\n" for number in range(LINES))
    for ending in ("out", "err"):
        (home / "logs" / f"{PROCESS}.{ending}").write_text(text, encoding="ascii")


def _store(home: Path, names: Sequence[str], code: str) -> None:
    now = time.time()
    rows = [
        (str(uuid.uuid4()), name, "Started under load", code, "shell", now, now) for name in names
    ]
    with closing(sqlite3.connect(home / "mcli.db", timeout=5)) as connection, connection:
        connection.executemany(INSERT, rows)


NEEDS: Mapping[str, Callable[[Path], None]] = {
    "start": lambda home: plant(home, TRUE, "true\n"),
    "commands": commands,
    "logs": log,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Put what a row of the benchmark needs into the home of a server that has started."""
    parser = argparse.ArgumentParser(prog="loadtests.seed", description=__doc__)
    parser.add_argument("what", choices=NEEDS)
    parser.add_argument("home", type=Path)
    options = parser.parse_args(arguments)
    if not (options.home / "mcli.db").is_file():
        parser.error(f"no server has started in {options.home}")
    NEEDS[options.what](options.home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
