"""`/api/v1/commands`: stored scripts."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import Query, Response

from fastapi_app.dependencies.parameters import Cursor, Limit
from fastapi_app.dependencies.services import Commands
from fastapi_app.models import Language
from fastapi_app.routing import Router
from fastapi_app.schemas.commands import (
    CommandAnswer,
    CommandChanges,
    CommandList,
    CommandRequest,
    CommandSummary,
)
from fastapi_app.schemas.problems import documented
from fastapi_app.security import requires

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
    command = await commands.create(**dict(body))
    response.headers["Location"] = f"/api/v1/commands/{quote(command.name)}"
    return CommandAnswer.of(command)


@router.get(
    "/list",
    dependencies=[requires("commands:read")],
    response_model=CommandList,
    responses=documented(422, 503),
)
async def list_commands(
    commands: Commands,
    include_inactive: Annotated[bool, Query(alias="all")] = False,
    language: Annotated[Language | None, Query()] = None,
    group: Annotated[str | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> CommandList:
    """Commands by name; inactive ones only with `all`."""
    page = await commands.page(
        include_inactive=include_inactive,
        language=language,
        group=group,
        cursor=cursor,
        limit=limit,
    )
    items = [CommandSummary.of(command) for command in page.items]
    return CommandList(items=items, next_cursor=page.next_cursor)


@router.get(
    "/{name}",
    dependencies=[requires("commands:read")],
    response_model=CommandAnswer,
    responses=documented(404, 503),
)
async def show(name: str, commands: Commands) -> CommandAnswer:
    """One command with its code."""
    return CommandAnswer.of(await commands.get(name))


@router.put(
    "/{name}",
    dependencies=[requires("commands:write")],
    response_model=CommandAnswer,
    responses=documented(400, 404, 409, 413, 422, 503),
)
async def change(name: str, body: CommandChanges, commands: Commands) -> CommandAnswer:
    """Change some fields of a command."""
    return CommandAnswer.of(await commands.update(name, body.given()))


@router.delete(
    "/{name}",
    dependencies=[requires("commands:write")],
    status_code=204,
    responses=documented(404, 503),
)
async def delete(name: str, commands: Commands) -> None:
    """Forget a command; its runs stay."""
    await commands.delete(name)
