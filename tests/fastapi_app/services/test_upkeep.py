"""Old logs are looked after without anybody asking, whatever goes wrong now and then."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from fastapi_app.engine.retention import Janitor, Limits
from fastapi_app.errors import LogRemovedError
from fastapi_app.models import AuditEntry, AuditFilter, Retry, Run, RunOptions, Stream
from fastapi_app.services.audit import AuditService
from fastapi_app.services.upkeep import Upkeep
from fastapi_app.storage.audit import AuditStore
from tests.fastapi_app.engine.conftest import Bench, background, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

DAY = 86_400.0
SIZE = 20_000
PRINT = f"yes 0123456789 | head -c {SIZE}"


@pytest.fixture
async def bench(home: Path) -> AsyncIterator[Bench]:
    """An engine whose logs grow old."""
    async with opened(home) as found:
        yield found


@asynccontextmanager
async def upkeep(bench: Bench, limits: Limits) -> AsyncIterator[None]:
    """Looks after the logs, all the time."""
    audit = AuditService(AuditStore(bench.runs._db), retention=DAY)
    janitor = Janitor(bench.logs.folder, limits)
    found = Upkeep(janitor, bench.runs, audit, first_after=0.0, every=0.01)
    task = asyncio.create_task(found.run())
    try:
        yield
        assert not task.done(), "it goes on for ever"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(probe: Callable[[], object]) -> None:
    """Wait until that is true."""
    async with asyncio.timeout(10):
        while not probe():
            await asyncio.sleep(0.01)


def age(bench: Bench, run: Run, seconds: float = DAY) -> None:
    """As if the run had printed its last that long ago."""
    for path in bench.logs.folder.glob(f"{run.id}*"):
        os.utime(path, (time.time() - seconds,) * 2)


def files(bench: Bench, run: Run) -> set[str]:
    return {path.name.removeprefix(run.id) for path in bench.logs.folder.glob(f"{run.id}*")}


async def test_a_log_is_compressed_and_reads_the_same(bench: Bench) -> None:
    old, new = await bench.finished(PRINT), await bench.finished(PRINT)
    before = bench.printed(old)
    age(bench, old)
    async with upkeep(bench, Limits(compress_after=60)):
        await until(lambda: ".out" not in files(bench, old))
    assert ".out.gz" in files(bench, old)
    assert bench.printed(old) == before
    bench.logs.expect(old)
    assert ".out" in files(bench, new)


async def test_a_log_that_goes_is_told_to_be_gone(bench: Bench) -> None:
    run = await bench.finished(PRINT)
    age(bench, run)
    async with upkeep(bench, Limits(max_age=3600)):
        await until(lambda: not files(bench, run))
    with pytest.raises(LogRemovedError):
        bench.logs.expect(run)
    assert await bench.stored(run) == run


async def test_what_goes_on_keeps_its_log(bench: Bench, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    running = await bench.engine.submit(background(f"{PRINT}; cat {gate}; echo end"))
    await until(lambda: bench.logs.size(running.id, Stream.STDOUT) == SIZE)
    retry = Retry(times=1, delay=60)
    waiting = await bench.engine.submit(
        background(f"{PRINT}; exit 1", options=RunOptions(retry=retry))
    )
    async with asyncio.timeout(10):
        while (await bench.stored(waiting)).attempt != 2:
            await asyncio.sleep(0.01)
    ended = await bench.finished(PRINT)
    for run in (running, waiting, ended):
        age(bench, run)
    async with upkeep(bench, Limits(compress_after=60, max_age=60, max_runs=1, max_bytes=1)):
        await until(lambda: not files(bench, ended))
        gate.write_text("")
        assert (await bench.over(running)).stdout_bytes == SIZE + len("end\n")
    assert bench.logs.size(waiting.id, Stream.STDOUT) == SIZE
    await bench.engine.stop(waiting)


async def test_one_bad_round_is_not_the_last(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    run = await bench.finished(PRINT)
    age(bench, run)
    aside = bench.logs.folder.with_name("aside")
    bench.logs.folder.rename(aside)
    with caplog.at_level(logging.WARNING):
        async with upkeep(bench, Limits(max_age=60)):
            await until(lambda: "old logs were not looked after" in caplog.text)
            aside.rename(bench.logs.folder)
            await until(lambda: not files(bench, run))


async def test_old_entries_of_the_audit_log_go(bench: Bench) -> None:
    entries = AuditStore(bench.runs._db)
    for at in (time.time() - 2 * DAY, time.time()):
        await entries.add(AuditEntry(0, at, "daemon.stop", "", "done", "", "", "", "", ""))
    async with upkeep(bench, Limits()), asyncio.timeout(10):
        while len(left := await entries.page(AuditFilter(), None, 10)) > 1:
            await asyncio.sleep(0.01)
    assert [entry.seq for entry in left] == [2]
