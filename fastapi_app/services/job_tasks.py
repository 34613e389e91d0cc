"""What a job does when it is due: a run that is accepted, or work of the server's own."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fastapi_app
from fastapi_app.errors import CommandNotFoundError, FieldProblem, InvalidJobError
from fastapi_app.models import Retry, RunFilter, RunOptions, RunRequest
from fastapi_app.schedules import HTTP_CALL, Job, Slot, TaskKind
from fastapi_app.services.commands import CommandService
from fastapi_app.services.runs import RunService
from fastapi_app.services.timetable import as_utc
from fastapi_app.services.workflows import WorkflowService

_ROOT = str(Path(fastapi_app.__file__).parent.parent)


class JobTasks:
    """Starts what jobs do."""

    def __init__(
        self, *, workflows: WorkflowService, runs: RunService, commands: CommandService
    ) -> None:
        self._workflows = workflows
        self._runs = runs
        self._commands = commands

    async def check(self, kind: TaskKind, task: Mapping[str, Any]) -> None:
        """See that a task can be done as far as that can be told now.

        Raises:
            InvalidJobError: there is no stored command of that name, or it has no steps.
        """
        if kind not in {TaskKind.COMMAND, TaskKind.WORKFLOW}:
            return
        try:
            command = await self._commands.get(task["name"])
        except CommandNotFoundError as error:
            raise InvalidJobError([FieldProblem("/task/name", error.detail)]) from error
        if kind is TaskKind.WORKFLOW and not command.language.has_steps:
            problem = f"{command.name!r} is no document of steps; use the type command"
            raise InvalidJobError([FieldProblem("/task/type", problem)])

    async def fire(self, job: Job, slot: Slot) -> None:
        """Accept the run of a slot, which gets the slot's id.

        Raises:
            AppError: it cannot be accepted.
        """
        task = job.task
        request = _request(task, slot)
        if job.kind is TaskKind.SHELL:
            await self._workflows.accept(task["command"], request)
        elif job.kind is TaskKind.HTTP:
            await self._workflows.accept(*_http_call(task, request))
        else:
            await self._workflows.start(task["name"], task.get("args", ()), request)

    async def clean_up(self, job: Job, now: float) -> str:
        """Forget runs that are older than the task says; says how many."""
        before = now - float(job.task["older_than"])
        wanted = RunFilter(finished_before=before, group=job.task.get("group"))
        cleaned = await self._runs.clean(wanted)
        return f"{cleaned.removed} runs removed, {cleaned.bytes} bytes of output"

    async def take_over(self, slot: Slot) -> bool:
        """Start the run of a slot that another server had accepted; false when it had begun.

        Raises:
            AppError: it cannot be started here.
        """
        return await self._workflows.take_over(await self._runs.get(slot.id))

    async def exists(self, slot: Slot) -> bool:
        """Whether the run of a slot was accepted."""
        return await self._runs.exists(slot.id)


def _request(task: Mapping[str, Any], slot: Slot) -> RunRequest:
    return RunRequest(
        env={
            **task.get("env", {}),
            "MCLI_JOB_ID": slot.job_id,
            "MCLI_SLOT": as_utc(slot.at),
        },
        cwd=task.get("cwd"),
        timeout=task.get("timeout"),
        group=task.get("run_group"),
        options=RunOptions(
            priority=task.get("priority", 0), retry=Retry(**task.get("retries", {}))
        ),
        params=task.get("params", {}),
        run_id=slot.id,
    )


def _http_call(task: Mapping[str, Any], request: RunRequest) -> tuple[str, RunRequest]:
    """The child that asks: its headers may hold secrets, so what to ask is one."""
    asked = {name: task[name] for name in ("method", "url", "headers", "body") if name in task}
    asked["timeout"] = task.get("timeout") or 60.0
    text = f"exec {shlex.quote(sys.executable)} -m fastapi_app.http_call"
    environment = {**request.env, "PYTHONPATH": _ROOT}
    return text, RunRequest(
        env=environment,
        secrets={HTTP_CALL: json.dumps(asked)},
        timeout=asked["timeout"] + 30,
        group=request.group,
        options=request.options,
        run_id=request.run_id,
    )
