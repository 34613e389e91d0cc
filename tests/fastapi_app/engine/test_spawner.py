"""The spawn helper: what its children get, and what it tells about their end."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from fastapi_app.engine.process import AlreadyStartedError, Spawner
from fastapi_app.engine.spawner import start_ticks
from fastapi_app.engine.traces import read_trace
from fastapi_app.errors import SpawnFailedError
from tests.fastapi_app.engine.bed import SHELL, Bed


@pytest.fixture
def bed(spawner: Spawner, tmp_path: Path) -> Bed:
    """A place to run children in."""
    return Bed(spawner, tmp_path)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("true", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -TERM $$", -15),
        ("kill -KILL $$", -9),
        ("kill -SEGV $$", -11),
        ("nosuch-program", 127),
    ],
)
async def test_the_exit_code_is_told(bed: Bed, script: str, code: int) -> None:
    assert await bed.run(script) == code


async def test_both_outputs_go_to_their_files_and_are_appended(bed: Bed) -> None:
    for _ in range(2):
        await bed.run("echo out; echo err >&2")
    assert (bed.read(), bed.read("run.err")) == ("out\nout\n", "err\nerr\n")
    assert (bed.folder / "run.out").stat().st_mode & 0o777 == 0o600


async def test_a_child_gets_nothing_but_its_three_files(bed: Bed) -> None:
    await bed.run("ls -l /proc/self/fd")
    # ls itself holds one more, the folder it reads.
    names = [line.split()[-1] for line in bed.read().splitlines()[1:]]
    assert names[:3] == ["/dev/null", f"{bed.folder}/run.out", f"{bed.folder}/run.err"]
    assert len(names) == 4
    assert names[3].endswith("/fd")


async def test_standard_input_is_empty(bed: Bed) -> None:
    assert await bed.run("cat; readlink /proc/self/fd/0") == 0
    assert bed.read() == "/dev/null\n"


async def test_a_child_leads_its_own_session_and_group(bed: Bed) -> None:
    spawned = await bed.start([SHELL, "-c", "read -r line < /proc/self/stat; echo $line; sleep 9"])
    assert os.getpgid(spawned.pid) == os.getsid(spawned.pid) == spawned.pid
    assert start_ticks(spawned.pid) == spawned.start_ticks
    bed.spawner.signal("run", signal.SIGKILL)
    assert await spawned.exited == -9


async def test_a_child_takes_signals_as_a_shell_would_hand_them_on(bed: Bed) -> None:
    await bed.run("grep -E '^Sig(Ign|Blk)' /proc/self/status")
    masks = [int(line.split()[1], 16) for line in bed.read().splitlines()]
    # posix_spawn ignores the two signals that glibc keeps for itself, 32 and 33.
    assert [mask & ~(0b11 << 31) for mask in masks] == [0, 0]
    assert await bed.run("yes | head -n 1; kill -PIPE $$") == -signal.SIGPIPE


async def test_the_environment_is_added_to_the_server_s(bed: Bed) -> None:
    env = {"MCLI_TEST": "ä b\n", "HOME": "/other", "EMPTY": ""}
    await bed.run('printf "%s|%s|%s|%s" "$MCLI_TEST" "$HOME" "${EMPTY-unset}" "$PATH"', env=env)
    assert bed.read() == f"ä b\n|/other||{os.environ['PATH']}"
    await bed.run('printf "|%s" "${MCLI_TEST-unset}"')
    assert bed.read().endswith("|unset"), "one child's environment must not reach the next"


async def test_each_child_starts_in_its_own_folder(bed: Bed, tmp_path: Path) -> None:
    await bed.run("pwd", cwd=str(tmp_path))
    await bed.run("pwd")
    assert bed.read() == f"{tmp_path}\n{Path.cwd()}\n"


@pytest.mark.parametrize(
    ("argv", "fields", "code", "why"),
    [
        (["/nosuch"], {}, 127, "/nosuch: No such file"),
        (["/etc/passwd"], {}, 126, "/etc/passwd: Permission denied"),
        (["/tmp"], {}, 126, "/tmp: Permission denied"),
        ([SHELL, "x" * 200_000], {}, 126, "Argument list too long"),
        ([SHELL, "a\0b"], {}, 126, "null"),
        ([SHELL], {"env": {"A": "a\0b"}}, 126, "null"),
        ([SHELL], {"cwd": "/nosuch"}, 127, "/nosuch: No such file"),
        ([SHELL], {"cwd": "/etc/passwd"}, 126, "Not a directory"),
        ([SHELL], {"stdout": "/nosuch/x"}, 127, "/nosuch/x: No such file"),
    ],
)
async def test_a_refusal_says_why_as_a_shell_would(
    bed: Bed, argv: list[str], fields: dict[str, Any], code: int, why: str
) -> None:
    with pytest.raises(SpawnFailedError, match=why) as refused:
        await bed.start(argv, **fields)
    assert refused.value.returncode == code
    assert await bed.run("pwd") == 0, "the helper goes on"
    assert bed.read() == f"{Path.cwd()}\n", "and stands where it stood"


async def test_a_file_that_is_no_program_is_refused(bed: Bed, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.touch(mode=0o755)
    with pytest.raises(SpawnFailedError, match="Exec format error") as refused:
        await bed.start([str(script)])
    assert refused.value.returncode == 126


async def test_a_signal_reaches_the_whole_group(bed: Bed) -> None:
    fifo = bed.folder / "fifo"
    os.mkfifo(fifo)
    spawned = await bed.start([SHELL, "-c", f"sleep 60 > {fifo} & sleep 60"])
    # The grandchild alone holds the other end: it is closed when that is gone.
    reader = await asyncio.to_thread(os.open, fifo, os.O_RDONLY)
    bed.spawner.signal("run", signal.SIGTERM)
    assert await spawned.exited == -15
    assert await asyncio.wait_for(asyncio.to_thread(os.read, reader, 1), 5) == b""
    os.close(reader)
    bed.spawner.signal("run", signal.SIGTERM)  # it is over: nothing happens
    bed.spawner.signal("unknown", signal.SIGTERM)
    assert await bed.run("true") == 0


async def test_a_grandchild_that_holds_the_output_is_not_waited_for(bed: Bed) -> None:
    async with asyncio.timeout(5):
        assert await bed.run("sleep 60 & echo $!") == 0
    os.kill(int(bed.read()), signal.SIGKILL)


async def test_the_trace_tells_start_and_end(bed: Bed) -> None:
    state = f"{bed.folder}/run.state"
    spawned = await bed.start([SHELL, "-c", "exit 4"], state=state)
    assert await spawned.exited == 4
    trace = read_trace(state)
    assert trace is not None
    assert (trace.pid, trace.start_ticks, trace.exit_code) == (spawned.pid, spawned.start_ticks, 4)
    assert trace.ended
    assert trace.began is not None
    assert trace.finished_at is not None
    assert 0 <= trace.finished_at - trace.began < 5
    assert (bed.folder / "run.state").stat().st_size == 128, "no room is asked for later"


async def test_a_run_whose_trace_exists_is_never_started_again(bed: Bed) -> None:
    state = f"{bed.folder}/run.state"
    await bed.run("echo once", state=state)
    with pytest.raises(AlreadyStartedError):
        await bed.run("echo twice", state=state)
    assert bed.read() == "once\n"


async def test_the_trace_tells_a_refusal(bed: Bed) -> None:
    state = f"{bed.folder}/run.state"
    with pytest.raises(SpawnFailedError):
        await bed.start(["/nosuch"], state=state)
    trace = read_trace(state)
    assert trace is not None
    assert (trace.refused, trace.pid, trace.ended) == (True, None, True)


async def test_many_at_once_are_not_mixed_up(bed: Bed) -> None:
    async def one(number: int) -> int | None:
        return await bed.run(f"echo {number}; exit {number % 200}", run_id=f"r{number}")

    codes = await asyncio.gather(*(one(number) for number in range(300)))
    assert codes == [number % 200 for number in range(300)]
    assert [int(bed.read(f"r{n}.out")) for n in range(300)] == list(range(300))


async def test_a_helper_that_is_killed_is_replaced(bed: Bed) -> None:
    spawned = await bed.start([SHELL, "-c", "sleep 60"])
    with open(f"/proc/{spawned.pid}/stat", encoding="ascii") as stat:  # noqa: ASYNC230, PTH123
        helper = int(stat.read().rpartition(")")[2].split()[1])
    os.kill(helper, signal.SIGKILL)
    assert await spawned.exited is None
    assert await bed.run("exit 5", run_id="next") == 5
    os.killpg(spawned.pid, signal.SIGKILL)


async def test_the_helper_outlives_its_server_until_its_last_child_has_ended(
    bed: Bed,
) -> None:
    state = f"{bed.folder}/run.state"
    fifo = bed.folder / "fifo"
    os.mkfifo(fifo)
    await bed.start([SHELL, "-c", f"read -r code < {fifo}; exit $code"], state=state)
    await bed.spawner.aclose()
    await asyncio.to_thread(fifo.write_text, "6\n")
    async with asyncio.timeout(5):
        while not ((trace := read_trace(state)) and trace.ended):
            await asyncio.sleep(0.01)
    assert trace.exit_code == 6


async def test_a_closed_spawner_refuses(bed: Bed) -> None:
    await bed.spawner.aclose()
    with pytest.raises(SpawnFailedError):
        await bed.run("true")


async def test_start_times_are_the_kernel_s_own(bed: Bed) -> None:
    async def one(number: int) -> None:
        spawned = await bed.start(
            [SHELL, "-c", "read -r line"], f"r{number}", stdin=f"{bed.folder}/r{number}.in"
        )
        assert spawned.start_ticks == start_ticks(spawned.pid)
        bed.spawner.signal(f"r{number}", signal.SIGKILL)
        assert await spawned.exited == -9

    await asyncio.gather(*(one(number) for number in range(100)))


async def test_what_was_asked_for_last_still_goes_out_at_the_end(bed: Bed) -> None:
    state = f"{bed.folder}/run.state"
    await bed.start([SHELL, "-c", "sleep 60"], state=state)
    bed.spawner.signal("run", signal.SIGKILL)
    await bed.spawner.aclose()
    async with asyncio.timeout(5):
        while not ((trace := read_trace(state)) and trace.ended):
            await asyncio.sleep(0.01)
    assert trace.exit_code == -9
