"""The commands table: names are unique, and sort by code point."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fastapi_app.errors import CommandExistsError
from fastapi_app.models import CommandFilter, Language, RunDefaults
from fastapi_app.storage.commands import CommandStore
from tests.fastapi_app.storage.rows import a_command

if TYPE_CHECKING:
    from fastapi_app.storage.database import Database


ACTIVE = CommandFilter(active=True)


@pytest.fixture
def commands(database: Database) -> CommandStore:
    """Commands in that database."""
    return CommandStore(database)


async def test_every_field_comes_back_as_it_was_stored(commands: CommandStore) -> None:
    full = a_command(
        "ünïcode ✓ 🎉",
        code="#!/bin/sh\r\necho '100%' :x ? \\ \"\n",
        language=Language.LUA,
        description="d",
        group="g",
        tags=("a", "ö"),
        execution_count=4,
        last_executed=3.25,
        is_active=False,
        defaults=RunDefaults(timeout=2.5, env={"B": "ü", "A": "1"}, cwd="/", group="slots"),
        parameters={"type": "object", "properties": {"n": {"type": "integer", "default": 1}}},
    )
    for command in (full, a_command("plain")):
        await commands.add(command)
        assert await commands.by_name(command.name) == command
        assert await commands.by_id(command.id) == command


async def test_the_unknown_is_none(commands: CommandStore) -> None:
    for unknown in ("", "x", "a\0b", "\ud800"):
        assert await commands.by_name(unknown) is None
        assert await commands.by_id(unknown) is None


async def test_a_name_is_given_once(commands: CommandStore) -> None:
    first, second = a_command("a"), a_command("b")
    await commands.add(first)
    await commands.add(second)
    with pytest.raises(CommandExistsError, match="'a'"):
        await commands.add(a_command("a", code="other"))
    with pytest.raises(CommandExistsError, match="'a'"):
        await commands.replace(replace(second, name="a"))
    assert await commands.page() == [first, second]


async def test_a_change_keeps_what_the_database_counts(commands: CommandStore) -> None:
    command = a_command("a")
    await commands.add(command)
    await commands.count_execution(command.id, 5.5)
    await commands.replace(replace(command, name="b", code="new", tags=("t",), is_active=False))
    assert await commands.by_name("a") is None
    assert await commands.by_id(command.id) == replace(
        command,
        name="b",
        code="new",
        tags=("t",),
        is_active=False,
        execution_count=1,
        last_executed=5.5,
    )


async def test_no_execution_is_counted_twice_or_not_at_all(commands: CommandStore) -> None:
    one, other = a_command("one"), a_command("other")
    await commands.add(one)
    await commands.add(other)
    counting = [commands.count_execution(one.id, float(n)) for n in range(200)]
    counting += [commands.count_execution(other.id, 1.0), commands.count_execution("gone", 1.0)]
    await asyncio.gather(*counting)
    counts = {c.name: c.execution_count for c in await commands.page()}
    assert counts == {"one": 200, "other": 1}


async def test_names_sort_by_code_point_on_every_database(commands: CommandStore) -> None:
    names = ["B", "a", "A", "b", "_", "Z", "z", "ä", "é", "e", "E", "10", "9", "a b", "a-b", "🎉"]
    await asyncio.gather(*(commands.add(a_command(name)) for name in names))
    seen: list[str] = []
    after = None
    while page := await commands.page(ACTIVE, after=after, limit=3):
        seen += [command.name for command in page]
        after = seen[-1]
    assert seen == sorted(names)


async def test_summaries_leave_out_what_lists_do_not_show(commands: CommandStore) -> None:
    full = a_command(
        "full",
        code="x",
        tags=("t",),
        group="g",
        description="d",
        is_active=False,
        execution_count=4,
        last_executed=3.25,
        defaults=RunDefaults(timeout=1.0),
        parameters={"type": "object"},
    )
    await commands.add(full)
    await commands.add(a_command("other"))
    (summary,) = await commands.summaries(CommandFilter(active=False))
    assert summary == replace(full, code="", defaults=RunDefaults(), parameters=None)
    assert [c.name for c in await commands.summaries(after="full", limit=5)] == ["other"]
    assert await commands.summaries(CommandFilter(group="\0")) == []


async def test_lists_filter(commands: CommandStore) -> None:
    off = a_command("off", is_active=False, group="g", tags=("ü",))
    lua = a_command("lua", language=Language.LUA)
    for command in (off, lua, a_command("plain", group="g", tags=('a"b', "ü"))):
        await commands.add(command)

    async def names(**by: object) -> list[str]:
        found = await commands.page(CommandFilter(**by))  # type: ignore[arg-type]
        return [command.name for command in found]

    assert await names() == ["lua", "off", "plain"]
    assert await names(active=True) == ["lua", "plain"]
    assert await names(active=False) == ["off"]
    assert await names(language=Language.LUA) == ["lua"]
    assert await names(group="g") == ["off", "plain"]
    assert await names(group="") == ["lua"]
    assert await names(group="\0") == []
    assert await names(tags=["ü"]) == ["off", "plain"]
    assert await names(tags=["ü", 'a"b']) == ["plain"]
    assert await names(tags=["a"]) == await names(tags=["\0"]) == []


async def test_what_is_deleted_is_gone(commands: CommandStore) -> None:
    command = a_command("a")
    await commands.add(command)
    await commands.delete(command.id)
    assert await commands.by_name("a") is None
    await commands.add(a_command("a"))


async def test_many_are_exchanged_at_once(commands: CommandStore) -> None:
    old, gone = a_command("old", group="g"), a_command("gone")
    for command in (old, gone):
        await commands.add(command)
    new, changed = a_command("new"), replace(old, code="other", group="", updated_at=2000.5)
    assert await commands.exchange([(None, new), (old, changed), (gone, None)]) == set()
    assert await commands.page() == [new, changed]
    assert await commands.exchange([]) == set()


async def test_what_was_changed_meanwhile_is_not_exchanged(commands: CommandStore) -> None:
    seen, taken = a_command("seen"), a_command("taken")
    theirs = replace(seen, code="theirs", updated_at=1500.5)
    for command in (seen, taken):
        await commands.add(command)
    await commands.replace(theirs)
    mine, other = replace(seen, code="mine"), a_command("other")
    missing = a_command("missing")
    done = [(seen, mine), (None, a_command("taken")), (missing, None), (None, other)]
    assert await commands.exchange(done) == {"seen", "taken", "missing"}
    assert await commands.page() == [other, theirs, taken]


async def test_a_run_is_no_change(commands: CommandStore) -> None:
    seen = a_command("seen")
    await commands.add(seen)
    await commands.count_execution(seen.id, 1234.5)
    assert await commands.exchange([(seen, replace(seen, code="mine"))]) == set()
    found = await commands.by_name("seen")
    assert found == replace(seen, code="mine", execution_count=1, last_executed=1234.5)


async def test_digests_are_of_the_bytes(commands: CommandStore) -> None:
    await commands.add(a_command("a", code="écho\r\n", group="g", language=Language.NOTEBOOK))
    [found] = await commands.digests()
    expected = hashlib.sha256("écho\r\n".encode()).hexdigest()
    assert found == ("a", "g", "notebook", expected)
