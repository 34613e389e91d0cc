"""Starting runs: execute and wait, accept for later, start what is stored, repeat what ended."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from fastapi_app.engine.embedded import EmbeddedEngine
from fastapi_app.engine.launch import Scripts
from fastapi_app.errors import (
    AppError,
    CommandInactiveError,
    CommandNotFoundError,
    DaemonStoppedError,
    InvalidRunError,
    RunActiveError,
    StorageUnavailableError,
)
from fastapi_app.models import DEFAULT_GROUP, DEFAULT_OPTIONS, Command, Run, RunKind, RunRequest
from fastapi_app.services import expansion
from fastapi_app.services.documents import parse
from fastapi_app.services.ids import new_id
from fastapi_app.services.prepared import prepared
from fastapi_app.storage.commands import CommandStore
from fastapi_app.storage.runs import RunStore
from fastapi_app.storage.state import StateStore

AS_IS = RunRequest()
log = logging.getLogger(__name__)


class WorkflowService:
    """Everything that makes a run. Time-outs are seconds."""

    def __init__(
        self,
        *,
        engine: EmbeddedEngine,
        runs: RunStore,
        commands: CommandStore,
        state: StateStore,
        scripts: Scripts,
        default_timeout: int,
    ) -> None:
        self._engine = engine
        self._runs = runs
        self._commands = commands
        self._state = state
        self._scripts = scripts
        self.default_timeout = default_timeout

    async def execute(
        self,
        command: str,
        request: RunRequest = AS_IS,
        on_start: Callable[[Run], None] | None = None,
    ) -> Run:
        """Run shell text with `/bin/sh -c` and wait for its end; cancelling ends the command.

        Raises:
            DaemonStoppedError: the daemon takes no work.
            InvalidRunError: `cwd` is no folder.
            GroupNotFoundError, QueueFullError: it cannot even wait for a slot.
        """
        await self._require_daemon()
        return await self._engine.attend(self.execution_of(command, request), on_start)

    def execution_of(self, command: str, request: RunRequest = AS_IS) -> Run:
        """The run that `execute` would start; nothing is started.

        Raises:
            InvalidRunError: `cwd` is no folder.
        """
        run = _run(RunKind.EXECUTE, command, request)
        return run.but(timeout=request.timeout or self.default_timeout)

    def run_of(
        self, kind: RunKind, command: Command, args: Sequence[str], request: RunRequest = AS_IS
    ) -> Run:
        """The run that `execute_stored` or `start` would start; nothing is started.

        Raises:
            CommandInactiveError: the command is not active.
            InvalidRunError: `cwd` is no folder.
        """
        return _stored_run(kind, command, args, request)

    async def accept(self, command: str, request: RunRequest = AS_IS) -> Run:
        """Accept shell text to run in the background; committed when this returns.

        Raises:
            DaemonStoppedError, GroupNotFoundError, QueueFullError: as `execute`.
            InvalidRunError: `cwd` is no folder, or a run it is to follow is unknown.
        """
        await self._require_daemon()
        await self._require_known(request.options.after)
        run = _run(RunKind.EXECUTE, command, request)
        return await self._engine.submit(run, fenced=request.run_id is not None)

    async def execute_stored(
        self, command: Command, args: Sequence[str] = (), *, timeout: float | None = None
    ) -> Run:
        """Run a stored command in its own temporary folder and wait for its end.

        This is the old contract's way: without the command's defaults and parameters.

        Raises:
            DaemonStoppedError: the daemon takes no work.
            CommandInactiveError: the command is not active.
        """
        await self._require_daemon()
        request = RunRequest(timeout=timeout or self.default_timeout)
        run = self.run_of(RunKind.EXECUTE, command, args, request)
        if command.language.has_steps:
            return await self._execute_document(run, command, args, request)
        return await self._attend_stored(run, command)

    async def execute_named(
        self,
        name: str,
        args: Sequence[str] = (),
        request: RunRequest = AS_IS,
        on_start: Callable[[Run], None] | None = None,
    ) -> Run:
        """Run a stored command, with its defaults and parameters, and wait for its end.

        Raises:
            CommandNotFoundError: there is none of that name.
            CommandInactiveError, DaemonStoppedError, GroupNotFoundError, QueueFullError: it cannot
                run now.
            InvalidRunError: `cwd` is no folder; or it is a document of steps, and `on_start` wants
                the output of one process.
            InvalidParametersError: the values of its parameters are not right.
        """
        await self._require_daemon()
        command = await self._named(name)
        args, request = await prepared(command, args, request)
        request = replace(request, timeout=request.timeout or self.default_timeout)
        run = self.run_of(RunKind.EXECUTE, command, args, request)
        if command.language.has_steps:
            if on_start is not None:
                raise InvalidRunError(f"{name!r} has steps: start it, and follow each of them.")
            return await self._execute_document(run, command, args, request)
        return await self._attend_stored(run, command, on_start)

    async def start(self, name: str, args: Sequence[str] = (), request: RunRequest = AS_IS) -> Run:
        """Accept a stored command as a background workflow; committed when this returns.

        Raises:
            CommandNotFoundError: there is none of that name.
            CommandInactiveError, DaemonStoppedError, GroupNotFoundError, QueueFullError: it cannot
                run now.
            InvalidRunError: `cwd` is no folder, or a run it is to follow is unknown.
            InvalidParametersError: the values of its parameters are not right.
        """
        await self._require_daemon()
        command = await self._named(name)
        await self._require_known(request.options.after)
        args, request = await prepared(command, args, request)
        run = self.run_of(RunKind.WORKFLOW, command, args, request)
        return await self._accept_stored(run, command, args, request)

    async def retry(self, run: Run) -> Run:
        """Accept a new run like one that is over; a stored command runs as it is stored now.

        Raises:
            RunActiveError: it is not over.
            InvalidRunError: it is a step: the whole document can be repeated.
            CommandNotFoundError: its stored command is gone.
            CommandInactiveError, DaemonStoppedError, GroupNotFoundError, QueueFullError: it cannot
                run now.
        """
        if not run.status.final:
            raise RunActiveError(run.id)
        if run.kind is RunKind.STEP:
            raise InvalidRunError(f"It is a step; retry the whole document: {run.parent_id}")
        await self._require_daemon()
        request = _request_of(run)
        if run.command_id is None:
            again = _run(run.kind, run.command, request)
            return await self._engine.submit(again.but(name=run.name, args=run.args))
        command = await self._commands.by_id(run.command_id)
        if command is None:
            raise CommandNotFoundError(run.name)
        again = _stored_run(RunKind.WORKFLOW, command, run.args, request)
        return await self._accept_stored(again, command, run.args, request)

    async def take_over(self, run: Run) -> bool:
        """Start a queued run that a server has left which has ended; false when it had begun.

        A stored command runs as it is stored now: what was written for it is on the other server.

        Raises:
            CommandNotFoundError: its stored command is gone.
            StorageUnavailableError: its script cannot be written.
        """
        if run.command_id is None or run.options.steps:
            return await self._engine.take_over(run, await self._runs.steps(run.id))
        command = await self._commands.by_id(run.command_id)
        if command is None:
            raise CommandNotFoundError(run.name)
        self._write_script(run, command)
        taken = False
        try:
            taken = await self._engine.take_over(run, ())
        finally:
            if not taken:
                self._scripts.remove(run.id)
        return taken

    async def until_started(self, run: Run) -> Run:
        """An accepted run once its child runs, or as it stands when no slot comes free."""
        return await self._engine.until_started(run)

    async def _named(self, name: str) -> Command:
        command = await self._commands.by_name(name)
        if command is None:
            raise CommandNotFoundError(name)
        if not command.is_active:
            raise CommandInactiveError(name)
        return command

    async def _attend_stored(
        self, run: Run, command: Command, on_start: Callable[[Run], None] | None = None
    ) -> Run:
        self._write_script(run, command)
        self._count(command, run)
        try:
            return await self._engine.attend(run, on_start)
        except AppError:
            self._scripts.remove(run.id)  # it was refused: nobody else will
            raise

    async def _accept_stored(
        self, run: Run, command: Command, args: Sequence[str], request: RunRequest
    ) -> Run:
        fenced = request.run_id is not None
        if command.language.has_steps:
            document = parse(command.language, command.code)
            run, steps = expansion.expanded(run, document, args, request)
            accepted = await self._engine.submit_document(run, steps, fenced=fenced)
        else:
            self._write_script(run, command)
            try:
                accepted = await self._engine.submit(run, fenced=fenced)
            except BaseException:
                self._scripts.remove(run.id)
                raise
        self._count(command, run)
        return accepted

    def _write_script(self, run: Run, command: Command) -> None:
        try:
            self._scripts.write(run.id, command.language, command.code)
        except OSError as error:
            self._scripts.remove(run.id)
            cause = f"the work folder cannot be written to: {error.strerror}"
            raise StorageUnavailableError(cause) from error

    def _count(self, command: Command, run: Run) -> None:
        """Count a use, in a moment. An error would make clients ask for the same run once more."""

        def done(counting: asyncio.Future[bool | None]) -> None:
            if not counting.cancelled() and (error := counting.exception()) is not None:
                log.warning("a use of %s was not counted: %s", command.name, error)

        self._commands.count_execution(command.id, run.created_at).add_done_callback(done)

    async def _execute_document(
        self, run: Run, command: Command, args: Sequence[str], request: RunRequest
    ) -> Run:
        accepted = await self._accept_stored(run, command, args, request)
        try:
            await self._engine.over(accepted).wait()
        except asyncio.CancelledError:
            self._engine.abandon(accepted)
            raise
        return await self._runs.get(accepted.id) or accepted

    async def _require_daemon(self) -> None:
        if not await self._state.daemon_running():
            raise DaemonStoppedError

    async def _require_known(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        known = await self._runs.by_id(ids)
        if missing := [run_id for run_id in ids if run_id not in known]:
            raise InvalidRunError(f"after names runs that do not exist: {', '.join(missing)}")


def _run(kind: RunKind, command: str, request: RunRequest) -> Run:
    options = request.options
    if request.secrets:
        options = replace(options, secrets=tuple(request.secrets))
    return Run(
        id=request.run_id or new_id(),
        kind=kind,
        command=command,
        created_at=time.time(),
        env={**request.env, **request.secrets} if request.secrets else request.env,
        cwd=_folder(request.cwd),
        timeout=request.timeout,
        group=request.group or DEFAULT_GROUP,
        options=options,
    )


def _stored_run(kind: RunKind, command: Command, args: Sequence[str], request: RunRequest) -> Run:
    if not command.is_active:
        raise CommandInactiveError(command.name)
    text = shlex.join([command.name, *args])
    return _run(kind, text, request).but(name=command.name, command_id=command.id, args=tuple(args))


def _request_of(run: Run) -> RunRequest:
    """What was asked for when `run` was accepted, less what it waited for."""
    options = replace(run.options, after=(), steps=0, retry_of=run.id, secrets=())
    return RunRequest(
        env={name: value for name, value in run.env.items() if name not in run.options.secrets},
        secrets={name: run.env[name] for name in run.options.secrets},
        cwd=run.cwd,
        timeout=run.timeout,
        group=run.group,
        options=DEFAULT_OPTIONS if options == DEFAULT_OPTIONS else options,
    )


def _folder(cwd: str | None) -> str | None:
    # os.path, because pathlib raises for names that are too long to exist.
    if cwd is not None and not os.path.isdir(cwd):  # noqa: PTH112
        raise InvalidRunError(f"cwd is not a folder: {cwd}")
    return cwd
