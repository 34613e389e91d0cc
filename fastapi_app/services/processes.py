"""Managed processes: each start is a run, and the process's state is that of its latest run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from fastapi_app.engine.embedded import EmbeddedEngine
from fastapi_app.engine.identity import is_alive
from fastapi_app.engine.logs import LogFiles
from fastapi_app.errors import ProcessNotFoundError, ProcessRunningError
from fastapi_app.models import Process, ProcessUsage, Run, RunKind, Stream
from fastapi_app.services.ids import new_id
from fastapi_app.storage.processes import ProcessStore
from fastapi_app.storage.runs import RunStore

KILLED = "killed"
"""The `reason` of a run that was asked to be killed rather than stopped."""
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ManagedProcess:
    """A process and the run it was last started as."""

    process: Process
    run: Run | None

    @property
    def running(self) -> bool:
        return self.run is not None and not self.run.status.final


class ProcessService:
    """Everything that can be done with managed processes."""

    def __init__(
        self,
        *,
        engine: EmbeddedEngine,
        processes: ProcessStore,
        runs: RunStore,
        logs: LogFiles,
    ) -> None:
        self._engine = engine
        self._processes = processes
        self._runs = runs
        self._logs = logs
        self._starting: dict[str, asyncio.Lock] = {}

    async def create(
        self,
        name: str,
        command: str,
        args: Sequence[str] = (),
        *,
        working_dir: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """Describe a process; nothing is started. With `args` no shell is involved."""
        process = Process(
            id=new_id(),
            name=name,
            command=command,
            created_at=time.time(),
            args=tuple(args),
            working_dir=working_dir,
            environment=environment or {},
        )
        await self._processes.add(process)
        return process

    async def get(self, process_id: str) -> ManagedProcess:
        """A process with its latest run.

        Raises:
            ProcessNotFoundError: there is none with that id.
        """
        process = await self._processes.get(process_id)
        if process is None:
            raise ProcessNotFoundError(process_id)
        run = await self._runs.get(process.run_id) if process.run_id else None
        return ManagedProcess(process, run)

    async def all(self) -> list[ManagedProcess]:
        """Every process with its latest run, oldest first."""
        processes = await self._processes.all()
        runs = await self._runs.by_id([p.run_id for p in processes if p.run_id])
        return [ManagedProcess(p, runs.get(p.run_id or "")) for p in processes]

    def usage(self, managed: ManagedProcess) -> ProcessUsage | None:
        """What a running process costs, on average since its start; `None` when it is over."""
        run = managed.run
        if run is None or not is_alive(run.pid, run.pid_started, run.boot_id):
            return None
        try:
            process = psutil.Process(run.pid)
            with process.oneshot():
                times, memory = process.cpu_times(), process.memory_info()
        except psutil.Error:
            return None
        elapsed = max(time.time() - (run.started_at or 0), 0.001)
        return ProcessUsage(100 * (times.user + times.system) / elapsed, memory.rss / MIB)

    async def start(self, process_id: str) -> Run:
        """Start a process, unless it runs already; returns its run.

        Raises:
            ProcessNotFoundError: there is none with that id.
        """
        # Two starts at once must not make two runs.
        lock = self._starting.setdefault(process_id, asyncio.Lock())
        try:
            async with lock:
                managed = await self.get(process_id)
                if managed.run is not None and managed.running:
                    return managed.run
                run = await self._engine.submit(_run_of(managed.process))
                await self._processes.set_run(process_id, run.id)
                return await self._engine.until_started(run)
        finally:
            if not lock.locked():
                self._starting.pop(process_id, None)

    async def wait(self, run: Run) -> Run:
        """The run once it is over."""
        await self._engine.over(run).wait()
        return await self._runs.get(run.id) or run

    async def stop(self, process_id: str, *, kill: bool = False) -> None:
        """Stop a process; nothing happens when it does not run.

        Raises:
            ProcessNotFoundError: there is none with that id.
        """
        managed = await self.get(process_id)
        if managed.run is not None and managed.running:
            order = self._engine.stop_order(kill=kill)
            await self._engine.stop(managed.run, order, reason=KILLED if kill else None)

    async def remove(self, process_id: str, *, force: bool = False) -> None:
        """Forget a process; its runs and their logs stay.

        Raises:
            ProcessNotFoundError: there is none with that id.
            ProcessRunningError: it runs, and `force` is not given.
        """
        managed = await self.get(process_id)
        if managed.running:
            if not force:
                raise ProcessRunningError(process_id)
            await self.stop(process_id, kill=True)
        await self._processes.delete(process_id)

    def log_tail(self, managed: ManagedProcess, stream: Stream, lines: int) -> str:
        """The last `lines` lines one stream of the latest run has."""
        return self._logs.tail_lines(managed.run.id, stream, lines) if managed.run else ""


def _run_of(process: Process) -> Run:
    return Run(
        id=new_id(),
        kind=RunKind.PROCESS,
        name=process.name,
        command=process.command,
        process_id=process.id,
        created_at=time.time(),
        args=process.args,
        env=process.environment,
        cwd=process.working_dir,
    )
