"""A fresh database of each kind for each test."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest

from fastapi_app.storage.database import Database, open_database
from tests.postgres import admin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import URL


BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'mcli.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database to copy, because that is faster than to migrate each."""
    file = tmp_path_factory.mktemp("template") / "mcli.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{file}"))
    return file


@pytest.fixture(scope="session")
def shared(postgres: URL) -> URL:
    """A PostgreSQL database to empty, because to create one costs more than the test."""

    async def create() -> None:
        connection = await admin(postgres)
        await connection.execute("DROP DATABASE IF EXISTS test_shared WITH (FORCE)")
        await connection.execute("CREATE DATABASE test_shared")
        await connection.close()
        await migrate(found.render_as_string(hide_password=False))

    found = postgres.set(database="test_shared")
    asyncio.run(create())
    return found


async def migrate(url: str) -> None:
    """Bring a database up to date."""
    await (await open_database(url)).aclose()


@pytest.fixture
async def postgres_ready_url(shared: URL) -> str:
    """That database, empty."""
    connection = await admin(shared)
    await connection.execute("DELETE FROM commands")  # not TRUNCATE: its triggers tidy up
    await connection.execute("TRUNCATE audit, runs, processes, service_state, supervision")
    await connection.close()
    return shared.render_as_string(hide_password=False)


@pytest.fixture(params=BOTH)
def ready_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database that is up to date."""
    if request.param == "sqlite":
        file = shutil.copy(request.getfixturevalue("migrated"), tmp_path)
        return f"sqlite+aiosqlite:///{file}"
    found: str = request.getfixturevalue("postgres_ready_url")
    return found


@pytest.fixture
async def database(ready_url: str) -> AsyncIterator[Database]:
    """That database, open."""
    opened = await open_database(ready_url)
    yield opened
    await opened.aclose()
