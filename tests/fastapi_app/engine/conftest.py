"""The spawn helper and the embedded engine, on a SQLite database of their own."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from fastapi_app.engine.embedded import EmbeddedEngine
from fastapi_app.engine.launch import Scripts
from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.process import Spawner
from fastapi_app.models import Run, RunKind, Stream
from fastapi_app.services.ids import new_id
from fastapi_app.storage.database import open_database
from fastapi_app.storage.runs import RunStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def background(command: str, **fields: Any) -> Run:  # noqa: ANN401 - fields of Run
    """A run of shell text that nobody has started yet."""
    plain = Run(id=new_id(), kind=RunKind.EXECUTE, command=command, created_at=time.time())
    return replace(plain, **fields)


@dataclass(frozen=True)
class Bench:
    """An engine and what it works with."""

    engine: EmbeddedEngine
    runs: RunStore
    logs: LogFiles
    spawner: Spawner

    async def over(self, run: Run) -> Run:
        """The run once it is over."""
        await self.engine.over(run).wait()
        return await self.stored(run)

    async def finished(self, command: str, **fields: Any) -> Run:  # noqa: ANN401
        """A background run from beginning to end."""
        return await self.over(await self.engine.submit(background(command, **fields)))

    async def stored(self, run: Run) -> Run:
        """The run as the database has it."""
        found = await self.runs.get(run.id)
        assert found is not None
        return found

    async def disown(self) -> None:
        """Leave every run to the next engine, as a server does that ends."""
        await self.runs.adopt([run.id for run in await self.runs.unfinished()], "1:1")

    def printed(self, run: Run, stream: Stream = Stream.STDOUT) -> str:
        """What the run has written."""
        return self.logs.head(run.id, stream, 1_000_000).decode()


async def gone(pid: int) -> None:
    """Wait until that process is no more than a zombie."""
    async with asyncio.timeout(5):
        while True:
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: ASYNC230, PTH123
                    if stat.read().rpartition(")")[2].split()[0] in "ZX":
                        return
            except (FileNotFoundError, ProcessLookupError):
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def opened(home: Path, **options: float) -> AsyncIterator[Bench]:
    """Open an engine on the state in `home`, and close it as a server does that ends."""
    logs, work = home / "logs", home / "work"
    for folder in (logs, work):
        folder.mkdir(parents=True, exist_ok=True)
    database = await open_database(f"sqlite+aiosqlite:///{home / 'mcli.db'}")
    # With one helper a test knows which process is every child's parent.
    runs, spawner = RunStore(database), Spawner(logs / "spawner.log", helpers=1)
    files = LogFiles(logs)
    engine = EmbeddedEngine(
        runs=runs,
        spawner=spawner,
        logs=files,
        scripts=Scripts(work),
        max_running=int(options.get("max_running", 100)),
        max_queued=int(options.get("max_queued", 100)),
        grace=options.get("grace", 0.3),
    )
    await engine.start()
    try:
        yield Bench(engine, runs, files, spawner)
    finally:
        await engine.aclose()
        await database.aclose()


@pytest.fixture
async def bench(home: Path) -> AsyncIterator[Bench]:
    """An engine with room for many runs."""
    async with opened(home) as found:
        yield found


@pytest.fixture
async def single(home: Path) -> AsyncIterator[Bench]:
    """An engine that runs one at a time and lets two wait."""
    async with opened(home, max_running=1, max_queued=2) as found:
        yield found


@pytest.fixture
async def spawner(tmp_path: Path) -> AsyncIterator[Spawner]:
    """A helper of our own."""
    found = Spawner(tmp_path / "spawner.log")
    await found.start()
    yield found
    await found.aclose()
