"""Opening, locking, and what the operator is told when it does not work."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from fastapi_app.errors import StartupError, StorageUnavailableError
from fastapi_app.storage.database import Database, open_database
from fastapi_app.storage.runs import RunStore
from fastapi_app.storage.sqlite import PRAGMAS
from tests.fastapi_app.storage.rows import a_run

if TYPE_CHECKING:
    from pathlib import Path

READ = text("SELECT value FROM service_state WHERE key = 'n'")
WRITE = text("UPDATE service_state SET value = :value WHERE key = 'n'")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a SQLite database may be."""
    return tmp_path / "mcli.db"


def at(file: Path) -> str:
    """Its address."""
    return f"sqlite+aiosqlite:///{file}"


async def test_read_modify_writes_at_once_lose_nothing(database: Database) -> None:
    lock = "" if database.is_sqlite else " FOR UPDATE"
    read = text(f"{READ.text}{lock}")
    async with database.write() as connection:
        await connection.execute(text("INSERT INTO service_state VALUES ('n', '0')"))

    async def increment() -> None:
        async with database.write() as connection:
            value = int(await connection.scalar(read) or 0)
            await connection.execute(WRITE, {"value": str(value + 1)})

    await asyncio.gather(*(increment() for _ in range(60)))
    async with database.read() as connection:
        assert await connection.scalar(READ) == "60"


async def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO service_state VALUES ('n', '0')"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.read() as connection:
        assert await connection.scalar(READ) is None


async def test_sqlite_is_tuned(file: Path) -> None:
    database = await open_database(at(file))
    async with database.read() as connection:
        found = [
            await connection.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        ]
    await database.aclose()
    assert found == ["wal", 1, 5000, 1]


async def test_a_reader_never_waits_for_a_writer(file: Path) -> None:
    database = await open_database(at(file))
    with sqlite3.connect(file, isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(1):
            assert await RunStore(database).unfinished() == []
        writer.execute("ROLLBACK")
    writer.close()
    await database.aclose()


async def test_a_table_that_is_gone_is_no_bad_row_but_trouble(file: Path) -> None:
    database = await open_database(at(file))
    with sqlite3.connect(file) as other:
        other.execute("DROP TABLE runs")
    other.close()
    with pytest.raises(StorageUnavailableError, match="no such table"):
        await RunStore(database).add(a_run())
    await database.aclose()


async def test_the_address_is_told_without_its_password(postgres_url: str) -> None:
    url = postgres_url.replace("postgres:@", "postgres:secret@")
    database = await open_database(url)
    assert "secret" not in database.url
    await database.aclose()


@pytest.fixture
def broken(file: Path) -> Path:
    """A database that was cut short."""
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        other.execute("CREATE TABLE runs (id TEXT)")
    other.close()
    file.write_bytes(file.read_bytes()[:5000])
    return file


@pytest.fixture
def foreign(file: Path) -> Path:
    """A file that is no database."""
    file.write_bytes(b"this is no database" * 100)
    return file


async def test_a_file_that_is_no_database_is_refused(foreign: Path) -> None:
    with pytest.raises(StartupError, match="not a database"):
        await open_database(at(foreign))


async def test_a_database_cut_short_is_refused(broken: Path) -> None:
    with pytest.raises(StartupError, match="malformed"):
        await open_database(at(broken))


async def test_a_folder_that_is_missing_is_refused(file: Path) -> None:
    with pytest.raises(StartupError, match="unable to open"):
        await open_database(at(file / "below" / "mcli.db"))


async def test_a_database_another_program_locks_is_refused_in_bounded_time(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = [pragma.replace("5000", "200") for pragma in PRAGMAS]
    monkeypatch.setattr("fastapi_app.storage.sqlite.PRAGMAS", impatient)
    await (await open_database(at(file))).aclose()
    with sqlite3.connect(file, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(StartupError, match="locked"):
            await open_database(at(file))
        assert time.monotonic() - began < 3
        other.execute("ROLLBACK")
    other.close()


async def test_a_new_file_another_program_holds_is_waited_for_and_given_up(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastapi_app.storage.sqlite.SWITCH_WITHIN", 0.2)
    with sqlite3.connect(file, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StartupError, match="locked"):
            await open_database(at(file))
        other.execute("ROLLBACK")
    other.close()
    await (await open_database(at(file))).aclose()


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql+nosuch://x/y", "sqlite+nosuch:///x", "postgresql+asyncpg://x:y:z/q"]
)
async def test_an_address_that_makes_no_sense_names_the_setting(url: str) -> None:
    with pytest.raises(StartupError, match="MCLI_DATABASE_URL"):
        await open_database(url)


async def test_a_closed_port_is_refused_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(StartupError, match=str(port)):
            await open_database(f"postgresql+asyncpg://u@127.0.0.1:{port}/db")
        assert time.monotonic() - began < 3


async def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_app.storage.database.CONNECT_WITHIN", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(StartupError, match=str(port)):
            await open_database(f"postgresql+asyncpg://u@127.0.0.1:{port}/db")
        assert time.monotonic() - began < 3


async def test_a_database_that_does_not_exist_is_told(postgres_url: str) -> None:
    with pytest.raises(StartupError, match="does not exist"):
        await open_database(postgres_url.replace("/test_", "/nosuch_"))
