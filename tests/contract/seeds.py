"""Stored commands that every server under test holds, put into its database directly."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CREATED = 1767225600.25  # 2026-01-01T00:00:00.250000+00:00


@dataclass(frozen=True)
class Seed:
    """One stored command."""

    number: int
    name: str
    language: str
    code: str
    description: str = ""
    group: str = ""
    tags: str = "[]"
    active: bool = True

    @property
    def id(self) -> str:
        return f"00000000-0000-4000-8000-{self.number:012d}"


PYTHON_ARGS = "import sys\nprint(sys.argv)\nprint('oops', file=sys.stderr)\nsys.exit(2)\n"
NODE_ARGS = (
    "const path = require('path');\n"
    "console.log(path.basename(process.argv[1]), process.argv.slice(2));\n"
)
SHELL_ARGS = 'echo "$0"; printf "[%s]" "$@"; ls\n'
SEEDS = [
    Seed(1, "alpha", "shell", "echo alpha\n", "Says alpha", "greek", '["a", "\u00fc"]'),
    Seed(2, "Zeta", "shell", "echo Zeta"),
    Seed(3, "\u00e9clair", "shell", "echo \u00e9clair\n"),
    Seed(4, "hidden", "shell", "echo hidden\n", active=False),
    Seed(5, "py-args", "python", PYTHON_ARGS),
    Seed(6, "node-args", "node", NODE_ARGS),
    Seed(7, "lua-hello", "lua", "print('hello', ...)\n"),
    Seed(8, "sh-args", "shell", SHELL_ARGS),
    Seed(9, "sleeper", "shell", "sleep 61\n"),
    Seed(10, "quick", "shell", "exit 0\n"),
    Seed(11, "failing", "shell", "exit 7\n"),
    Seed(12, "family", "shell", 'sleep 62 & echo $! > "$1.new"; mv "$1.new" "$1"; wait\n'),
    Seed(13, "note", "shell", 'printf "%s,%s,%s" "$GREETING" "$COUNT" "$2" > "$1"\n'),
    Seed(14, "stubborn", "shell", "trap '' TERM; touch \"$1\"; sleep 63\n"),
    Seed(15, "slow", "shell", "echo begun; sleep 64\n"),
]


def plant(home: Path) -> None:
    """Insert all of them, as another program that follows the shared layout would."""
    rows = [
        (
            s.id,
            s.name,
            s.description,
            s.code,
            s.language,
            s.group,
            s.tags,
            CREATED,
            CREATED,
            s.active,
        )
        for s in SEEDS
    ]
    with closing(sqlite3.connect(home / "mcli.db", timeout=5)) as connection, connection:
        connection.executemany(
            "INSERT INTO commands (id, name, description, code, language, group_name, tags,"
            " created_at, updated_at, execution_count, last_executed, is_active)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, NULL, ?)",
            rows,
        )
