"""Runs: execute and wait, accept for later, look up, follow, stop."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from signal import Signals

from fastapi_app.engine.embedded import EmbeddedEngine
from fastapi_app.engine.launch import Scripts
from fastapi_app.engine.logs import LogFiles
from fastapi_app.errors import (
    CommandInactiveError,
    CommandNotFoundError,
    DaemonStoppedError,
    InvalidRunError,
    RunNotFoundError,
)
from fastapi_app.models import Command, LogPiece, Page, Run, RunKind, RunStatus, Stream
from fastapi_app.services import cursors
from fastapi_app.services.ids import new_id
from fastapi_app.storage.commands import CommandStore
from fastapi_app.storage.runs import RunStore
from fastapi_app.storage.state import StateStore


@dataclass(frozen=True, slots=True)
class Output:
    """The head of what a run printed, as bytes; `truncated` when there is more in the files."""

    stdout: bytes
    stderr: bytes
    truncated: bool


class WorkflowService:
    """Everything that can be done with runs. Time-outs are seconds."""

    def __init__(
        self,
        *,
        engine: EmbeddedEngine,
        runs: RunStore,
        commands: CommandStore,
        state: StateStore,
        logs: LogFiles,
        scripts: Scripts,
        default_timeout: int,
    ) -> None:
        self._engine = engine
        self._runs = runs
        self._commands = commands
        self._state = state
        self._logs = logs
        self._scripts = scripts
        self.default_timeout = default_timeout

    async def execute(
        self,
        command: str,
        *,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        on_start: Callable[[Run], None] | None = None,
    ) -> Run:
        """Run shell text with `/bin/sh -c` and wait for its end; cancelling ends the command.

        Raises:
            DaemonStoppedError: the daemon takes no work.
            InvalidRunError: `cwd` is no folder.
        """
        await self._require_daemon()
        run = Run(
            id=new_id(),
            kind=RunKind.EXECUTE,
            command=command,
            created_at=time.time(),
            timeout=timeout or self.default_timeout,
            env=env or {},
            cwd=_folder(cwd),
        )
        return await self._engine.attend(run, on_start)

    async def accept(
        self,
        command: str,
        *,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Run:
        """Accept shell text to run in the background; committed when this returns.

        Raises:
            DaemonStoppedError, InvalidRunError: as `execute`.
            QueueFullError: too many runs wait already.
        """
        await self._require_daemon()
        run = Run(
            id=new_id(),
            kind=RunKind.EXECUTE,
            command=command,
            created_at=time.time(),
            timeout=timeout,
            env=env or {},
            cwd=_folder(cwd),
        )
        return await self._engine.submit(run)

    async def execute_stored(
        self, command: Command, args: Sequence[str] = (), *, timeout: float | None = None
    ) -> Run:
        """Run a stored command in its own temporary folder and wait for its end.

        Raises:
            DaemonStoppedError: the daemon takes no work.
            CommandInactiveError: the command is not active.
        """
        await self._require_daemon()
        run = self._stored_run(RunKind.EXECUTE, command, args, {}, timeout or self.default_timeout)
        self._scripts.write(run.id, command.language, command.code)
        await self._commands.count_execution(command.id, run.created_at)
        return await self._engine.attend(run)

    async def start(
        self,
        name: str,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        *,
        timeout: float | None = None,
    ) -> Run:
        """Accept a stored command as a background workflow; committed when this returns.

        Raises:
            CommandNotFoundError: there is none of that name.
            CommandInactiveError, DaemonStoppedError, QueueFullError: it cannot run now.
        """
        await self._require_daemon()
        command = await self._commands.by_name(name)
        if command is None:
            raise CommandNotFoundError(name)
        run = self._stored_run(RunKind.WORKFLOW, command, args, env or {}, timeout)
        self._scripts.write(run.id, command.language, command.code)
        try:
            accepted = await self._engine.submit(run)
        except BaseException:
            self._scripts.remove(run.id)
            raise
        await self._commands.count_execution(command.id, run.created_at)
        return accepted

    async def until_started(self, run: Run) -> Run:
        """An accepted run once its child runs, or as it stands when no slot comes free."""
        return await self._engine.until_started(run)

    async def get(self, run_id: str) -> Run:
        """One run.

        Raises:
            RunNotFoundError: there is none with that id.
        """
        run = await self._runs.get(run_id)
        if run is None:
            raise RunNotFoundError(run_id)
        return run

    async def page(
        self,
        *,
        kinds: Sequence[RunKind] = (RunKind.EXECUTE, RunKind.WORKFLOW),
        statuses: Sequence[RunStatus] = (),
        name: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Run]:
        """Runs, newest first.

        Raises:
            InvalidCursorError: the cursor is not one of ours.
        """
        before = cursors.decode_run(cursor) if cursor else None
        found = await self._runs.page(
            kinds=kinds, statuses=statuses, name=name, before=before, limit=limit + 1
        )
        items = found[:limit]
        more = len(found) > limit
        return Page(items, cursors.encode(items[-1].created_at, items[-1].id) if more else None)

    async def stop(self, run_id: str) -> tuple[Run, Signals | None]:
        """Stop a run and return it once it is over, with the signal that ended it (if any).

        Raises:
            RunNotFoundError: there is none with that id.
        """
        return await self._engine.stop(await self.get(run_id))

    async def stop_workflow(self, run_id: str) -> Run:
        """Stop a background workflow by id.

        Raises:
            RunNotFoundError: no workflow has that id.
        """
        run = await self.get(run_id)
        if run.kind is not RunKind.WORKFLOW:
            raise RunNotFoundError(run_id)
        stopped, _ = await self._engine.stop(run)
        return stopped

    async def stop_named(self, name: str) -> Run:
        """Stop the workflow of that name started last, or say how the last one ended.

        Raises:
            RunNotFoundError: none was ever started.
        """
        run = await self._runs.latest_named(name, RunKind.WORKFLOW)
        if run is None:
            raise RunNotFoundError(name)
        stopped, _ = await self._engine.stop(run)
        return stopped

    def output(self, run: Run, limit: int) -> Output:
        """At most `limit` bytes of each stream."""
        return Output(
            stdout=self._logs.head(run.id, Stream.STDOUT, limit) if run.stdout_bytes else b"",
            stderr=self._logs.head(run.id, Stream.STDERR, limit) if run.stderr_bytes else b"",
            truncated=max(run.stdout_bytes, run.stderr_bytes) > limit,
        )

    def output_pieces(self, run: Run, stream: Stream) -> Iterator[str]:
        """The whole of one stream of an ended run, in bounded pieces."""
        return (piece.text for piece in self._logs.pieces(run.id, stream, final=True))

    async def follow(
        self,
        run: Run,
        *,
        offsets: Mapping[Stream, int] | None = None,
        streams: Collection[Stream] = (Stream.STDOUT, Stream.STDERR),
        live: bool = True,
    ) -> AsyncIterator[LogPiece]:
        """What a run has printed and, when `live`, what it prints until it is over.

        `offsets` are bytes to skip in each stream.
        """
        if live:
            async for piece in self._logs.follow(
                run.id, offsets or {}, streams, self._engine.over(run)
            ):
                yield piece
            return
        for stream in streams:
            start = (offsets or {}).get(stream, 0)
            for piece in self._logs.pieces(run.id, stream, start, final=run.status.final):
                yield piece

    def _stored_run(
        self,
        kind: RunKind,
        command: Command,
        args: Sequence[str],
        env: Mapping[str, str],
        timeout: float | None,
    ) -> Run:
        if not command.is_active:
            raise CommandInactiveError(command.name)
        return Run(
            id=new_id(),
            kind=kind,
            name=command.name,
            command=shlex.join([command.name, *args]),
            command_id=command.id,
            created_at=time.time(),
            args=tuple(args),
            env=env,
            timeout=timeout,
        )

    async def _require_daemon(self) -> None:
        if not await self._state.daemon_running():
            raise DaemonStoppedError


def _folder(cwd: str | None) -> str | None:
    # os.path, because pathlib raises for names that are too long to exist.
    if cwd is not None and not os.path.isdir(cwd):  # noqa: PTH112
        raise InvalidRunError(f"cwd is not a folder: {cwd}")
    return cwd
