"""The database: one async engine, SQLite tuned for one writer at a time, and grouped commits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from fastapi_app.errors import StartupError, StorageUnavailableError
from fastapi_app.storage.group_commit import GroupCommit
from fastapi_app.storage.peek import Peek
from fastapi_app.storage.schema import bring_up_to_date

SQLITE_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    # WAL with NORMAL survives the end of any process; only a power cut may cost the last commits.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA foreign_keys = ON",
)
CONNECT_WITHIN = 10
"""Seconds a database server gets to answer."""
MIGRATION_LOCK = 0x6D636C69  # "mcli": PostgreSQL advisory lock held while migrating


class Database:
    """Connections for reading and writing, and the group commit of the hot paths."""

    def __init__(self, engine: AsyncEngine, peek: Peek | None) -> None:
        self._engine = engine
        self._writing = engine.execution_options(mcli_write=True)
        self.grouped = GroupCommit(self.write)
        self.peek = peek

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

    async def aclose(self) -> None:
        """Commit what is pending, then close every connection."""
        await self.grouped.aclose()
        if self.peek:
            self.peek.close()
        await self._engine.dispose()


async def open_database(url: str) -> Database:
    """Open the database at `url`, migrated to this version's schema.

    Raises:
        StartupError: it cannot be opened, or is newer than this version.
    """
    engine = _create_engine(url)
    database = Database(engine, None)
    try:
        async with engine.execution_options(mcli_write=True).begin() as connection:
            if not database.is_sqlite:
                # Two servers starting together must not both migrate.
                await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            await connection.run_sync(bring_up_to_date)
    except (DBAPIError, OSError) as error:
        await engine.dispose()
        raise StartupError(
            f"The database {database.url} cannot be opened: {_cause(error)}."
            " Check MCLI_DATABASE_URL and the rights on the home folder."
        ) from error
    except StartupError:
        await engine.dispose()
        raise
    if database.is_sqlite and engine.url.database:
        database.peek = Peek(engine.url.database)
    return database


def _create_engine(url: str) -> AsyncEngine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _tuned_for_sqlite(create_async_engine(parsed, pool_size=8, max_overflow=8))
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


def _tuned_for_sqlite(engine: AsyncEngine) -> AsyncEngine:
    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:  # noqa: ANN401 - DB-API connection
        # The driver must not open transactions by itself: a plain BEGIN that turns into a write
        # later fails when another writer came between, whatever the busy timeout.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in SQLITE_PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy connection
        writing = connection.get_execution_options().get("mcli_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


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
