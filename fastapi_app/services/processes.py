"""Managed processes: each start is a run, and the process's state is that of its latest run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import psutil

from fastapi_app.engine.embedded import EmbeddedEngine
from fastapi_app.engine.identity import is_alive, own_identity
from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.usage import of_sessions
from fastapi_app.errors import (
    ProcessAmbiguousError,
    ProcessNotFoundError,
    ProcessRunningError,
    RunNotFoundError,
)
from fastapi_app.models import Page, Process, ProcessUsage, Run, RunStatus, Stream
from fastapi_app.services import cursors
from fastapi_app.services.audit import AuditService
from fastapi_app.services.ids import new_id
from fastapi_app.services.supervisor import Supervisor
from fastapi_app.storage.managed import ManagedStore
from fastapi_app.storage.processes import ProcessStore
from fastapi_app.storage.runs import RunStore
from fastapi_app.storage.supervision import OvertakenError, SupervisionStore
from fastapi_app.supervision import (
    Ending,
    ManagedProcess,
    Plan,
    ProcessState,
    Supervision,
    Usage,
)

KILLED = "killed"
"""The `reason` of a run that was asked to be killed rather than stopped."""
MIB = 1024 * 1024
LOOK = 0.02
"""Seconds between two looks at what another task, or server, is about to do."""
DECIDED_WITHIN = 10.0
"""Seconds whoever looks after a process gets to decide what follows the end of its run."""


class ProcessService:
    """Everything that can be done with managed processes."""

    def __init__(
        self,
        *,
        engine: EmbeddedEngine,
        supervisor: Supervisor,
        processes: ProcessStore,
        managed: ManagedStore,
        supervision: SupervisionStore,
        runs: RunStore,
        logs: LogFiles,
        audit: AuditService,
    ) -> None:
        self._engine = engine
        self._supervisor = supervisor
        self._processes = processes
        self._managed = managed
        self._supervision = supervision
        self._runs = runs
        self._logs = logs
        self._audit = audit

    async def create(
        self,
        name: str,
        command: str,
        args: Sequence[str] = (),
        *,
        working_dir: str | None = None,
        environment: Mapping[str, str] | None = None,
        plan: Plan | None = None,
    ) -> Process:
        """Describe a process; nothing is started. With `args` no shell is involved.

        With a `plan` it is looked after, and no other of those may have its name.

        Raises:
            ProcessExistsError: one has.
        """
        process = Process(
            id=new_id(),
            name=name,
            command=command,
            created_at=time.time(),
            args=tuple(args),
            working_dir=working_dir,
            environment=environment or {},
        )
        if plan is None:
            await self._processes.add(process)
        else:
            known = Supervision(process.id, plan, owner=own_identity())
            await self._supervision.add(process, known)
            await self._audit.record("process.create", name)
        self._supervisor.on_change(process.id)
        return process

    async def find(self, name: str) -> ManagedProcess:
        """A process by its id or its name.

        Raises:
            ProcessNotFoundError: there is none.
            ProcessAmbiguousError: there are several of that name.
        """
        try:
            return await self.get(name)
        except ProcessNotFoundError:
            ids = await self._supervision.named(name)
        if not ids:
            raise ProcessNotFoundError(name)
        if len(ids) > 1:
            raise ProcessAmbiguousError(name, ids)
        return await self.get(ids[0])

    async def get(self, process_id: str) -> ManagedProcess:
        """A process with its latest run.

        Raises:
            ProcessNotFoundError: there is none with that id.
        """
        managed = await self._managed.get(process_id)
        if managed is None:
            raise ProcessNotFoundError(process_id)
        return managed

    async def all(self) -> list[ManagedProcess]:
        """Every process with its latest run, oldest first."""
        return await self._managed.all()

    async def page(
        self,
        *,
        states: Collection[ProcessState] = (),
        name: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[ManagedProcess]:
        """Processes in one of these states (or any), oldest first, behind the cursor.

        Raises:
            InvalidCursorError: the cursor is not one of ours.
        """
        after = cursors.decode_run(cursor) if cursor else (float("-inf"), "")
        found = [
            managed
            for managed in await self.all()
            if (managed.process.created_at, managed.process.id) > after
            and (not states or managed.state in states)
            and name in {None, managed.process.name}
        ]
        if len(found) <= limit:
            return Page(found, None)
        last = found[limit - 1].process
        return Page(found[:limit], cursors.encode(last.created_at, last.id))

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

    async def usages(self, found: Sequence[ManagedProcess]) -> dict[str, Usage]:
        """What running processes cost now, with all they have started, by the id of each."""
        alive: dict[int, str] = {}
        for managed in found:
            run = managed.run
            if run is not None and run.pid and is_alive(run.pid, run.pid_started, run.boot_id):
                alive[run.pid] = managed.process.id
        counted = await asyncio.to_thread(of_sessions, alive.keys())
        return {alive[pid]: cost for pid, cost in counted.items()}

    async def change(
        self, process_id: str, changes: Mapping[str, Any], plan: Plan | None = None
    ) -> ManagedProcess:
        """Change what is run from the next start on, and from now on how it is looked after.

        Raises:
            ProcessNotFoundError: there is none with that id.
        """
        managed = await self.get(process_id)
        process = replace(managed.process, **changes)
        known = managed.known or Supervision(process_id)
        await self._supervision.change(process, plan or known.plan, own_identity())
        await self._audit.record("process.update", process.name)
        self._supervisor.watch(process_id)
        return await self.get(process_id)

    async def start(self, process_id: str) -> Run:
        """Start a process, unless it runs already; returns its run. What waits waits no longer.

        Raises:
            ProcessNotFoundError: there is none with that id.
        """
        while True:
            managed = await self.get(process_id)
            if managed.run is not None and managed.running:
                if managed.state is ProcessState.BACKOFF:
                    return await self._replaced(managed.run)
                return await self._engine.until_started(managed.run)
            # Two starts at once, of whichever stack, must not make two runs.
            try:
                run = await self._supervisor.begin(managed.process)
            except OvertakenError:
                continue
            return await self._engine.until_started(run)

    async def restart(self, process_id: str) -> Run:
        """Stop a process, and start it again; or just start it.

        Raises:
            ProcessNotFoundError: there is none with that id.
        """
        managed = await self.get(process_id)
        if managed.run is None or not managed.running:
            return await self.start(process_id)
        return await self._replaced(managed.run)

    async def _replaced(self, run: Run) -> Run:
        """The run that takes the place of this one, which ends now."""
        process_id = run.process_id or ""
        await self._supervision.end_for(process_id, run.id, Ending.RESTART, own_identity())
        self._supervisor.watch(process_id)
        await self._engine.stop(run)
        following = await self.run_after(run)
        # Nothing follows when it was stopped, or removed, meanwhile.
        return run if following is None else await self._engine.until_started(following)

    async def run_after(self, run: Run) -> Run | None:
        """The run that has followed one that is over; `None` when the process stays as it is."""
        give_up = time.monotonic() + DECIDED_WITHIN
        while time.monotonic() < give_up:
            try:
                managed = await self.get(run.process_id or "")
            except ProcessNotFoundError:
                return None
            if managed.run is not None and managed.run.id != run.id:
                return await self._runs.next_of_process(run) or managed.run
            if managed.known is None or managed.known.decided == run.id:
                return None
            await asyncio.sleep(LOOK)
        return None

    async def wait(self, run: Run) -> Run:
        """The run once it is over."""
        await self._engine.over(run).wait()
        return await self._runs.get(run.id) or run

    async def stop(self, process_id: str, *, kill: bool = False) -> None:
        """Stop a process; nothing happens when it does not run. It is not started again.

        Raises:
            ProcessNotFoundError: there is none with that id.
        """
        if (await self.get(process_id)).known is not None:
            # From here on nothing is started; what was just before is seen below.
            await self._supervision.want_stopped(process_id)
        managed = await self.get(process_id)
        if managed.run is not None and managed.running:
            order = self._engine.stop_order(kill=kill)
            await self._engine.stop(managed.run, order, reason=KILLED if kill else None)
        self._supervisor.on_change(process_id)

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
        if managed.known is not None:
            await self._audit.record("process.delete", managed.process.name)
        self._supervisor.on_change(process_id)

    def log_tail(self, managed: ManagedProcess, stream: Stream, lines: int) -> str:
        """The last `lines` lines one stream of the latest run has."""
        return self._logs.tail_lines(managed.run.id, stream, lines) if managed.run else ""

    async def printed(self, managed: ManagedProcess) -> Run | None:
        """The latest run of a process that may have printed something."""
        run, known = managed.run, managed.known
        if run is None or run.status is not RunStatus.QUEUED or known is None or not known.decided:
            return run
        return await self._runs.get(known.decided) or run

    async def life(self, managed: ManagedProcess, run_id: str) -> Run:
        """One of the runs of a process.

        Raises:
            RunNotFoundError: it has none with that id (any more).
        """
        run = await self._runs.get(run_id)
        if run is None or run.process_id != managed.process.id:
            raise RunNotFoundError(run_id)
        return run

    def tail_offsets(self, run: Run, lines: int) -> dict[Stream, int]:
        """Where the last `lines` lines of each stream of a run begin."""
        return {stream: self._logs.tail_offset(run.id, stream, lines) for stream in Stream}
