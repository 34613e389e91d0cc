"""The engine: queue, run, time out, and what callers are told."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from fastapi_app.errors import QueueFullError
from fastapi_app.models import Run, RunKind, RunStatus, Stream
from tests.fastapi_app.engine.conftest import Bench, background, gone, opened

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_background_run_runs_and_is_on_record(bench: Bench) -> None:
    accepted = await bench.engine.submit(background("echo hi; echo err >&2; exit 3"))
    assert accepted.status is RunStatus.QUEUED
    ended = await bench.over(accepted)
    assert (ended.status, ended.returncode, ended.reason) == (RunStatus.FAILED, 3, None)
    assert (ended.stdout_bytes, ended.stderr_bytes) == (3, 4)
    assert bench.printed(ended) + bench.printed(ended, Stream.STDERR) == "hi\nerr\n"
    assert ended.pid is not None
    assert ended.started_at is not None
    assert ended.finished_at is not None
    assert accepted.created_at <= ended.started_at <= ended.finished_at <= time.time()


async def test_an_attended_run_is_seen_by_others_while_it_runs(bench: Bench) -> None:
    started: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
    run = background("sleep 60")
    attending = asyncio.create_task(bench.engine.attend(run, started.set_result))
    seen = await started
    stored = await bench.stored(run)
    assert (stored.status, stored.pid) == (RunStatus.RUNNING, seen.pid)
    await bench.engine.stop(stored)
    ended = await attending
    assert (ended.status, ended.returncode) == (RunStatus.CANCELLED, -15)


async def test_output_is_complete_however_the_child_writes_it(bench: Bench) -> None:
    ended = await bench.engine.attend(background("seq 1 20000; printf end"))
    assert bench.printed(ended).split() == [*map(str, range(1, 20001)), "end"]
    assert ended.stdout_bytes == len(bench.printed(ended))


async def test_too_long_a_run_is_killed_with_its_group(bench: Bench) -> None:
    command = "trap '' TERM; echo before; sleep 60 & echo $!; wait"
    ended = await bench.finished(command, timeout=0.2)
    assert (ended.status, ended.returncode) == (RunStatus.TIMED_OUT, -9)
    assert ended.reason == "timed out after 0.2 seconds"
    before, grandchild = bench.printed(ended).split()
    assert before == "before"
    await gone(int(grandchild))


async def test_a_run_that_cannot_start_fails_with_what_a_shell_would_say(bench: Bench) -> None:
    for attending in (True, False):
        run = background("pwd", cwd="/nosuch")
        ended = (
            await bench.engine.attend(run)
            if attending
            else await bench.finished("pwd", cwd="/nosuch")
        )
        assert (ended.status, ended.returncode) == (RunStatus.FAILED, 127)
        assert ended.reason == "/nosuch: No such file or directory"


async def test_a_program_is_started_without_a_shell(bench: Bench) -> None:
    ended = await bench.finished("printf", kind=RunKind.PROCESS, args=("%s;", "a b", "$HOME", ""))
    assert bench.printed(ended) == "a b;$HOME;;"


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("nosuch-program", 127),
        ("/nosuch/x", 127),
        ("/etc/passwd", 126),
        pytest.param("x" * 5000, 126, id="a name that is too long"),
    ],
)
async def test_a_program_that_cannot_start_says_so_in_its_log(
    bench: Bench, program: str, code: int
) -> None:
    ended = await bench.finished(program, kind=RunKind.PROCESS, args=("x",))
    assert (ended.status, ended.returncode) == (RunStatus.FAILED, code)
    assert program in bench.printed(ended, Stream.STDERR)


async def test_a_child_knows_its_run(bench: Bench) -> None:
    ended = await bench.finished('echo "$MCLI_RUN_ID $EXTRA"', env={"EXTRA": "x"})
    assert bench.printed(ended) == f"{ended.id} x\n"


async def test_one_slot_runs_one_at_a_time_in_order(single: Bench) -> None:
    first = await single.engine.submit(background("sleep 60"))
    second = await single.engine.submit(background("sleep 60"))
    third = await single.engine.submit(background("echo third"))
    assert (await single.stored(second)).status is RunStatus.QUEUED
    with pytest.raises(QueueFullError):
        await single.engine.submit(background("echo fourth"))
    await single.engine.stop(first)
    await single.engine.stop(await single.stored(second))
    assert (await single.over(third)).status is RunStatus.COMPLETED


async def test_a_run_stopped_before_its_start_never_starts(single: Bench) -> None:
    first = await single.engine.submit(background("sleep 60"))
    waiting = await single.engine.submit(background("echo never"))
    stopped, used = await single.engine.stop(waiting)
    assert (stopped.status, used, stopped.started_at) == (RunStatus.CANCELLED, None, None)
    await single.engine.stop(first)
    last = await single.finished("echo last")
    assert last.status is RunStatus.COMPLETED
    assert single.printed(waiting) == ""
    assert (await single.stored(waiting)).status is RunStatus.CANCELLED


async def test_a_caller_that_leaves_ends_the_command(bench: Bench) -> None:
    started: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
    run = background("trap '' TERM; sleep 60 & echo $!; wait; sleep 60")
    attending = asyncio.create_task(bench.engine.attend(run, started.set_result))
    over = bench.engine.over(await started)
    async with asyncio.timeout(5):
        while not bench.printed(run):
            await asyncio.sleep(0.01)
    attending.cancel()
    async with asyncio.timeout(5):
        await over.wait()
    ended = await bench.stored(run)
    assert (ended.status, ended.returncode) == (RunStatus.CANCELLED, -9)
    assert ended.reason == "the client left"
    await gone(int(bench.printed(run)))


async def test_a_caller_that_leaves_the_queue_leaves_nothing(single: Bench) -> None:
    first = await single.engine.submit(background("sleep 60"))
    waiting = background("echo never")
    attending = asyncio.create_task(single.engine.attend(waiting))
    await asyncio.sleep(0)
    attending.cancel()
    await asyncio.gather(attending, return_exceptions=True)
    await single.engine.stop(first)
    assert (await single.finished("true")).status is RunStatus.COMPLETED
    assert await single.runs.get(waiting.id) is None
    assert single.printed(waiting) == ""


async def test_the_caller_gets_the_output_though_the_database_is_locked(
    bench: Bench, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastapi_app.engine.embedded.CONCLUDE_WITHIN", 0.2)
    with sqlite3.connect(home / "mcli.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        ended = await bench.engine.attend(background("echo hi"))
        assert (ended.status, ended.returncode, ended.stdout_bytes) == (RunStatus.COMPLETED, 0, 3)
        other.execute("ROLLBACK")
    other.close()
    async with asyncio.timeout(10):
        while (stored := await bench.runs.get(ended.id)) is None or not stored.status.final:
            await asyncio.sleep(0.02)
    assert (stored.status, stored.stdout_bytes) == (RunStatus.COMPLETED, 3)


async def test_runs_of_a_killed_helper_are_lost_and_the_next_works(bench: Bench) -> None:
    run = await bench.engine.submit(background("echo $PPID; sleep 60"))
    patient = await bench.engine.submit(background("sleep 60", timeout=0.5))
    async with asyncio.timeout(5):
        while not bench.printed(run) or (await bench.stored(patient)).pid is None:
            await asyncio.sleep(0.01)
    os.kill(int(bench.printed(run)), signal.SIGKILL)
    assert (await bench.finished("echo next")).status is RunStatus.COMPLETED
    # The children live on: they can be stopped, and their time still runs out.
    async with asyncio.timeout(5):
        stopped, used = await bench.engine.stop(run)
        timed = await bench.over(patient)
    assert (stopped.status, used) == (RunStatus.CANCELLED, signal.SIGTERM)
    assert timed.status is RunStatus.LOST
    assert timed.reason == "the spawn helper ended before the run did"


async def test_closing_ends_what_a_client_waits_for_and_nothing_else(home: Path) -> None:
    started: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
    async with opened(home) as first:
        kept = await first.engine.submit(background("sleep 60"))
        ended = background("sleep 60")
        attending = asyncio.create_task(first.engine.attend(ended, started.set_result))
        attended = (await started).pid or 0
        async with asyncio.timeout(5):
            while (pid := (await first.stored(kept)).pid) is None:
                await asyncio.sleep(0.01)
    assert (await attending).status is RunStatus.CANCELLED
    await gone(attended)
    async with opened(home) as second:
        assert (await second.stored(ended)).status is RunStatus.CANCELLED
        assert (await second.stored(kept)).status is RunStatus.RUNNING
    os.killpg(pid, signal.SIGKILL)
