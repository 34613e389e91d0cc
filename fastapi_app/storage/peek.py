"""A synchronous read-only glance into SQLite, for answers that must cost microseconds.

In WAL mode a reader never waits for a writer, so these calls do not block the event loop: some
10 µs each, where the way through the driver's thread costs a hundred times that.

Whether anybody has committed is seen without any call: the header of the WAL index, which every
connection of every process shares in memory, holds a counter of transactions and a checksum over
all there is in the log (SQLite, "WAL-mode File Format", section 2.1).
"""

from __future__ import annotations

import mmap
import os
import sqlite3
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from sqlalchemy import Select
from sqlalchemy.dialects import sqlite

INDEX_HEADER = 48
"""Bytes of the header of the WAL index."""
_indexes: dict[tuple[int, int], mmap.mmap] = {}
"""By device and inode, those that this process has looked into. None is ever let go of: to close
any descriptor of a file gives up all locks of the process on it (POSIX), SQLite's own among them,
and the next process to open the database would take it for unused and cut the index short."""


class Peek:
    """One dedicated connection to the SQLite file at `path`."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(
            f"file:{quote(path)}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        self._compiled: dict[int, tuple[Select[Any], str]] = {}
        # Reading makes sure that the index is there, and the open connection that it stays.
        self._connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        self._index = _index(f"{path}-shm")

    def version(self) -> bytes:
        """Changes whenever anyone, in any process, has committed to the file."""
        if self._index is not None:
            return self._index[:INDEX_HEADER]
        row = self._connection.execute("PRAGMA data_version").fetchone()
        return str(row[0]).encode()

    def value(self, sql: str, *parameters: str) -> str | None:
        """The first column of the first row, or `None`."""
        row = self._connection.execute(sql, parameters).fetchone()
        return None if row is None else str(row[0])

    def first(
        self, statement: Select[Any], parameters: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """The first row by column names, as SQLite has the values, or `None`."""
        known = self._compiled.get(id(statement))
        if known is None:
            compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
            # The statement is kept with its id, so that no other can come to have the same.
            known = self._compiled[id(statement)] = (statement, str(compiled))
        cursor = self._connection.execute(known[1], parameters)
        row = cursor.fetchone()
        if row is None:
            return None
        return dict(zip((column[0] for column in cursor.description), row, strict=True))

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _index(path: str) -> mmap.mmap | None:
    """The header of the WAL index, which a connection of this process has open."""
    try:
        found = os.stat(path)  # noqa: PTH116
        key = found.st_dev, found.st_ino
        if key not in _indexes:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            _indexes[key] = mmap.mmap(descriptor, INDEX_HEADER, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    return _indexes[key]
