"""Finding stored commands by what they say, the same on every database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from fastapi_app.models import CommandFilter, FoundBy, Language
from fastapi_app.storage.command_search import MANY, CommandSearch
from fastapi_app.storage.commands import CommandStore
from tests.fastapi_app.storage.rows import a_command
from tests.fastapi_app.storage.test_command_history import write

if TYPE_CHECKING:
    from fastapi_app.storage.database import Database

ALL = CommandFilter()


@pytest.fixture
def commands(database: Database) -> CommandStore:
    """Commands in that database."""
    return CommandStore(database)


@pytest.fixture
def search(database: Database) -> CommandSearch:
    """A search among them."""
    return CommandSearch(database)


async def names(search: CommandSearch, query: str, wanted: CommandFilter = ALL) -> list[str]:
    """Names of what is found, the best first."""
    return [found.command.name for found in await search.text(query, wanted, 10)]


@pytest.fixture
async def stored(commands: CommandStore) -> None:
    """Some commands that say something."""
    for command in (
        a_command("in-code", code="# deploy\n" + "echo other words\n" * 5),
        a_command("in-description", description="Used to deploy the site", code="true"),
        a_command("in-tags", tags=("deploy", "größe"), code="true"),
        a_command("in-group", group="deploy", code="true"),
        a_command("deploy-prod", code="true"),
        a_command("deploy", code="true"),
        a_command("off", description="deploy nothing", is_active=False, language=Language.LUA),
        a_command("report_v2.final", code="SELECT total FROM sales.invoices WHERE x='y'"),
    ):
        await commands.add(command)


@pytest.mark.usefixtures("stored")
async def test_names_weigh_most_then_labels_description_and_code(search: CommandSearch) -> None:
    found = await names(search, "deploy", CommandFilter(active=True))
    assert found[:2] == ["deploy", "deploy-prod"]
    assert set(found[2:4]) == {"in-tags", "in-group"}
    assert found[4:] == ["in-description", "in-code"]
    scores = [each.score for each in await search.text("deploy", ALL, 10)][1:]
    assert scores == sorted(scores, reverse=True)
    assert all(each.by is FoundBy.TEXT for each in await search.text("deploy", ALL, 10))


@pytest.mark.usefixtures("stored")
async def test_a_name_asked_for_comes_first(search: CommandSearch) -> None:
    assert (await names(search, "DEPLOY-prod"))[0] == "deploy-prod"
    assert (await names(search, " report_v2.final "))[0] == "report_v2.final"


@pytest.mark.usefixtures("stored")
async def test_all_words_must_be_there_and_may_go_on(search: CommandSearch) -> None:
    for query, found in (
        ("rep", ["report_v2.final"]),
        ("final report", ["report_v2.final"]),
        ("invoices", ["report_v2.final"]),
        ("sales.inv", ["report_v2.final"]),
        ("größe", ["in-tags"]),
        ("gro\u0308ße", ["in-tags"]),
        ("report deploy", []),
        ("eploy", []),
        ("\ud800", []),
        ("a\0b", []),
    ):
        assert await names(search, query) == found, query


OPERATORS = (
        '"%_*', "*", "deploy*", "-deploy", "deploy OR", "NOT deploy", "NEAR(deploy)", "(deploy",
        "name:deploy", "^deploy", "{deploy}", "deploy & | ! <->", "'deploy'", '"deploy', "a:*b",
        "\\", "%", "_", "'; DROP TABLE commands; --", "x" * 200, "a " * 100, "🎉", ":*",
)  # fmt: skip
PLAINLY_DEPLOY = {"deploy*", "-deploy", "'deploy'", '"deploy', "(deploy", "^deploy", "{deploy}"}


@pytest.mark.usefixtures("stored")
async def test_operators_are_plain_text(search: CommandSearch) -> None:
    for query in OPERATORS:
        found = await names(search, query)
        assert len(found) <= 8
        assert query not in PLAINLY_DEPLOY or found[0] == "deploy", query


async def test_what_has_no_words_is_looked_for_letter_by_letter(
    search: CommandSearch, commands: CommandStore
) -> None:
    await commands.add(a_command("odd", code='echo "%_*"'))
    await commands.add(a_command('"%_* too', code="true"))
    await commands.add(a_command("tagged", tags=('"%_*', "🎉"), code="true"))
    await commands.add(a_command("other", code='echo "%a_b*"'))
    assert await names(search, '"%_*') == ['"%_* too', "tagged", "odd"]
    assert await names(search, "🎉") == ["tagged"]
    assert await names(search, "%_%_%") == []


@pytest.mark.usefixtures("stored")
async def test_a_search_is_filtered(search: CommandSearch) -> None:
    assert await names(search, "deploy", CommandFilter(active=False)) == ["off"]
    assert await names(search, "deploy", CommandFilter(language=Language.LUA)) == ["off"]
    assert await names(search, "deploy", CommandFilter(group="deploy")) == ["in-group"]
    assert await names(search, "deploy", CommandFilter(tags=["größe"])) == ["in-tags"]
    assert await names(search, "deploy", CommandFilter(group="\0")) == []
    assert len(await search.text("deploy", ALL, 3)) == 3


async def test_what_has_changed_is_found_as_it_is(
    search: CommandSearch, commands: CommandStore, database: Database
) -> None:
    command = a_command("one", code="apples")
    await commands.add(command)
    before = await search.changes()
    await write(database, "UPDATE commands SET code = 'pears' WHERE name = 'one'")
    assert await search.changes() > before
    assert (await names(search, "apples"), await names(search, "pears")) == ([], ["one"])
    await write(database, "UPDATE commands SET tags = 'no json' WHERE name = 'one'")
    await write(database, "UPDATE commands SET tags = '[\"back\"]' WHERE name = 'one'")
    assert await names(search, "back") == ["one"]
    await commands.delete(command.id)
    assert await names(search, "pears") == []


async def test_an_execution_is_no_change(search: CommandSearch, commands: CommandStore) -> None:
    command = a_command("one")
    await commands.add(command)
    before = await search.changes()
    await commands.count_execution(command.id, 1.0)
    assert await search.changes() == before


async def test_a_very_long_code_is_stored_and_found_by_its_beginning(
    search: CommandSearch, commands: CommandStore
) -> None:
    words = " ".join(f"word{n:x}" for n in range(300_000))
    await commands.add(a_command("long", code=f"first {words} last {'x' * 5000}"))
    assert await names(search, "first") == ["long"]
    assert await names(search, "last") == []


async def test_a_filter_finds_among_many_what_few_have(
    search: CommandSearch, commands: CommandStore
) -> None:
    """More have the word than are ranked, and what the filter wants is among the oldest."""
    many = [a_command(f"c{n:04d}", description="common", code="true") for n in range(MANY + 50)]
    many[3] = a_command("rare", description="common", tags=("rare",))
    await commands.write(many, [], author="", note="")
    assert await names(search, "common", CommandFilter(tags=["rare"])) == ["rare"]
    assert len(await search.text("common", ALL, 10)) == 10
    assert len(await search.text("common", ALL, MANY + 100)) == MANY + 50


async def test_tags_are_counted(search: CommandSearch, commands: CommandStore) -> None:
    for number, tags in enumerate([("b", "a", "b"), ("ü", "a"), ()]):
        await commands.add(a_command(f"c{number}", tags=tags))
    assert await search.tags() == [("a", 2), ("b", 1), ("ü", 1)]


async def test_names_are_told(search: CommandSearch, commands: CommandStore) -> None:
    await commands.add(a_command("on"))
    await commands.add(a_command("off", is_active=False))
    assert sorted(await search.names()) == ["off", "on"]
    assert list(await search.only(["on", "off", "x"], CommandFilter(active=True))) == ["on"]


async def test_both_databases_answer_from_their_index(database: Database) -> None:
    """A plan that reads every command is not one of a search."""
    async with database.read() as connection:
        if database.is_sqlite:
            plan = await connection.execute(
                text(
                    "EXPLAIN QUERY PLAN SELECT rowid FROM command_words"
                    " WHERE command_words MATCH 'x'"
                )
            )
        else:
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
            plan = await connection.execute(
                text(
                    "EXPLAIN SELECT 1 FROM command_index WHERE words @@ to_tsquery('simple', 'x:*')"
                )
            )
        told = " ".join(str(row) for row in plan)
    assert "VIRTUAL TABLE INDEX" in told or "ix_command_index_words" in told
