"""What stored commands were, whoever wrote them, and how their runs went."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from fastapi_app.errors import CommandExistsError
from fastapi_app.models import Language, RunDefaults, RunKind, RunStatus
from fastapi_app.storage.command_history import CommandHistory
from fastapi_app.storage.commands import CommandStore
from fastapi_app.storage.database import Database, open_database
from fastapi_app.storage.runs import RunStore
from tests.fastapi_app.storage.rows import a_command, a_run
from tests.fastapi_app.storage.test_schema import OLD_DAEMON, executed

if TYPE_CHECKING:
    from fastapi_app.models import Command


@pytest.fixture
def commands(database: Database) -> CommandStore:
    """Commands in that database."""
    return CommandStore(database)


@pytest.fixture
def history(database: Database) -> CommandHistory:
    """Their history."""
    return CommandHistory(database)


async def write(database: Database, statement: str) -> None:
    """Write as another program does."""
    async with database.write() as connection:
        await connection.execute(text(statement))


async def told(history: CommandHistory, command: Command) -> list[tuple[int, str, str, str]]:
    """Number, code, author and note of each version, the oldest first."""
    found = await history.versions(command.id, limit=100)
    return [(v.version, v.code, v.author, v.note) for v in reversed(found)]


async def test_each_change_is_a_version_and_tells_who_made_it(
    commands: CommandStore, history: CommandHistory
) -> None:
    first = a_command("a", code="one", tags=("t",), defaults=RunDefaults(timeout=3.0))
    await commands.add(first, author="ann")
    second = replace(first, code="two", updated_at=2000.0, parameters={"type": "object"})
    await commands.replace(second, author="bob", note="because")
    assert await told(history, first) == [(1, "one", "ann", ""), (2, "two", "bob", "because")]
    version = await history.version(first.id, 1)
    assert version is not None
    assert (version.at, version.name, version.language) == (1000.5, "a", Language.SHELL)
    assert (version.tags, version.defaults) == (first.tags, first.defaults)
    latest = await history.version(first.id, 2)
    assert latest is not None
    assert latest.parameters == {"type": "object"}
    assert await history.version(first.id, 3) is None
    assert await commands.about(second) == (2, None)


async def test_what_changes_nothing_is_no_version(
    commands: CommandStore, history: CommandHistory
) -> None:
    command = a_command("a", code="one")
    await commands.add(command, author="ann")
    await commands.count_execution(command.id, 5.0)
    await commands.replace(replace(command, is_active=False, updated_at=3000.0), author="bob")
    assert await told(history, command) == [(1, "one", "ann", "")]


async def test_what_another_program_writes_has_its_history_too(
    commands: CommandStore, history: CommandHistory, database: Database
) -> None:
    command = a_command("a", code="one")
    await commands.add(command, author="ann")
    await write(database, "UPDATE commands SET code = 'theirs' WHERE name = 'a'")
    await write(
        database,
        "INSERT INTO commands (id, name, code, language, created_at, updated_at)"
        " VALUES ('x', 'theirs', 'echo', 'shell', 7, 8)",
    )
    assert await told(history, command) == [(1, "one", "ann", ""), (2, "theirs", "", "")]
    added = await commands.by_name("theirs")
    assert added is not None
    assert [v.at for v in await history.versions(added.id, limit=9)] == [8]


async def test_what_was_there_before_is_the_first_version(url: str) -> None:
    await executed(url, OLD_DAEMON)
    database = await open_database(url)
    command = await CommandStore(database).by_name("old")
    assert command is not None
    assert await told(CommandHistory(database), command) == [(1, "echo old", "", "")]
    await database.aclose()


async def test_versions_come_in_pages(commands: CommandStore, history: CommandHistory) -> None:
    command = a_command("a", code="1")
    await commands.add(command)
    for n in range(2, 6):
        await commands.replace(replace(command, code=str(n)))
    assert [v.version for v in await history.versions(command.id, limit=2)] == [5, 4]
    assert [v.version for v in await history.versions(command.id, before=4, limit=9)] == [3, 2, 1]


async def test_a_history_goes_with_its_command(
    commands: CommandStore, history: CommandHistory
) -> None:
    command = a_command("a")
    await commands.add(command)
    await commands.delete(command.id)
    assert await history.versions(command.id, limit=9) == []


async def test_several_are_written_all_or_none(
    commands: CommandStore, history: CommandHistory
) -> None:
    there, taken = a_command("there"), a_command("taken")
    await commands.add(there)
    await commands.add(taken)
    changed = replace(there, code="new")
    with pytest.raises(CommandExistsError):
        await commands.write([a_command("taken")], [changed], author="ann", note="")
    assert await commands.page() == [taken, there]
    added = a_command("added")
    await commands.write([added], [changed], author="ann", note="imported")
    assert await commands.named(["added", "there", "nobody"]) == {"added": added, "there": changed}
    assert await told(history, added) == [(1, "echo hi", "ann", "imported")]
    assert await told(history, there) == [(1, "echo hi", "", ""), (2, "new", "ann", "imported")]


async def test_names_that_differ_in_case_are_both_kept_and_told(commands: CommandStore) -> None:
    one, other = a_command("Deploy"), a_command("deploy")
    await commands.add(one)
    await commands.add(other)
    assert (await commands.about(one), await commands.about(other)) == (
        (1, "deploy"),
        (1, "Deploy"),
    )
    await commands.replace(replace(other, name="roll-out"))
    assert await commands.about(one) == (1, None)


async def test_runs_are_counted_by_their_ends(
    database: Database, commands: CommandStore, history: CommandHistory
) -> None:
    command = a_command("a")
    await commands.add(command)
    runs = RunStore(database)

    async def ran(seconds: float | None, status: RunStatus, **fields: Any) -> None:  # noqa: ANN401
        run = a_run(
            kind=RunKind.WORKFLOW,
            command_id=command.id,
            status=status,
            started_at=None if seconds is None else 2000.0,
            finished_at=None if seconds is None else 2000.0 + seconds,
            pid=1,
            **fields,
        )
        await runs.add(run)

    for seconds in range(1, 98):
        await ran(seconds, RunStatus.COMPLETED)
    await ran(98, RunStatus.FAILED, id="failed", returncode=3)
    await ran(99, RunStatus.TIMED_OUT, id="late")
    await ran(100, RunStatus.CANCELLED)
    await ran(None, RunStatus.RUNNING)
    await runs.add(a_run(status=RunStatus.COMPLETED, started_at=1.0, finished_at=500.0, pid=1))
    stats = await history.stats(command.id)
    assert stats.runs == 101
    assert stats.statuses == {
        RunStatus.COMPLETED: 97,
        RunStatus.FAILED: 1,
        RunStatus.TIMED_OUT: 1,
        RunStatus.CANCELLED: 1,
        RunStatus.RUNNING: 1,
    }
    assert stats.success_rate == pytest.approx(97 / 99)
    assert (stats.mean, stats.p50, stats.p95) == (50, 50, 95)
    assert stats.last_failure is not None
    assert (stats.last_failure.id, stats.last_failure.status) == ("late", RunStatus.TIMED_OUT)


async def test_a_command_that_never_ran_has_no_figures(history: CommandHistory) -> None:
    stats = await history.stats("nobody")
    assert (stats.runs, stats.success_rate, stats.mean, stats.p95) == (0, None, None, None)
    assert stats.last_failure is None


async def test_statistics_begin_when_asked(
    database: Database, commands: CommandStore, history: CommandHistory
) -> None:
    command = a_command("a")
    await commands.add(command)
    runs = RunStore(database)
    for at in (10.0, 20.0):
        await runs.add(a_run(command_id=command.id, created_at=at))
    assert (await history.stats(command.id, since=20.0)).runs == 1
