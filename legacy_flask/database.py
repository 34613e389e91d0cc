"""One engine for SQLite or PostgreSQL, with transactions that read and transactions that write."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event

from legacy_flask.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine

BUSY_TIMEOUT_SECONDS = 5
POOL_SIZE = 64


class Database:
    """Connections to `url` (SQLAlchemy's form), or to `mcli.db` below `home` without one."""

    def __init__(self, home: Path, url: str | None = None) -> None:
        url = url or f"sqlite:///{home / 'mcli.db'}"
        for given in ("postgresql+asyncpg://", "postgresql://", "postgres://"):
            if url.startswith(given):
                url = "postgresql+psycopg://" + url.removeprefix(given)
        url = url.replace("sqlite+aiosqlite://", "sqlite://", 1)
        self.engine = _engine(url)
        self._writer = self.engine.execution_options(begin="BEGIN IMMEDIATE")
        # SQLite admits one writer: threads that queue here do not spin in its busy handler.
        self._one_writer = threading.Lock()

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of this machine."""
        return self.engine.dialect.name == "sqlite"

    def create_tables(self) -> None:
        """Create what is missing."""
        with self.write() as connection:
            metadata.create_all(connection)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Read; on SQLite every statement sees the last commit, and no BEGIN is paid for."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that writes; on SQLite it holds the write lock from the start."""
        if not self.is_sqlite:
            with self._writer.begin() as connection:
                yield connection
            return
        with self._one_writer, self._writer.begin() as connection:
            yield connection


def _engine(url: str) -> Engine:
    engine = create_engine(url, pool_size=POOL_SIZE, max_overflow=-1)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own type
    # The driver's implicit BEGIN is deferred and comes too late; ours comes from `_begin`.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _begin(connection: Connection) -> None:
    begin = connection.get_execution_options().get("begin")
    driver = connection.connection.driver_connection
    if begin is not None and driver is not None:
        driver.execute(begin)
