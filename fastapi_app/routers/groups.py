"""`/api/v1/groups`: runs that share slots, and can be paused together."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from fastapi_app.dependencies.services import Groups
from fastapi_app.routing import Router
from fastapi_app.schemas.fields import GroupName
from fastapi_app.schemas.groups import GroupAnswer, GroupList, GroupRequest
from fastapi_app.schemas.problems import documented
from fastapi_app.security import requires
from fastapi_app.services.groups import GroupState

router = Router(prefix="/api/v1/groups", tags=["groups"])

NewName = Annotated[GroupName, Path()]


@router.get(
    "", dependencies=[requires("groups:read")], response_model=GroupList, responses=documented(503)
)
async def list_groups(groups: Groups) -> GroupList:
    """Every group, by name."""
    return GroupList(items=[_answer(state) for state in groups.all()])


@router.put(
    "/{name}",
    dependencies=[requires("groups:write")],
    response_model=GroupAnswer,
    responses=documented(400, 404, 413, 422, 503),
)
async def put(name: NewName, body: GroupRequest, groups: Groups) -> GroupAnswer:
    """Make a group, or change how many of its runs may run at once."""
    return _answer(await groups.put(name, body.slots))


@router.delete(
    "/{name}",
    dependencies=[requires("groups:write")],
    status_code=204,
    responses=documented(404, 409, 503),
)
async def delete(name: str, groups: Groups) -> None:
    """Forget a group that no run goes on in."""
    await groups.delete(name)


@router.post(
    "/{name}/pause",
    dependencies=[requires("groups:write")],
    response_model=GroupAnswer,
    responses=documented(404, 503),
)
async def pause(name: str, groups: Groups) -> GroupAnswer:
    """Let no run of a group start any more; what runs goes on."""
    return _answer(await groups.pause(name))


@router.post(
    "/{name}/resume",
    dependencies=[requires("groups:write")],
    response_model=GroupAnswer,
    responses=documented(404, 503),
)
async def resume(name: str, groups: Groups) -> GroupAnswer:
    """Let the runs of a group start again."""
    return _answer(await groups.resume(name))


def _answer(state: GroupState) -> GroupAnswer:
    group = state.group
    return GroupAnswer(
        name=group.name,
        slots=group.slots,
        paused=group.paused,
        running=state.running,
        queued=state.queued,
    )
