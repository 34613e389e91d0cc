"""Processes that left the session of their run, found and ended by their cookie."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from fastapi_app.engine.cookies import RUN_ID, find, signal_marked, sweep
from fastapi_app.services.ids import new_id
from tests.fastapi_app.engine.bed import SHELL, Bed
from tests.fastapi_app.engine.conftest import gone

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi_app.engine.process import Spawner

SECONDS = 10.0
STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.1; done"
POLITE = "trap 'echo asked; exit' TERM; echo up; while :; do sleep 0.1; done"
BOMB = """
import os, time
end = time.monotonic() + 30
def live(depth):
    children = set()
    while time.monotonic() < end:
        while depth < 4 and len(children) < 3:
            child = os.fork()
            if child == 0:
                os.setsid()
                live(depth + 1)
                os._exit(0)
            children.add(child)
        time.sleep(0.005)
        while children and (ended := os.waitpid(-1, os.WNOHANG)[0]):
            children.discard(ended)
live(0)
"""
"""At most 121 processes, each in a session of its own; what is killed is replaced."""


class Marked(Bed):
    """A bed whose children carry the cookie of one run."""

    def __init__(self, spawner: Spawner, folder: Path) -> None:
        super().__init__(spawner, folder)
        self.run_id = new_id()
        self.env = {RUN_ID: self.run_id}

    async def leave(self, script: str) -> int:
        """Start shell text that leaves its session and outlives the leader; returns its pid."""
        (self.folder / "script").write_text(script)
        left = f"setsid {SHELL} {self.folder}/script & echo $! >&2"
        assert await self.run(left, env=self.env) == 0
        async with asyncio.timeout(SECONDS):
            while "up\n" not in self.read():
                await asyncio.sleep(0.01)
        return int(self.read("run.err"))


@pytest.fixture
def bed(spawner: Spawner, tmp_path: Path) -> Marked:
    """A place to run children in."""
    return Marked(spawner, tmp_path)


async def test_what_left_the_session_is_found_and_nothing_else(bed: Marked) -> None:
    other = await bed.start([SHELL, "-c", "exec sleep 60"], "other", env={RUN_ID: f"{bed.run_id}0"})
    pid = await bed.leave(POLITE)
    assert os.getsid(pid) == pid
    assert pid in find(bed.run_id)
    assert other.pid not in find(bed.run_id)
    assert find(new_id()) == []
    assert await sweep(bed.run_id, kill_at=time.monotonic() + SECONDS)
    await gone(pid)
    assert bed.read() == "up\nasked\n", "it was asked once"
    assert find(f"{bed.run_id}0") == [other.pid]
    bed.spawner.signal("other", signal.SIGKILL)
    assert await other.exited == -9


async def test_what_does_not_go_is_killed_in_time(bed: Marked) -> None:
    pid = await bed.leave(STUBBORN)
    began = time.monotonic()
    assert await sweep(bed.run_id, kill_at=began + 0.3)
    assert 0.3 <= time.monotonic() - began < SECONDS
    await gone(pid)
    assert find(bed.run_id) == []


async def test_what_keeps_forking_into_new_sessions_is_ended(bed: Marked) -> None:
    await bed.start([sys.executable, "-c", BOMB], env=bed.env)
    async with asyncio.timeout(30):
        while len(find(bed.run_id)) < 100:
            await asyncio.sleep(0.05)
    async with asyncio.timeout(30):
        while not await sweep(bed.run_id, kill_at=time.monotonic()):
            pass  # on a machine that has much else to do the first one may run out of time
    assert find(bed.run_id) == []


async def test_of_a_nested_server_only_what_belongs_to_the_run_is_found(bed: Marked) -> None:
    spawned = await bed.start([SHELL, "-c", f"{RUN_ID}=inner sleep 60 & sleep 60"], env=bed.env)
    async with asyncio.timeout(SECONDS):
        while not (inner := find("inner")):
            await asyncio.sleep(0.01)
    assert not set(inner) & set(find(bed.run_id))
    bed.spawner.signal("run", signal.SIGKILL)
    await spawned.exited


async def test_the_helper_is_never_part_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastapi_app.engine.process import Spawner

    outer = new_id()
    monkeypatch.setenv(RUN_ID, outer)
    spawner = Spawner(tmp_path / "spawner.log")
    await spawner.start()
    bed = Marked(spawner, tmp_path)
    # It waits without a child and without becoming another program, whose environment nobody can
    # read for a moment.
    os.mkfifo(tmp_path / "never")
    spawned = await bed.start([SHELL, "-c", f"echo up; read x < {tmp_path}/never"], env=bed.env)
    async with asyncio.timeout(SECONDS):
        while "up\n" not in bed.read():
            await asyncio.sleep(0.01)
    assert find(outer) == []
    assert find(bed.run_id) == [spawned.pid]
    bed.spawner.signal("run", signal.SIGKILL)
    await spawned.exited
    await spawner.aclose()


async def test_those_who_look_at_the_same_time_share_one_look(bed: Marked) -> None:
    pid = await bed.leave(POLITE)
    sweeps = [sweep(new_id(), kill_at=time.monotonic()) for _ in range(500)]
    began = time.process_time()
    assert all(await asyncio.gather(*sweeps))
    # 500 looks of their own, at 20 µs for each process there is, would take longer than that.
    assert time.process_time() - began < 1
    assert signal_marked(bed.run_id, signal.SIGKILL) >= 1
    await gone(pid)


def test_a_process_that_is_over_is_not_signalled() -> None:
    child = os.posix_spawn("/bin/true", ["true"], {RUN_ID: "over"})
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert find("over") == []
    assert signal_marked("over", signal.SIGKILL, [child]) == 0
    os.waitpid(child, 0)
    assert signal_marked("over", signal.SIGKILL, [child]) == 0
