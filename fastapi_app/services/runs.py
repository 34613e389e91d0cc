"""Runs that exist: look up, follow, feed, stop, forget."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from signal import Signals

from fastapi_app.engine.embedded import EmbeddedEngine
from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.masking import STARS, mask_of
from fastapi_app.engine.progress import Progress, latest
from fastapi_app.engine.retention import remove as remove_files
from fastapi_app.engine.stdin import end_input, write_input
from fastapi_app.errors import NoInputError, RunActiveError, RunNotFoundError
from fastapi_app.models import (
    Page,
    Run,
    RunFilter,
    RunKind,
    RunStatus,
    Stream,
    Transition,
)
from fastapi_app.services import cursors
from fastapi_app.storage.runs import RunStore

INPUT_WITHIN = 5.0
"""Seconds a run may take to make room for its input."""


@dataclass(frozen=True, slots=True)
class Output:
    """The head of what a run printed; `truncated` when there is more in the files."""

    stdout: str
    stderr: str
    truncated: bool


@dataclass(frozen=True, slots=True)
class Cleaned:
    """How many runs were forgotten, and the bytes their logs had."""

    removed: int
    bytes: int


class RunService:
    """Everything that can be done with a run once it is accepted."""

    def __init__(self, *, engine: EmbeddedEngine, runs: RunStore, logs: LogFiles) -> None:
        self._engine = engine
        self._runs = runs
        self._logs = logs

    async def get(self, run_id: str) -> Run:
        """One run.

        Raises:
            RunNotFoundError: there is none with that id.
        """
        run = await self._runs.get(run_id)
        if run is None:
            raise RunNotFoundError(run_id)
        return run

    async def exists(self, run_id: str) -> bool:
        """Whether there is such a run."""
        return await self._runs.get(run_id) is not None

    async def page(
        self, wanted: RunFilter, *, cursor: str | None = None, limit: int = 50
    ) -> Page[Run]:
        """Runs, newest first.

        Raises:
            InvalidCursorError: the cursor is not one of ours.
        """
        before = cursors.decode_run(cursor) if cursor else None
        found = await self._runs.page(wanted, before=before, limit=limit + 1)
        items = found[:limit]
        more = len(found) > limit
        return Page(items, cursors.encode(items[-1].created_at, items[-1].id) if more else None)

    async def steps(self, run_id: str) -> list[Run]:
        """The steps of a document, as they were accepted.

        Raises:
            RunNotFoundError: there is no run with that id.
        """
        return await self._runs.steps((await self.get(run_id)).id)

    async def history(self, run_id: str) -> list[Transition]:
        """Every transition of a run, oldest first.

        Raises:
            RunNotFoundError: there is none with that id.
        """
        return await self._runs.history((await self.get(run_id)).id)

    async def stop(
        self,
        run_id: str,
        *,
        interrupt: bool = False,
        kill: bool = False,
        grace: float | None = None,
    ) -> tuple[Run, Signals | None]:
        """Stop a run and return it once it is over, with the signal that ended it (if any).

        SIGTERM first and SIGKILL `grace` seconds later; SIGINT before them with `interrupt`,
        SIGKILL at once with `kill`.

        Raises:
            RunNotFoundError: there is none with that id.
        """
        order = self._engine.stop_order(interrupt=interrupt, kill=kill, grace=grace)
        return await self._engine.stop(await self.get(run_id), order)

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

    async def send(self, run_id: str, data: str, *, end: bool) -> None:
        """Write to the standard input of a running run; with `end`, close it behind that.

        Raises:
            RunNotFoundError: there is none with that id.
            NoInputError: it does not run, or was started without standard input.
            InputFullError: it does not read.
        """
        run = await self.get(run_id)
        if not run.options.stdin:
            raise NoInputError("It was started without standard input; start it with stdin: true.")
        if run.status is not RunStatus.RUNNING:
            raise NoInputError(f"It is {run.status}; only a running run takes input.")
        path = self._logs.stdin(run.id)
        if data:
            await write_input(path, data.encode("utf-8", "surrogatepass"), within=INPUT_WITHIN)
        if end:
            end_input(path)

    async def remove(self, run_id: str) -> None:
        """Forget a run that is over, with its steps and their logs.

        Raises:
            RunNotFoundError: there is none with that id.
            RunActiveError: it is not over.
        """
        run = await self.get(run_id)
        steps = await self._runs.ids_of_steps([run.id])
        removed = await self._runs.remove([run.id, *steps])
        if run.id not in removed:
            raise RunActiveError(run_id)
        await asyncio.to_thread(self._bytes, removed, remove=True)

    async def clean(self, wanted: RunFilter, *, dry_run: bool = False) -> Cleaned:
        """Forget all runs that match and are over, but for those of processes.

        A dry run only counts them.
        """
        over = [status for status in wanted.statuses or RunStatus if status.final]
        kinds = [RunKind.EXECUTE, RunKind.WORKFLOW]
        ids = await self._runs.ids(replace(wanted, statuses=over, kinds=kinds)) if over else []
        ids += await self._runs.ids_of_steps(ids)
        if not dry_run:
            ids = await self._runs.remove(ids)
        return Cleaned(len(ids), await asyncio.to_thread(self._bytes, ids, remove=not dry_run))

    def output(self, run: Run, limit: int) -> Output:
        """At most `limit` bytes of each stream."""
        return Output(
            stdout=self._head(run, Stream.STDOUT, limit) if run.stdout_bytes else "",
            stderr=self._head(run, Stream.STDERR, limit) if run.stderr_bytes else "",
            truncated=max(run.stdout_bytes, run.stderr_bytes) > limit,
        )

    def output_pieces(self, run: Run, stream: Stream) -> Iterator[str]:
        """The whole of one stream of an ended run, in bounded pieces."""
        pieces = self._logs.pieces(run.id, stream, final=True, mask=mask_of(run))
        return (piece.text for piece in pieces)

    def progress(self, run: Run) -> Progress | None:
        """How far a run says it is; `None` when it says nothing of that."""
        return latest(self._logs, run.id, mask_of(run))

    def shown(self, run: Run) -> Run:
        """The run as anybody may see it: without the values of its secrets."""
        if not run.options.secrets:
            return run
        mask = mask_of(run)
        return run.but(
            command=mask.text(run.command),
            args=tuple(mask.text(arg) for arg in run.args),
            reason=mask.text(run.reason) if run.reason else run.reason,
            env={
                name: STARS if name in run.options.secrets else mask.text(value)
                for name, value in run.env.items()
            },
        )

    def _head(self, run: Run, stream: Stream, limit: int) -> str:
        return self._logs.head(run.id, stream, limit, mask_of(run)).decode("utf-8", "replace")

    def _bytes(self, ids: Sequence[str], *, remove: bool) -> int:
        """Bytes that the logs of these runs have, or had."""
        found = sum(self._logs.size(run_id, stream) for run_id in ids for stream in Stream)
        for run_id in ids if remove else ():
            remove_files(self._logs.folder, run_id)
        return found
