"""Standard input of running children, from the server that started them or a later one."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from fastapi_app.engine.stdin import end_input, write_input
from fastapi_app.engine.traces import read_trace
from fastapi_app.errors import InputFullError, NoInputError, SpawnFailedError
from tests.fastapi_app.engine.bed import SHELL, Bed

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi_app.engine.process import Spawned, Spawner

SECONDS = 10.0


class Listener(Bed):
    """A bed whose child has an open standard input."""

    @property
    def pipe(self) -> str:
        return f"{self.folder}/run.in"

    async def listen(self, script: str) -> Spawned:
        """Start shell text that reads."""
        state = f"{self.folder}/run.state"
        return await self.start([SHELL, "-c", script], stdin=self.pipe, state=state)

    async def write(self, text: str, within: float = SECONDS) -> None:
        await write_input(self.pipe, text.encode(), within)

    async def printed(self, text: str) -> None:
        """Wait until that is what the child has printed."""
        async with asyncio.timeout(SECONDS):
            while self.read() != text:
                await asyncio.sleep(0.01)


@pytest.fixture
def bed(spawner: Spawner, tmp_path: Path) -> Listener:
    """A place to run children in."""
    return Listener(spawner, tmp_path)


async def test_what_is_written_arrives_until_the_end_is_asked_for(bed: Listener) -> None:
    spawned = await bed.listen("cat; echo end")
    assert os.stat(bed.pipe).st_mode & 0o777 == 0o600  # noqa: PTH116
    for number in range(3):
        await bed.write(f"{number}\n")
        await bed.printed("".join(f"{n}\n" for n in range(number + 1)))
    end_input(bed.pipe)
    assert await asyncio.wait_for(spawned.exited, SECONDS) == 0
    assert bed.read() == "0\n1\n2\nend\n"
    assert not [path.name for path in bed.folder.iterdir() if path.suffix in {".in", ".eof"}]


async def test_a_child_waits_for_input_as_from_a_terminal(bed: Listener) -> None:
    spawned = await bed.listen('read -r line; echo "got $line"; read -r line; echo "got $line"')
    await bed.write("one\ntwo\n")
    assert await asyncio.wait_for(spawned.exited, SECONDS) == 0
    assert bed.read() == "got one\ngot two\n"


async def test_more_than_the_pipe_holds_goes_in_as_the_child_reads(bed: Listener) -> None:
    spawned = await bed.listen("wc -c")
    await bed.write("x" * 1_000_000)
    end_input(bed.pipe)
    assert await asyncio.wait_for(spawned.exited, SECONDS) == 0
    assert int(bed.read()) == 1_000_000


async def test_a_child_that_does_not_read_is_not_waited_for(bed: Listener) -> None:
    await bed.listen("sleep 60")
    with pytest.raises(InputFullError, match="65536 of 100000 bytes"):
        await bed.write("x" * 100_000, within=0.05)
    bed.spawner.signal("run", signal.SIGKILL)


async def test_a_child_that_is_over_or_has_closed_it_takes_nothing(bed: Listener) -> None:
    spawned = await bed.listen("exec < /dev/null; echo closed; exec sleep 60")
    await bed.printed("closed\n")
    with pytest.raises(NoInputError, match="closed"):
        await bed.write("x")
    bed.spawner.signal("run", signal.SIGKILL)
    await spawned.exited
    with pytest.raises(NoInputError, match="over"):
        await bed.write("x")


async def test_nothing_goes_in_behind_the_end(bed: Listener) -> None:
    spawned = await bed.listen("cat")
    end_input(bed.pipe)
    with pytest.raises(NoInputError, match="end"):
        await bed.write("x")
    assert await asyncio.wait_for(spawned.exited, SECONDS) == 0


async def test_it_stays_open_when_the_server_is_gone(bed: Listener) -> None:
    await bed.listen("cat")
    await bed.write("before\n")
    await bed.spawner.aclose()
    await bed.write("after\n")
    await bed.printed("before\nafter\n")
    end_input(bed.pipe)
    async with asyncio.timeout(SECONDS):
        while not ((trace := read_trace(f"{bed.folder}/run.state")) and trace.ended):
            await asyncio.sleep(0.01)
    assert trace.exit_code == 0


async def test_what_an_earlier_attempt_left_does_not_count(bed: Listener) -> None:
    os.mkfifo(bed.pipe)
    end_input(bed.pipe)
    spawned = await bed.listen("read -r line; echo $line")
    await bed.write("hello\n")
    assert await asyncio.wait_for(spawned.exited, SECONDS) == 0
    assert bed.read() == "hello\n"


async def test_a_refused_child_leaves_no_pipe(bed: Listener) -> None:
    with pytest.raises(SpawnFailedError):
        await bed.start(["/nosuch"], stdin=bed.pipe)
    assert not any(bed.folder.glob("*.in"))
    with pytest.raises(SpawnFailedError, match=r"/nosuch/run\.in: No such file"):
        await bed.start([SHELL], stdin="/nosuch/run.in")
