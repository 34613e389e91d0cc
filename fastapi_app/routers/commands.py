"""`/api/v1/commands`: stored scripts. History and statistics: command_history."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import Query, Response

from fastapi_app.dependencies.parameters import Cursor, Limit, WantedCommands
from fastapi_app.dependencies.services import Bundles, Commands, Search
from fastapi_app.models import Command
from fastapi_app.routing import Router
from fastapi_app.schemas.command_answers import (
    ExportAnswer,
    ExportedCommand,
    FoundAnswer,
    ImportAnswer,
    ImportedItem,
    ImportRequest,
    SearchAnswer,
    TagCount,
    TagList,
)
from fastapi_app.schemas.commands import (
    CommandAnswer,
    CommandChanges,
    CommandList,
    CommandRequest,
    CommandSummary,
)
from fastapi_app.schemas.problems import documented
from fastapi_app.security import requires
from fastapi_app.services.command_search import SearchMode
from fastapi_app.services.commands import CommandService

router = Router(prefix="/api/v1/commands", tags=["commands"])


@router.post(
    "/create",
    dependencies=[requires("commands:write")],
    status_code=201,
    response_model=CommandAnswer,
    responses=documented(400, 409, 413, 422, 503),
)
async def create(body: CommandRequest, response: Response, commands: Commands) -> CommandAnswer:
    """Store a script under a name."""
    command = await commands.create(**body.fields())
    response.headers["Location"] = f"/api/v1/commands/{quote(command.name)}"
    return await answer(commands, command)


@router.get(
    "/list",
    dependencies=[requires("commands:read")],
    response_model=CommandList,
    responses=documented(422, 503),
)
async def list_commands(
    commands: Commands, wanted: WantedCommands, limit: Limit = 50, cursor: Cursor = None
) -> CommandList:
    """Commands by name; inactive ones only when they are asked for."""
    page = await commands.page(wanted, cursor=cursor, limit=limit, whole=False)
    items = [CommandSummary.of(command) for command in page.items]
    return CommandList(items=items, next_cursor=page.next_cursor)


@router.get(
    "/search",
    dependencies=[requires("commands:read")],
    response_model=SearchAnswer,
    responses=documented(422, 503),
)
async def search(
    searching: Search,
    wanted: WantedCommands,
    q: Annotated[
        str,
        Query(
            max_length=200,
            pattern=r"\S",
            description="Words, or how they begin; plain text, there are no operators",
            examples=["deploy"],
        ),
    ],
    mode: SearchMode = SearchMode.AUTO,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> SearchAnswer:
    """Commands that have all these words, the best first; else those with a name like that."""
    found = await searching.search(q, wanted, mode, limit)
    return SearchAnswer(items=[FoundAnswer.of(each) for each in found])


@router.get(
    "/tags",
    dependencies=[requires("commands:read")],
    response_model=TagList,
    responses=documented(503),
)
async def tags(searching: Search) -> TagList:
    """Every tag there is."""
    found = await searching.tags()
    return TagList(items=[TagCount(tag=tag, commands=count) for tag, count in found])


@router.post(
    "/import",
    dependencies=[requires("commands:write")],
    response_model=ImportAnswer,
    responses=documented(400, 409, 413, 422, 503),
)
async def import_commands(
    body: ImportRequest,
    bundles: Bundles,
    update: Annotated[
        bool, Query(description="Overwrite commands that say something else")
    ] = False,
    dry_run: Annotated[bool, Query(description="Only tell what would become of each")] = False,
) -> ImportAnswer:
    """Store commands, all or none."""
    items = [item.given() for item in body.items]
    done = await bundles.load(items, update=update, dry_run=dry_run)
    told = [ImportedItem.model_validate(item, from_attributes=True) for item in done]
    return ImportAnswer(dry_run=dry_run, items=told)


@router.get(
    "/export",
    dependencies=[requires("commands:read")],
    response_model=ExportAnswer,
    responses=documented(422, 503),
)
async def export(
    commands: Commands, wanted: WantedCommands, limit: Limit = 50, cursor: Cursor = None
) -> ExportAnswer:
    """Commands by name, with all that an import needs."""
    page = await commands.page(wanted, cursor=cursor, limit=limit)
    items = [ExportedCommand.of(command) for command in page.items]
    return ExportAnswer(items=items, next_cursor=page.next_cursor)


@router.get(
    "/{name}",
    dependencies=[requires("commands:read")],
    response_model=CommandAnswer,
    responses=documented(404, 503),
)
async def show(name: str, commands: Commands) -> CommandAnswer:
    """One command with its code, by its name or its id."""
    return await answer(commands, await commands.find(name))


@router.put(
    "/{name}",
    dependencies=[requires("commands:write")],
    response_model=CommandAnswer,
    responses=documented(400, 404, 409, 413, 422, 503),
)
async def change(name: str, body: CommandChanges, commands: Commands) -> CommandAnswer:
    """Change some fields of a command; what it was stays in its history."""
    return await answer(commands, await commands.update(name, body.given()))


@router.delete(
    "/{name}",
    dependencies=[requires("commands:write")],
    status_code=204,
    responses=documented(404, 503),
)
async def delete(name: str, commands: Commands) -> None:
    """Forget a command and its history; its runs stay."""
    await commands.delete(name)


async def answer(commands: CommandService, command: Command) -> CommandAnswer:
    """A command with all there is to say of it."""
    found = await commands.described(command)
    return CommandAnswer.described(
        found.command, version=found.version, declared=found.declared, namesake=found.namesake
    )
