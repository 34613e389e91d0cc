"""The spawn helper killed, without room on the disk, without files, and with too much at once."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fastapi_app.engine.process import AlreadyStartedError, Spawned, Spawner
from fastapi_app.engine.traces import read_trace
from fastapi_app.errors import SpawnFailedError
from tests.fastapi_app.engine.bed import SHELL, Bed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MANY = 10_000


class Fragile(Bed):
    """A bed whose helper can be hurt."""

    @property
    def helper(self) -> int:
        (pid,) = self.spawner.pids
        return pid

    def limit(self, what: int, soft: int) -> None:
        """Let the helper have no more than that of something."""
        resource.prlimit(self.helper, what, (soft, resource.prlimit(self.helper, what)[1]))

    def open_files(self) -> Counter[str]:
        folder = Path(f"/proc/{self.helper}/fd")
        return Counter(os.readlink(link) for link in folder.iterdir())  # noqa: PTH115


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Fragile]:
    """A place to run children in, with one helper."""
    spawner = Spawner(tmp_path / "spawner.log", helpers=1)
    await spawner.start()
    yield Fragile(spawner, tmp_path)
    await spawner.aclose()


async def test_no_room_for_the_trace_means_no_start(bed: Fragile) -> None:
    assert await bed.run("true", run_id="first") == 0
    before = bed.open_files()
    bed.limit(resource.RLIMIT_FSIZE, 100)
    for _ in range(3):
        with pytest.raises(SpawnFailedError, match=r"run\.state: No space left on device"):
            await bed.run("echo ran", state=f"{bed.folder}/run.state")
    assert not any(bed.folder.glob("run.*"))
    assert bed.open_files() == before
    bed.limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
    assert await bed.run("echo ran", state=f"{bed.folder}/run.state") == 0


async def test_an_end_that_cannot_be_written_down_is_told_all_the_same(bed: Fragile) -> None:
    state = f"{bed.folder}/run.state"
    spawned = await bed.start(
        [SHELL, "-c", "read -r line; exit 3"], state=state, stdin=f"{state}.in"
    )
    bed.limit(resource.RLIMIT_FSIZE, 0)
    bed.spawner.signal("run", signal.SIGTERM)
    assert await spawned.exited == -15
    trace = read_trace(state)
    assert trace is not None
    assert (trace.pid, trace.ended) == (spawned.pid, False)


async def test_a_helper_that_runs_out_of_files_says_so_and_goes_on(bed: Fragile) -> None:
    assert await bed.run("true", run_id="first") == 0
    before = bed.open_files()
    bed.limit(resource.RLIMIT_NOFILE, before.total() + 5)
    asked = [
        bed.start([SHELL, "-c", "read -r line"], f"r{number}", stdin=f"{bed.folder}/r{number}.in")
        for number in range(20)
    ]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    running = [answer for answer in answers if isinstance(answer, Spawned)]
    refused = [str(answer) for answer in answers if isinstance(answer, SpawnFailedError)]
    assert running
    assert refused
    assert all("Too many open files" in text for text in refused)
    assert len(list(bed.folder.glob("*.in"))) == len(running), "a refused one leaves no pipe"
    for spawned in running:
        os.kill(spawned.pid, signal.SIGKILL)
        assert await spawned.exited == -9
    assert await bed.run("echo ran", state=f"{bed.folder}/run.state") == 0
    assert bed.open_files() == before


async def test_open_inputs_leave_files_for_everything_else(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    spawner = Spawner(tmp_path / "spawner.log", helpers=1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
    try:
        await spawner.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    bed = Fragile(spawner, tmp_path)
    asked = [
        bed.start([SHELL, "-c", "read -r line"], f"r{number}", stdin=f"{tmp_path}/r{number}.in")
        for number in range(200)
    ]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    told = Counter(str(answer) for answer in answers if isinstance(answer, SpawnFailedError))
    assert all("Too many open files" in text for text in told)
    assert 20 < told.total() < 100
    assert await bed.run("echo ran", state=f"{tmp_path}/run.state") == 0
    for answer in answers:
        if isinstance(answer, Spawned):
            os.kill(answer.pid, signal.SIGKILL)
            assert await answer.exited == -9
    await spawner.aclose()


async def test_ten_thousand_at_once_are_all_answered(bed: Fragile) -> None:
    asked = [bed.start([SHELL, "x" * 1000], f"r{number}", cwd="/nosuch") for number in range(MANY)]
    last = asyncio.ensure_future(bed.run("echo last", run_id="last"))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(answer, SpawnFailedError) for answer in answers)
    assert len(answers) == MANY
    assert await last == 0


async def test_a_helper_killed_in_the_middle_starts_nothing_twice(bed: Fragile) -> None:
    numbers = range(150)
    first = asyncio.Event()

    async def one(number: int) -> Spawned:
        name = f"r{number}"
        state = f"{bed.folder}/{name}.state"
        spawned = await bed.start([SHELL, "-c", "echo ran; exec sleep 60"], name, state=state)
        first.set()
        return spawned

    asked = [asyncio.ensure_future(one(number)) for number in numbers]
    await first.wait()
    os.kill(bed.helper, signal.SIGKILL)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for number, answer in zip(numbers, answers, strict=True):
        trace = read_trace(f"{bed.folder}/r{number}.state")
        assert trace is not None
        if isinstance(answer, Spawned):
            assert trace.pid == answer.pid
        else:  # the first helper had it; what became of it stands in its trace
            assert isinstance(answer, AlreadyStartedError)
        if trace.pid is not None:
            os.killpg(trace.pid, signal.SIGKILL)
    started = [answer for answer in answers if isinstance(answer, Spawned)]
    assert {await spawned.exited for spawned in started} <= {None, -9}
    assert all(
        bed.read(f"r{n}.out") in {"", "ran\n"}
        for n in numbers
        if (bed.folder / f"r{n}.out").exists()
    )
    assert await bed.run("echo next", run_id="next") == 0
