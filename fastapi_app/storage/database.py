"""The database: one async engine, SQLite tuned for one writer at a time, and grouped commits."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from fastapi_app.errors import StartupError, StorageUnavailableError
from fastapi_app.storage.group_commit import Group, GroupCommit
from fastapi_app.storage.peek import Peek
from fastapi_app.storage.schema import bring_up_to_date
from fastapi_app.storage.sqlite import WRITING, HotWriter, probe, tune

CONNECT_WITHIN = 10
"""Seconds a database server gets to answer."""
MIGRATION_LOCK = 0x6D636C69  # "mcli": PostgreSQL advisory lock held while migrating


class Database:
    """Connections for reading and writing, and the group commit of the hot paths."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(**{WRITING: True})
        self._hot: HotWriter | None = None
        self.grouped = GroupCommit(self._commit)
        self.peek: Peek | None = None
        self.on_commit: Callable[[], None] = _nothing
        """Called after each commit."""

    def open_file(self) -> None:
        """On SQLite: open the ways to the file that do without the async driver."""
        path = self._engine.url.database
        if self.is_sqlite and path:
            self._hot = HotWriter(path)
            self.peek = Peek(path)

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

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a write transaction, committed at the end unless something is raised."""
        async with _translated(), self._writing.begin() as connection:
            yield connection
        self.on_commit()

    async def aclose(self) -> None:
        """Commit what is pending, then close every connection."""
        await self.grouped.aclose()
        if self.peek is not None:
            self.peek.close()
        if self._hot is not None:
            self._hot.close()
        await self._engine.dispose()

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
        async with engine.execution_options(**{WRITING: True}).begin() as connection:
            if not database.is_sqlite:
                # Two servers starting together must not both migrate.
                await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            await connection.run_sync(bring_up_to_date)
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


def _create_engine(url: str) -> AsyncEngine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            engine = create_async_engine(parsed, pool_size=8, max_overflow=8)
            tune(engine.sync_engine)
            return engine
        return create_async_engine(
            parsed,
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
    except (TimeoutError, OperationalError, OSError) as error:
        raise StorageUnavailableError(_cause(error)) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StorageUnavailableError(_cause(error)) from error
        raise


def _cause(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error)
