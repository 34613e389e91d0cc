"""What a starting engine makes of runs that an earlier one left, and what it leaves alone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fastapi_app.engine.identity import age, boot_id, own_identity
from fastapi_app.engine.spawner import start_ticks
from fastapi_app.models import Run, RunStatus
from fastapi_app.storage.database import open_database
from fastapi_app.storage.runs import RunStore
from tests.fastapi_app.engine.conftest import background, opened

GONE = "4194303:1"  # no such server


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No helper of an earlier server is there to write down anything more."""
    monkeypatch.setattr("fastapi_app.engine.elsewhere.TRACE_WITHIN", 0.1)


async def left(home: Path, *runs: Run, traces: dict[str, str] | None = None) -> None:
    """Put rows and traces where an earlier server would have left them."""
    (home / "logs").mkdir(parents=True)
    database = await open_database(f"sqlite+aiosqlite:///{home / 'mcli.db'}")
    for run in runs:
        await RunStore(database).add(run)
    await database.aclose()
    for run_id, content in (traces or {}).items():
        (home / "logs" / f"{run_id}.state").write_text(content)


async def recovered(home: Path, run: Run) -> Run:
    """What becomes of that run."""
    async with opened(home) as bench:
        return await bench.over(run)


def was_running(**fields: object) -> Run:
    """A run an earlier server had started."""
    now = time.time()
    plain = {"status": RunStatus.RUNNING, "owner": GONE, "started_at": now - 5, "pid": 4194302}
    plain |= {"pid_started": 1, "boot_id": boot_id()}
    return background("echo ran", **(plain | fields))


async def test_a_run_whose_trace_tells_its_end_has_that_end(home: Path) -> None:
    run = was_running()
    began = run.started_at or 0
    trace = f"start\npid {run.pid} {run.pid_started}\nexit 3 {began + 1.5}\n"
    await left(home, run, traces={run.id: trace})
    ended = await recovered(home, run)
    assert (ended.status, ended.returncode) == (RunStatus.FAILED, 3)
    assert ended.finished_at == began + 1.5


async def test_a_run_whose_process_is_gone_without_a_trace_is_lost(home: Path) -> None:
    run = was_running(boot_id="an earlier boot")
    await left(home, run)
    ended = await recovered(home, run)
    assert (ended.status, ended.returncode) == (RunStatus.LOST, None)
    assert ended.reason == "the server that watched it ended, and nothing tells how the run ended"


async def test_a_run_that_was_asked_to_stop_ends_cancelled(home: Path) -> None:
    started = was_running(stop_requested=True, boot_id="an earlier boot")
    queued = background("echo never", owner=GONE, stop_requested=True)
    await left(home, started, queued)
    async with opened(home) as bench:
        for run in (started, queued):
            assert (await bench.over(run)).status is RunStatus.CANCELLED
        assert bench.printed(queued) == ""


async def test_a_run_that_was_killed_for_its_time_timed_out(home: Path) -> None:
    run = was_running(timeout=2.0)
    trace = f"start\npid 1 1\nexit -9 {(run.started_at or 0) + 2.01}\n"
    await left(home, run, traces={run.id: trace})
    assert (await recovered(home, run)).status is RunStatus.TIMED_OUT


async def test_a_queued_run_runs_once(home: Path) -> None:
    run = background("echo once", owner=GONE)
    await left(home, run)
    async with opened(home) as bench:
        ended = await bench.over(run)
        assert ended.owner == own_identity()
        assert (ended.status, bench.printed(run)) == (RunStatus.COMPLETED, "once\n")


async def test_a_queued_run_that_was_handed_to_a_helper_is_not_started_again(home: Path) -> None:
    run = background("echo twice", owner=GONE)
    await left(home, run, traces={run.id: "start\n"})
    async with opened(home) as bench:
        assert (await bench.over(run)).status is RunStatus.LOST
        assert bench.printed(run) == ""


async def test_a_queued_run_whose_trace_tells_its_end_has_that_end(home: Path) -> None:
    run = background("echo twice", owner=GONE)
    await left(home, run, traces={run.id: f"start\npid 4194302 1\nexit 4 {time.time()}\n"})
    ended = await recovered(home, run)
    assert (ended.status, ended.returncode, ended.pid) == (RunStatus.FAILED, 4, 4194302)


async def test_a_reused_pid_fools_nobody(home: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        ticks = start_ticks(other.pid) - 1
        run = was_running(pid=other.pid, pid_started=ticks, timeout=0.01)
        also = was_running(pid=other.pid, pid_started=ticks)
        await left(home, run, also)
        async with opened(home) as bench:
            await bench.engine.stop(also)
            assert (await bench.over(run)).status is RunStatus.LOST
        assert other.poll() is None, "a process that is not ours must not be signalled"
        other.kill()


async def test_a_run_that_still_runs_can_be_stopped(home: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as child:
        run = was_running(pid=child.pid, pid_started=start_ticks(child.pid))
        await left(home, run)
        async with opened(home) as bench:
            stopped, used = await bench.engine.stop(run)
        assert (stopped.status, used) == (RunStatus.CANCELLED, signal.SIGTERM)
        assert child.wait(5) == -signal.SIGTERM


async def test_the_time_of_a_run_goes_on_while_no_server_watches(home: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as child:
        ticks = start_ticks(child.pid)
        run = was_running(pid=child.pid, pid_started=ticks, timeout=60)
        await left(home, run.but(timeout=0.5))
        while age(ticks) < 0.5:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            assert (await recovered(home, run)).status is RunStatus.LOST
        assert child.wait(5) == -signal.SIGKILL


async def test_runs_of_a_living_server_are_left_alone(home: Path) -> None:
    owner = f"{os.getppid()}:{start_ticks(os.getppid())}"
    run, queued = was_running(owner=owner), background("echo mine", owner=owner)
    await left(home, run, queued)
    async with opened(home) as bench:
        assert (await bench.finished("true")).status is RunStatus.COMPLETED
        assert await bench.stored(run) == run
        assert await bench.stored(queued) == queued


async def test_an_unreadable_trace_costs_one_run_and_no_more(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken, fine = was_running(), background("echo fine", owner=GONE)
    await left(home, broken, fine, traces={broken.id: "start\npid x y\nexit\n\x00\xff"})
    async with opened(home) as bench:
        assert (await bench.over(fine)).status is RunStatus.COMPLETED
        assert (await bench.over(broken)).status is RunStatus.LOST
    assert not caplog.records
