"""`/api/v1/commands/{name}/…`: versions, differences, roll-back, statistics, likeness."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from fastapi_app.dependencies.parameters import Cursor, Limit, Since
from fastapi_app.dependencies.services import Commands, Histories, Search
from fastapi_app.routers.commands import answer
from fastapi_app.routing import Router
from fastapi_app.schemas.command_answers import (
    DiffAnswer,
    RollbackRequest,
    SimilarAnswer,
    SimilarCommand,
    StatsAnswer,
    VersionAnswer,
    VersionList,
    VersionSummary,
    diff_answer,
    version_answer,
)
from fastapi_app.schemas.commands import CommandAnswer
from fastapi_app.schemas.problems import documented
from fastapi_app.security import requires

router = Router(prefix="/api/v1/commands/{name}", tags=["commands"])

LARGEST = 2**31 - 1


@router.get(
    "/versions",
    dependencies=[requires("commands:read")],
    response_model=VersionList,
    responses=documented(404, 422, 503),
)
async def versions(
    name: str, histories: Histories, limit: Limit = 50, cursor: Cursor = None
) -> VersionList:
    """What a command was, the newest first."""
    page = await histories.versions(name, cursor, limit)
    items = [VersionSummary.of(version) for version in page.items]
    return VersionList(items=items, next_cursor=page.next_cursor)


@router.get(
    "/versions/{version}",
    dependencies=[requires("commands:read")],
    response_model=VersionAnswer,
    responses=documented(404, 422, 503),
)
async def version(
    name: str, version: Annotated[int, Path(ge=1, le=LARGEST)], histories: Histories
) -> VersionAnswer:
    """One version with its code."""
    return version_answer(await histories.version(name, version))


@router.get(
    "/diff",
    dependencies=[requires("commands:read")],
    response_model=DiffAnswer,
    responses=documented(404, 422, 503),
)
async def diff(
    name: str,
    histories: Histories,
    old: Annotated[
        int | None, Query(alias="from", ge=1, le=LARGEST, description="The one before `to` without")
    ] = None,
    new: Annotated[
        int | None, Query(alias="to", ge=1, le=LARGEST, description="The latest without")
    ] = None,
) -> DiffAnswer:
    """What changed from one version to another."""
    found = await histories.diff(name, old, new)
    return diff_answer(found.old, found.new, found.fields, found.text)


@router.post(
    "/rollback",
    dependencies=[requires("commands:write")],
    response_model=CommandAnswer,
    responses=documented(400, 404, 409, 413, 422, 503),
)
async def roll_back(
    name: str, body: RollbackRequest, histories: Histories, commands: Commands
) -> CommandAnswer:
    """Make an old version the newest one; those in between stay in the history."""
    return await answer(commands, await histories.roll_back(name, body.version))


@router.get(
    "/stats",
    dependencies=[requires("commands:read")],
    response_model=StatsAnswer,
    responses=documented(404, 422, 503),
)
async def stats(name: str, histories: Histories, since: Since = None) -> StatsAnswer:
    """How its runs went."""
    return StatsAnswer.of(await histories.stats(name, since))


@router.get(
    "/similar",
    dependencies=[requires("commands:read")],
    response_model=SimilarAnswer,
    responses=documented(404, 422, 503),
)
async def similar(
    name: str, searching: Search, limit: Annotated[int, Query(ge=1, le=100)] = 10
) -> SimilarAnswer:
    """Other commands that say much the same."""
    found = await searching.similar(name, limit)
    return SimilarAnswer(items=[SimilarCommand.of(*each) for each in found])
