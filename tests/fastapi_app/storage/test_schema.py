"""Migration: from nothing, from the old daemon's database, and never from a newer version's."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from fastapi_app.errors import StartupError
from fastapi_app.models import RunStatus
from fastapi_app.storage.commands import CommandStore
from fastapi_app.storage.database import open_database
from fastapi_app.storage.runs import RunStore
from fastapi_app.storage.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

# Word for word what docs/decisions/0001-shared-state.md says.
OLD_DAEMON = """
CREATE TABLE commands (
  id VARCHAR(36) PRIMARY KEY, name VARCHAR(200) NOT NULL UNIQUE,
  description TEXT NOT NULL DEFAULT '', code TEXT NOT NULL, language VARCHAR(16) NOT NULL,
  group_name VARCHAR(200) NOT NULL DEFAULT '', tags TEXT NOT NULL DEFAULT '[]',
  created_at DOUBLE PRECISION NOT NULL, updated_at DOUBLE PRECISION NOT NULL,
  execution_count INTEGER NOT NULL DEFAULT 0, last_executed DOUBLE PRECISION,
  is_active BOOLEAN NOT NULL DEFAULT TRUE);
CREATE TABLE runs (
  id VARCHAR(36) PRIMARY KEY, kind VARCHAR(16) NOT NULL, name VARCHAR(200) NOT NULL DEFAULT '',
  command TEXT NOT NULL, command_id VARCHAR(36), process_id VARCHAR(36),
  args TEXT NOT NULL DEFAULT '[]', env TEXT NOT NULL DEFAULT '{}', cwd TEXT,
  timeout DOUBLE PRECISION, status VARCHAR(16) NOT NULL, reason TEXT,
  attempt INTEGER NOT NULL DEFAULT 1, stop_requested BOOLEAN NOT NULL DEFAULT FALSE,
  returncode INTEGER, pid INTEGER, pid_started BIGINT, boot_id VARCHAR(36), owner VARCHAR(64),
  created_at DOUBLE PRECISION NOT NULL, started_at DOUBLE PRECISION,
  finished_at DOUBLE PRECISION, stdout_bytes BIGINT NOT NULL DEFAULT 0,
  stderr_bytes BIGINT NOT NULL DEFAULT 0, truncated BOOLEAN NOT NULL DEFAULT FALSE);
CREATE INDEX ix_runs_kind_status ON runs (kind, status);
CREATE INDEX ix_runs_created_at_id ON runs (created_at, id);
CREATE TABLE processes (
  id VARCHAR(36) PRIMARY KEY, name VARCHAR(200) NOT NULL, command TEXT NOT NULL,
  args TEXT NOT NULL DEFAULT '[]', working_dir TEXT, environment TEXT NOT NULL DEFAULT '{}',
  created_at DOUBLE PRECISION NOT NULL, run_id VARCHAR(36));
CREATE TABLE service_state (key VARCHAR(64) PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO commands (id, name, code, language, created_at, updated_at)
  VALUES ('c1', 'old', 'echo old', 'shell', 1.5, 1.5);
INSERT INTO runs (id, kind, command, status, created_at)
  VALUES ('r1', 'execute', 'echo old', 'completed', 2.5)
"""
NEWER = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32)); INSERT INTO alembic_version VALUES "
)
JOB = """
INSERT INTO jobs (id, name, schedule_kind, schedule_text, timezone, task_kind, task, policy,
    created_at, updated_at)
  VALUES ('{id}', '{name}', 'cron', '@daily', 'UTC', 'shell', '{{}}', '{{}}', {at}, {at})
"""


async def executed(url: str, *scripts: str) -> None:
    """Run SQL as some other program would."""
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        for statement in ";".join(scripts).split(";"):
            await connection.execute(text(statement))
    await engine.dispose()


async def described(url: str) -> dict[str, object]:
    """Every table as the database itself describes it, less those in which SQLite has an index."""

    def read(connection: Connection) -> dict[str, object]:
        inspector = inspect(connection)
        return {
            name: _table(inspector.get_columns(name), inspector.get_indexes(name))
            for name in inspector.get_table_names()
            if not name.startswith("command_words")
        }

    engine = create_async_engine(url)
    async with engine.connect() as connection:
        found = await connection.run_sync(read)
    await engine.dispose()
    return found


def _table(columns: Sequence[object], indexes: Sequence[object]) -> list[str]:
    # The condition of a partial index is an object: where in memory it is matters to nobody.
    return sorted(re.sub(r" at 0x[0-9a-f]+", "", repr(each)) for each in [*columns, *indexes])


async def test_an_empty_database_gets_every_table(url: str) -> None:
    await (await open_database(url)).aclose()
    assert (await described(url)).keys() == {*metadata.tables, "alembic_version"}


async def test_the_migration_makes_what_the_code_says(url: str) -> None:
    await (await open_database(url)).aclose()
    migrated = await described(url)
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    assert await described(url) == migrated


async def test_a_database_of_the_old_daemon_is_adopted_with_what_it_holds(url: str) -> None:
    await executed(url, OLD_DAEMON)
    database = await open_database(url)
    command = await CommandStore(database).by_name("old")
    run = await RunStore(database).get("r1")
    await database.aclose()
    assert command is not None
    assert (command.group, command.tags, command.is_active) == ("", (), True)
    assert run is not None
    assert (run.status, run.attempt, run.args) == (RunStatus.COMPLETED, 1, ())


async def test_of_jobs_called_alike_the_first_has_the_name_and_each_its_own(url: str) -> None:
    await (await open_database(url)).aclose()
    await executed(
        url,
        "DROP INDEX ux_jobs_name_key; ALTER TABLE jobs DROP COLUMN name_key",
        "UPDATE alembic_version SET version_num = '0007'",
        JOB.format(id="second", name="JOB", at=2.5),
        JOB.format(id="first", name="job", at=1.5),
        JOB.format(id="other", name="Straße", at=1.5),
    )
    await (await open_database(url)).aclose()
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT id, name_key FROM jobs"))
        keys = {row.id: row.name_key for row in rows}
    await engine.dispose()
    assert keys == {"first": "job", "second": None, "other": "strasse"}


async def test_opening_again_changes_nothing(url: str) -> None:
    await executed(url, OLD_DAEMON)
    await (await open_database(url)).aclose()
    once = await described(url)
    await (await open_database(url)).aclose()
    assert await described(url) == once


async def test_servers_that_start_together_migrate_once(url: str) -> None:
    for database in await asyncio.gather(*(open_database(url) for _ in range(4))):
        await database.aclose()
    assert (await described(url)).keys() == {*metadata.tables, "alembic_version"}


async def test_a_newer_database_is_refused_and_left_alone(url: str) -> None:
    await executed(url, NEWER + "('9999')")
    with pytest.raises(StartupError, match="9999"):
        await open_database(url)
    assert (await described(url)).keys() == {"alembic_version"}
