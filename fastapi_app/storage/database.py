"""The database: one async engine, SQLite tuned for one writer at a time, and grouped commits."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection, Select, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from fastapi_app.errors import StartupError, StorageUnavailableError
from fastapi_app.storage.group_commit import Group, GroupCommit
from fastapi_app.storage.peek import Peek
from fastapi_app.storage.schema import bring_up_to_date
from fastapi_app.storage.sqlite import WRITING, HotWriter, probe, tune

# A connection that broke cannot be closed in order either; who used it has been told.
logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)

CONNECT_WITHIN = 10
"""Seconds a database server gets to answer."""
MIGRATION_LOCK = 0x6D636C69  # "mcli": PostgreSQL advisory lock held while migrating
TROUBLE = ("08", "25006", "28", "3D", "40", "53", "55", "57", "58")
"""How SQLSTATEs begin (PostgreSQL, appendix A) that tell of the server and not of a statement: no
connection, read only, no entry, rolled back, out of resources, shut down, broken."""


class Database:
    """Connections for reading and writing, and the group commit of the hot paths."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(**{WRITING: True})
        self._hot: HotWriter | None = None
        self.grouped = GroupCommit(self._commit, self._commit_at_once)
        self.peek: Peek | None = None
        self.on_commit: Callable[[], None] = _nothing
        """Called after each commit."""

    def open_file(self) -> None:
        """On SQLite: open the ways to the file that do without the async driver."""
        path = self._engine.url.database
        if self.is_sqlite and path:
            self._hot = HotWriter(path)
            self.peek = Peek(path)

    def version(self) -> bytes | None:
        """Changes whenever anybody has committed; `None` where that cannot be told."""
        return None if self.peek is None else self.peek.version()

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @property
    def url(self) -> str:
        """The database's address without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a read transaction."""
        async with _translated(), self._engine.connect() as connection:
            yield connection

    async def first(
        self, statement: Select[Any], parameters: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """The first row by column names, or `None`; a look-up by key costs SQLite microseconds.

        The statement is compiled once: make it once. Booleans may come as numbers.
        """
        if self.peek is not None:
            try:
                return self.peek.first(statement, parameters)
            except sqlite3.Error:
                pass  # the driver meets the same trouble, and waits, or says what it is
        async with self.read() as connection:
            row = (await connection.execute(statement, parameters)).first()
        return None if row is None else row._mapping  # noqa: SLF001 - its public name

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a write transaction, committed at the end unless something is raised."""
        async with _translated(), self._writing.begin() as connection:
            yield connection
        self.on_commit()

    async def migrate(self, change: Callable[[Connection], None]) -> None:
        """Run what changes the schema in a transaction; two servers do so one after the other."""
        async with self._writing.begin() as connection:
            if not self.is_sqlite:
                await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            await connection.run_sync(change)

    async def aclose(self) -> None:
        """Commit what is pending, then close every connection."""
        await self.grouped.aclose()
        if self.peek is not None:
            self.peek.close()
        if self._hot is not None:
            self._hot.close()
        await self._engine.dispose()

    def _commit_at_once(self, groups: Sequence[Group]) -> Sequence[int] | None:
        counts = None if self._hot is None else self._hot.commit_at_once(groups)
        if counts is not None:
            self.on_commit()
        return counts

    async def _commit(self, groups: Sequence[Group]) -> Sequence[int]:
        if self._hot is not None:
            async with _translated():
                counts = await self._hot.commit(groups)
            self.on_commit()
            return counts
        async with self.write() as connection:
            return [
                (await connection.execute(statement, list(rows))).rowcount
                for statement, rows in groups
            ]


async def open_database(url: str) -> Database:
    """Open the database at `url`, migrated to this version's schema.

    Raises:
        StartupError: it cannot be opened, or is newer than this version.
    """
    engine = _create_engine(url)
    database = Database(engine)
    try:
        if database.is_sqlite:
            probe(engine.url.database or ":memory:")
        await database.migrate(bring_up_to_date)
    except (DBAPIError, sqlite3.Error, OSError) as error:
        await engine.dispose()
        raise StartupError(
            f"The database {database.url} cannot be opened: {_cause(error)}."
            " Check MCLI_DATABASE_URL and the rights on the home folder."
        ) from error
    except StartupError:
        await engine.dispose()
        raise
    database.open_file()
    return database


def attach(url: str) -> Database:
    """The database at `url` as another process has made it; for processes beside the server."""
    return Database(_create_engine(url))


def _create_engine(url: str) -> AsyncEngine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            engine = create_async_engine(parsed, hide_parameters=True, pool_size=8, max_overflow=8)
            tune(engine.sync_engine)
            return engine
        return create_async_engine(
            parsed,
            hide_parameters=True,  # there are secrets among them
            pool_size=8,
            max_overflow=8,
            pool_pre_ping=True,
            connect_args={"timeout": CONNECT_WITHIN}
            if parsed.get_driver_name() == "asyncpg"
            else {},
        )
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError) as error:
        raise StartupError(
            f"MCLI_DATABASE_URL cannot be used: {error}. Use sqlite+aiosqlite:///PATH or"
            " postgresql+asyncpg://USER@HOST/NAME (extra 'postgres')."
        ) from error


def _nothing() -> None:
    """What is called while nobody wants to know."""


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """Operational trouble (disk full, locked, server gone) becomes an error that says so."""
    try:
        yield
    except (TimeoutError, PoolTimeoutError, OperationalError, OSError) as error:
        raise StorageUnavailableError(_cause(error)) from error
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or ""
        if error.connection_invalidated or state.startswith(TROUBLE):
            raise StorageUnavailableError(_cause(error)) from error
        raise


def _cause(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error)
