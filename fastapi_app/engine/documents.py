"""Runs of whole documents: they have no process of their own, and end with their last step."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi_app.engine.active import Active
from fastapi_app.engine.background import Background
from fastapi_app.engine.identity import age, boot_id
from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.records import Records, persist
from fastapi_app.models import Run, RunStatus, Stream

HEED = 0.5
"""Seconds after which it is noticed that somebody else has stopped a document."""
SKIPPED = "skipped"
"""How the reason of a step begins that was not to run as the others ended."""
_FAILED = {RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.LOST}


@dataclass(slots=True, eq=False)
class Document:
    """A run made of steps, and how they stand. `began` is monotonic: when it came to run."""

    active: Active
    pending: set[str]
    began: float
    ended: list[Run] = field(default_factory=list)
    marking: asyncio.Task[bool] | None = None
    timed_out: bool = False

    @property
    def run(self) -> Run:
        return self.active.run

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self.began

    @classmethod
    def of(cls, active: Active, steps: Sequence[Run]) -> Document:
        """The document with its steps as they are stored."""
        began = time.monotonic() - _running_for(active.run, steps)
        document = cls(active, {step.id for step in steps}, began)
        for step in steps:
            if step.status.final:
                document.take(step)
        return document

    def take(self, step: Run) -> bool:
        """Take the end of a step into account; true when it was the last to end."""
        if step.id not in self.pending:
            return False
        self.pending.discard(step.id)
        self.ended.append(step)
        return not self.pending

    def outcome(self) -> Run:
        """The run as its steps ended."""
        status, reason, code = RunStatus.COMPLETED, None, 0
        if failed := [step for step in self.ended if step.status in _FAILED]:
            status, reason = RunStatus.FAILED, how(failed[0])
            code = failed[0].returncode or 1
        elif cancelled := [step for step in self.ended if _was_cancelled(step)]:
            status, reason = RunStatus.CANCELLED, how(cancelled[0])
        elif not any(step.status is RunStatus.COMPLETED for step in self.ended):
            status, reason = RunStatus.CANCELLED, self.ended[0].reason
        if self.timed_out:
            status, reason = RunStatus.TIMED_OUT, f"timed out after {self.run.timeout:g} seconds"
        return self.run.but(
            status=status,
            reason=reason,
            returncode=None if status is RunStatus.CANCELLED else code,
            # The wall clock may jump; how long a run took must not.
            finished_at=self.run.started_at and self.run.started_at + self.seconds,
        )


class Documents:
    """The documents that go on. `settle` commits an end, `stop` stops one step."""

    def __init__(
        self,
        *,
        records: Records,
        logs: LogFiles,
        background: Background,
        settle: Callable[[Active, Run], Coroutine[Any, Any, None]],
        stop: Callable[[str], Awaitable[object]],
    ) -> None:
        self._records = records
        self._logs = logs
        self._background = background
        self._settle = settle
        self._stop = stop
        self._open: dict[str, Document] = {}

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._open

    def watch(self, active: Active, steps: Sequence[Run]) -> None:
        """Take up a document, new or left by an earlier server."""
        document = self._open[active.run.id] = Document.of(active, steps)
        if not document.pending:
            self._background.start(self._end(document))
            return
        self._background.start(self._heed(document))
        if active.run.status is RunStatus.RUNNING:
            self._limit(document)

    def forget(self, run_id: str) -> None:
        """Watch it no more."""
        self._open.pop(run_id, None)

    def step_started(self, step: Run) -> None:
        """Take into account that a step runs: with the first one the document does."""
        document = self._open.get(step.parent_id or "")
        if document is None:
            return
        self._note(document, f"step {step.name} running")
        if document.run.status is RunStatus.QUEUED:
            self._start(document, step.started_at or time.time(), [step])

    def step_ended(self, step: Run) -> None:
        """Take the end of a step into account: with the last one the document ends."""
        document = self._open.get(step.parent_id or "")
        if document is None:
            return
        self._note(document, how(step))
        if document.take(step):
            self._background.start(self._end(document))

    async def stop_steps(self, run_id: str) -> None:
        """Stop every step that is not over."""
        if (document := self._open.get(run_id)) is not None:
            await asyncio.gather(*(self._stop(step) for step in list(document.pending)))

    def _start(self, document: Document, at: float, steps: Sequence[Run] = ()) -> None:
        active = document.active
        active.run = run = active.run.but(status=RunStatus.RUNNING, started_at=at)
        document.began = time.monotonic() - _running_for(run, steps)
        document.marking = self._background.start(self._records.started(run))
        document.marking.add_done_callback(lambda _: active.started.set())
        self._limit(document)

    def _limit(self, document: Document) -> None:
        if document.run.timeout is not None:
            self._background.start(self._end_in_time(document, document.run.timeout))

    async def _heed(self, document: Document) -> None:
        """Stop the steps when the other stack, or another server, has stopped the document.

        It cannot signal a run without a process; all it does is to write that down.
        """
        active = document.active
        while not active.over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEED):
                    await active.over.wait()
            if not active.stopping and await self._records.stopped_meanwhile(document.run):
                active.stopping = True
                await persist(document.run.id, lambda: self.stop_steps(document.run.id))

    async def _end_in_time(self, document: Document, timeout: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, timeout - document.seconds)):
                await document.active.over.wait()
        except TimeoutError:
            document.timed_out = True
            await persist(document.run.id, lambda: self.stop_steps(document.run.id))

    async def _end(self, document: Document) -> None:
        ended = document.outcome()
        if document.run.status is RunStatus.QUEUED and ended.status is not RunStatus.CANCELLED:
            self._start(document, document.run.created_at)
        if document.marking is not None:
            await document.marking
        await self._settle(document.active, ended)

    def _note(self, document: Document, line: str) -> None:
        """Say in the document's own log how its steps go."""
        path = Path(self._logs.path(document.run.id, Stream.STDOUT))
        # A full disk must not hold up the steps.
        with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def how(step: Run) -> str:
    """How a step ended, for people."""
    said = f"step {step.name} {str(step.status).replace('_', ' ')}"
    if step.reason:
        return f"{said}: {step.reason}"
    if step.status is RunStatus.FAILED:
        return f"{said} with exit code {step.returncode}"
    return said


def _running_for(run: Run, steps: Sequence[Run]) -> float:
    """Seconds since a document came to run, by the clock of the kernel if that can tell."""
    if run.started_at is None:
        return 0.0
    ages = [age(s.pid_started) for s in steps if s.pid_started and s.boot_id == boot_id()]
    return max(ages, default=max(0.0, time.time() - run.started_at))


def _was_cancelled(step: Run) -> bool:
    return step.status is RunStatus.CANCELLED and not (step.reason or "").startswith(SKIPPED)
