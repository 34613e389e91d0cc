"""SQLite as this application uses it: WAL, one writer at a time, and a short way for hot writes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.dml import UpdateBase

from fastapi_app.storage.group_commit import Group

PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    # WAL with NORMAL survives the end of any process; only a power cut may cost the last commits.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA foreign_keys = ON",
)
SWITCH_WITHIN = 5
"""Seconds another program may keep us from switching a new file to WAL."""
WRITING = "mcli_write"
"""Execution option of connections whose transactions write."""
CHECKPOINT_EVERY = 500
"""Commits after which the write-ahead log is copied into the database, in the thread."""

# At level debug it tells every statement with its parameters, and there are secrets among them.
logging.getLogger("aiosqlite").setLevel(logging.INFO)


def probe(path: str) -> None:
    """Open the file and switch it to WAL, before a driver starts threads that could fail to.

    Raises:
        sqlite3.Error: it is no database, its folder does not exist, another program locks it, or
            it can only be read.
    """
    deadline = time.monotonic() + SWITCH_WITHIN
    with contextlib.closing(sqlite3.connect(path, timeout=0.1)) as connection:
        while True:
            try:
                connection.execute(PRAGMAS[0])
            except sqlite3.OperationalError as error:
                # Two servers that open a new file at once: SQLite does not wait here by itself.
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                break
        _require_writable(connection)


def _require_writable(connection: sqlite3.Connection) -> None:
    """A file or folder that can only be read shows at a commit, of whatever it is."""
    try:
        connection.executescript("BEGIN IMMEDIATE; PRAGMA user_version = 0; COMMIT")
    except sqlite3.OperationalError as error:
        # A lock that another program holds is waited for later.
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:
            raise


def tune(engine: Engine) -> None:
    """Set the pragmas on every connection, and begin every transaction ourselves.

    The driver must not open transactions by itself: a plain BEGIN that turns into a write later
    fails when another writer came between, whatever the busy timeout.
    """

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:  # noqa: ANN401 - DB-API connection
        connection.isolation_level = None
        cursor = connection.cursor()
        try:
            for pragma in PRAGMAS:
                cursor.execute(pragma)
        except BaseException:
            connection.close()  # the pool has not taken it yet, and would leave its thread behind
            raise
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy connection
        writing = connection.get_execution_options().get(WRITING)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


class HotWriter:
    """Commits groups of rows, at once where that cannot block and in a thread where it can.

    A commit into the write-ahead log is a write to the page cache: tens of microseconds, less than
    handing it to a thread costs. What may take longer is kept away from the event loop: a lock
    that another process holds and every kind of failure go to the thread, which waits and reports;
    copying the log into the database happens there too.
    """

    def __init__(self, path: str) -> None:
        self._engine = create_engine(
            f"sqlite:///{path}",
            hide_parameters=True,
            pool_size=1,
            connect_args={"check_same_thread": False},
            execution_options={WRITING: True},
        )
        tune(self._engine)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._direct = sqlite3.connect(path, isolation_level=None)
        for pragma in (*PRAGMAS, "PRAGMA busy_timeout = 0", "PRAGMA wal_autocheckpoint = 0"):
            self._direct.execute(pragma)
        self._compiled: dict[int, tuple[UpdateBase, str, Mapping[str, Any]]] = {}
        self._commits = 0

    async def commit(self, groups: Sequence[Group]) -> list[int]:
        """Execute the groups in one transaction, in the thread; returns their row counts."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._commit, groups)

    def commit_at_once(self, groups: Sequence[Group]) -> list[int] | None:
        """The same on the event loop; `None` when it could not be done without waiting, or at all.

        What went wrong shows when it is tried in the thread.
        """
        counts = self._try(groups)
        if counts is not None:
            self._commits += 1
            if self._commits % CHECKPOINT_EVERY == 0:
                self._thread.submit(self._checkpoint)
        return counts

    def close(self) -> None:
        """End the thread and let go of the file."""
        self._thread.shutdown()
        self._direct.close()
        self._engine.dispose()

    def _try(self, groups: Sequence[Group]) -> list[int] | None:
        execute, many = self._direct.execute, self._direct.executemany
        try:
            execute("BEGIN IMMEDIATE")
            counts = []
            for statement, rows in groups:
                sql, defaults = self._sql(statement)
                counts.append(many(sql, [{**defaults, **row} for row in rows]).rowcount)
            execute("COMMIT")
        except (sqlite3.Error, SQLAlchemyError, ValueError, OverflowError):
            if self._direct.in_transaction:
                execute("ROLLBACK")
            return None
        return counts

    def _sql(self, statement: UpdateBase) -> tuple[str, Mapping[str, Any]]:
        known = self._compiled.get(id(statement))
        if known is None:
            compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
            # The statement is kept with its id, so that no other can come to have the same.
            known = (statement, str(compiled), compiled.params)
            self._compiled[id(statement)] = known
        return known[1], known[2]

    def _commit(self, groups: Sequence[Group]) -> list[int]:
        with self._engine.begin() as connection:
            return [
                connection.execute(statement, list(rows)).rowcount for statement, rows in groups
            ]

    def _checkpoint(self) -> None:
        with self._engine.connect().execution_options(**{WRITING: False}) as connection:
            connection.execute(text("PRAGMA wal_checkpoint(PASSIVE)"))
