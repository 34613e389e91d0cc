"""The stored commands that the load starts, put into a server's database directly.

Neither contract of the old daemon can create one; the tables are shared (docs/decisions/0001).
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from contextlib import closing
from pathlib import Path

WORKFLOW = "loadtest-sleeper"
# It ends by itself, should nobody be left to stop it.
CODE = "sleep 30\n"


def plant(home: Path, name: str = WORKFLOW, code: str = CODE) -> None:
    """Insert one into the database of a server that has started."""
    now = time.time()
    row = (str(uuid.uuid4()), name, "Started under load", code, "shell", now, now)
    with closing(sqlite3.connect(home / "mcli.db", timeout=5)) as connection, connection:
        connection.execute(
            "INSERT INTO commands (id, name, description, code, language, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            row,
        )
