"""Groups of runs: how many of each may run at once, and whether any may start."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fastapi_app.engine.embedded import EmbeddedEngine
from fastapi_app.errors import GroupInUseError, GroupNotFoundError
from fastapi_app.models import ACTIVE, DEFAULT_GROUP, Group, RunFilter
from fastapi_app.storage.groups import GroupStore
from fastapi_app.storage.runs import RunStore


@dataclass(frozen=True, slots=True)
class GroupState:
    """A group, how many of its runs hold a slot, and how many wait for one."""

    group: Group
    running: int
    queued: int


class GroupService:
    """Everything that can be done with groups."""

    def __init__(self, *, engine: EmbeddedEngine, groups: GroupStore, runs: RunStore) -> None:
        self._engine = engine
        self._groups = groups
        self._runs = runs

    def all(self) -> list[GroupState]:
        """Every group, by name."""
        return [self._state(group) for group in self._engine.queue.groups()]

    async def put(self, name: str, slots: int | None) -> GroupState:
        """Make a group, or change how many of its runs may run at once (`None`: any number)."""
        known = self._engine.queue.group(name) or Group(name)
        return await self._change(replace(known, slots=slots))

    async def pause(self, name: str) -> GroupState:
        """Let no run of a group start any more; what runs goes on.

        Raises:
            GroupNotFoundError: there is none of that name.
        """
        return await self._change(replace(self._known(name), paused=True))

    async def resume(self, name: str) -> GroupState:
        """Let the runs of a group start again.

        Raises:
            GroupNotFoundError: there is none of that name.
        """
        return await self._change(replace(self._known(name), paused=False))

    async def delete(self, name: str) -> None:
        """Forget a group.

        Raises:
            GroupNotFoundError: there is none of that name.
            GroupInUseError: runs of it go on, or it is the default group.
        """
        self._known(name)
        if name == DEFAULT_GROUP:
            raise GroupInUseError("The default group stays: every run without a group is in it.")
        if await self._runs.ids(RunFilter(statuses=ACTIVE, group=name)):
            raise GroupInUseError(f"Runs of the group {name!r} are not over; stop them first.")
        await self._groups.delete(name)
        self._engine.queue.drop_group(name)

    async def _change(self, group: Group) -> GroupState:
        await self._groups.put(group)
        self._engine.change_group(group)
        return self._state(group)

    def _known(self, name: str) -> Group:
        group = self._engine.queue.group(name)
        if group is None:
            raise GroupNotFoundError(name)
        return group

    def _state(self, group: Group) -> GroupState:
        return GroupState(group, *self._engine.queue.counts(group.name))
