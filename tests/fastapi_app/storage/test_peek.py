"""The glance into SQLite must not cost the others their locks."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

from fastapi_app.storage.database import open_database
from fastapi_app.storage.peek import Peek

if TYPE_CHECKING:
    from pathlib import Path

LOCK_IN_USE = """
import fcntl, sys
with open(sys.argv[1], "r+b") as index:
    fcntl.lockf(index, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 128)
"""
"""Take the byte by which SQLite tells that a WAL index is in use ("deadman switch", os_unix.c)."""


def is_in_use(file: Path) -> bool:
    """Whether another process finds the WAL index in use, and so leaves it as it is."""
    argv = [sys.executable, "-c", LOCK_IN_USE, f"{file}-shm"]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert result.returncode == 0 or "BlockingIOError" in result.stderr
    return result.returncode != 0


async def test_to_look_into_the_wal_index_gives_up_no_lock_on_it(tmp_path: Path) -> None:
    file = tmp_path / "mcli.db"
    database = await open_database(f"sqlite+aiosqlite:///{file}")
    try:
        assert database.peek is not None
        assert is_in_use(file)
        before = database.peek.version()
        Peek(str(file)).close()
        assert is_in_use(file)
        other = sqlite3.connect(file)
        with other:
            other.execute("INSERT INTO service_state VALUES ('n', '0')")
        other.close()
        assert database.peek.version() != before
    finally:
        await database.aclose()


async def test_an_index_that_was_made_anew_is_the_one_looked_into(tmp_path: Path) -> None:
    file = tmp_path / "mcli.db"
    for value in ("1", "2"):
        database = await open_database(f"sqlite+aiosqlite:///{file}")
        assert database.peek is not None
        before = database.peek.version()
        other = sqlite3.connect(file)
        with other:
            other.execute("INSERT OR REPLACE INTO service_state VALUES ('n', ?)", (value,))
        other.close()
        assert database.peek.version() != before
        await database.aclose()
