"""Many follow one log: it is read once, everybody gets all of it, and nobody waits for another."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_app.engine import tail
from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.masking import Mask
from fastapi_app.engine.retention import compress, remove
from fastapi_app.engine.tail import CHUNK, KEPT, Piece, PlainLog, View
from fastapi_app.errors import LogRemovedError
from fastapi_app.models import Run, RunKind, Stream

OUT, ERR = Stream.STDOUT, Stream.STDERR
BOTH = tuple(Stream)
MIXED = "añ€🎉" * 9


@pytest.fixture
def logs(tmp_path: Path) -> LogFiles:
    return LogFiles(tmp_path)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The position of every read of a plain log."""
    seen: list[int] = []
    read = PlainLog.read

    def noted(self: PlainLog, offset: int, length: int) -> bytes:
        seen.append(offset)
        return read(self, offset, length)

    monkeypatch.setattr(PlainLog, "read", noted)
    return seen


def write(logs: LogFiles, data: bytes, stream: Stream = OUT) -> None:
    with open(logs.path("r", stream), "ab") as file:  # noqa: PTH123
        file.write(data)


def finished() -> asyncio.Event:
    over = asyncio.Event()
    over.set()
    return over


async def heard(logs: LogFiles, over: asyncio.Event, *, offset: int = 0, **more: Any) -> str:  # noqa: ANN401
    """All that a follower of stdout gets."""
    pieces = [piece.text async for piece in logs.follow("r", {OUT: offset}, [OUT], over, **more)]
    return "".join(pieces)


async def test_five_hundred_followers_read_and_encode_once(
    logs: LogFiles, reads: list[int]
) -> None:
    text = "".join(f"line {n}\n" for n in range(30_000))
    write(logs, text.encode())
    encoded: list[int] = []

    def encode(piece: Piece) -> str:
        encoded.append(piece.offset)
        return piece.text.upper()

    async def follow() -> str:
        pieces = logs.follow("r", {}, [OUT], over)
        return "".join([piece.encoded(encode) async for piece in pieces])

    over = asyncio.Event()
    following = [asyncio.create_task(follow()) for _ in range(500)]
    await asyncio.sleep(0)
    over.set()
    assert set(await asyncio.gather(*following)) == {text.upper()}
    assert len(reads) == len(set(reads)) == len(set(encoded)) == len(encoded)
    assert len(reads) == -(-len(text) // CHUNK)


async def test_who_is_slow_gets_everything_and_keeps_nobody_waiting(logs: LogFiles) -> None:
    over = asyncio.Event()
    pieces = (KEPT + 10) * ["x" * (CHUNK - 1) + "\n"]
    slow = logs.follow("r", {}, [OUT], over)
    write(logs, pieces[0].encode())
    first = await anext(slow)
    fast = asyncio.create_task(heard(logs, over))
    write(logs, "".join(pieces[1:]).encode())
    over.set()
    async with asyncio.timeout(5):
        assert await fast == "".join(pieces)
    assert first.text + "".join([piece.text async for piece in slow]) == "".join(pieces)


async def test_a_follower_who_gives_up_disturbs_nobody(logs: LogFiles) -> None:
    over = asyncio.Event()
    followers = [asyncio.create_task(heard(logs, over)) for _ in range(3)]
    await asyncio.sleep(0)
    followers[0].cancel()
    await asyncio.gather(followers[0], return_exceptions=True)
    write(logs, b"hi\n")
    over.set()
    assert await asyncio.gather(*followers[1:]) == ["hi\n"] * 2


async def test_nothing_is_open_when_nobody_follows(logs: LogFiles) -> None:
    write(logs, b"hi\n")
    process, over = psutil.Process(), asyncio.Event()
    before, tasks = process.num_fds(), asyncio.all_tasks()
    pieces = [logs.follow("r", {}, [OUT], over) for _ in range(5)]
    for each in pieces:
        assert (await anext(each)).text == "hi\n"
    assert process.num_fds() == before + 1
    waiting = [asyncio.create_task(anext(each)) for each in pieces]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.sleep(0)
    assert process.num_fds() == before
    assert asyncio.all_tasks() == tasks


async def test_both_streams_come_as_they_are_written(logs: LogFiles) -> None:
    over = asyncio.Event()
    pieces = logs.follow("r", {}, BOTH, over)
    async with asyncio.timeout(5):
        for number in range(5):
            stream = BOTH[number % 2]
            write(logs, b"%d" % number, stream)
            piece = await anext(pieces)
            assert (piece.stream, piece.text) == (stream, str(number))
        over.set()
        assert [piece async for piece in pieces] == []


async def test_a_log_may_be_compressed_or_removed_while_it_is_followed(logs: LogFiles) -> None:
    text = "".join(f"line {n}\n" for n in range(50_000))
    write(logs, text.encode())
    path = Path(logs.path("r", OUT))
    pieces = logs.follow("r", {}, [OUT], finished())
    seen = (await anext(pieces)).text
    compress(path)
    late = logs.follow("r", {OUT: len(seen)}, [OUT], finished())
    seen += (await anext(late)).text
    remove(logs.folder, "r")
    seen += "".join([piece.text async for piece in late])
    assert seen == text
    await pieces.aclose()
    assert await heard(logs, finished()) == ""


async def test_a_compressed_log_is_unpacked_once_for_all(logs: LogFiles) -> None:
    text = "".join(f"line {n}\n" for n in range(300_000))
    write(logs, text.encode())
    compress(Path(logs.path("r", OUT)))
    over = finished()
    everyone = await asyncio.gather(*(heard(logs, over) for _ in range(20)))
    assert set(everyone) == {text}
    assert await heard(logs, over, offset=len(text) - 7) == text[-7:]
    read = logs.read("r", {OUT: 12}, BOTH, final=True)
    assert "".join([piece.text async for piece in read]) == text[12:]


async def test_leaving_while_a_log_is_unpacked_harms_nothing(logs: LogFiles) -> None:
    write(logs, os.urandom(3_000_000))
    compress(Path(logs.path("r", OUT)))
    for _ in range(20):
        leaving = asyncio.create_task(heard(logs, finished()))
        await asyncio.sleep(0.001)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    reached = [piece.offset async for piece in logs.read("r", {}, [OUT], final=True)]
    assert reached[-1] == 3_000_000


def test_nobody_reads_beyond_the_limit(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path, 10)
    assert not logs.is_cut("r")
    write(logs, b"0123456789")
    assert not logs.is_cut("r")
    write(logs, b"a")
    assert logs.is_cut("r")
    assert logs.size("r", OUT) == 10
    assert [piece.text for piece in logs.pieces("r", OUT, 4)] == ["456789"]
    assert logs.head("r", OUT, 99) == b"0123456789"
    assert logs.tail_lines("r", OUT, 1) == "0123456789"
    compress(Path(logs.path("r", OUT)))
    assert logs.is_cut("r")
    assert logs.size("r", OUT) == 10
    assert logs.head("r", OUT, 99) == b"0123456789"


async def test_followers_stop_at_the_limit(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path, 5)
    write(logs, "12€€€".encode())
    over = finished()
    assert await heard(logs, over) == "12€"
    write(logs, "x€".encode(), ERR)
    pieces = [piece.text async for piece in logs.follow("r", {}, [ERR], over)]
    assert pieces == ["x€"]


async def test_followers_never_see_a_secret(logs: LogFiles) -> None:
    mask, over = Mask(["hunter2!"]), asyncio.Event()
    pieces = logs.follow("r", {}, [OUT], over, mask)
    async with asyncio.timeout(5):
        write(logs, b"Password: ")
        assert (await anext(pieces)).text == "Password: "
        write(logs, b"hunt")
        upcoming = asyncio.create_task(anext(pieces))
        await asyncio.sleep(3 * tail.POLL)
        assert not upcoming.done()
        write(logs, b"er2! ok")
        assert (await upcoming).text == "*** ok"
        over.set()
        assert [piece async for piece in pieces] == []
    assert logs.head("r", OUT, 13, mask) == b"Password: ***"
    assert logs.tail_lines("r", OUT, 1, mask) == "Password: *** ok"
    assert [piece.text for piece in logs.pieces("r", OUT, 12, final=True, mask=mask)] == [" ok"]
    read = logs.read("r", {}, [OUT], final=False, mask=mask)
    assert [piece.text async for piece in read] == ["Password: *** ok"]


def test_a_log_that_is_gone_is_told_from_one_that_never_was(logs: LogFiles) -> None:
    silent = Run(id="r", kind=RunKind.EXECUTE, command="", created_at=0)
    logs.expect(silent)
    noisy = silent.but(stdout_bytes=3)
    with pytest.raises(LogRemovedError):
        logs.expect(noisy)
    write(logs, b"x" * 10)
    logs.expect(noisy)
    compress(Path(logs.path("r", OUT)))
    logs.expect(noisy)


async def test_a_long_line_streams_through_little_memory(logs: LogFiles) -> None:
    size = 200_000_000
    with open(logs.path("r", OUT), "wb") as file:  # noqa: ASYNC230, PTH123
        file.truncate(size)  # NULs, which take no room on the disk
    process = psutil.Process()
    before, peak, seen = process.memory_info().rss, 0, 0
    async for piece in logs.follow("r", {}, [OUT], finished()):
        seen += len(piece.text)
        if piece.offset % (100 * CHUNK) == 0:
            peak = max(peak, process.memory_info().rss - before)
    assert seen == size
    assert peak < 16_000_000


async def test_many_followers_of_a_growing_log_are_quick(logs: LogFiles) -> None:
    over = asyncio.Event()
    everyone = [asyncio.create_task(heard(logs, over)) for _ in range(500)]
    await asyncio.sleep(0)
    began, text = time.monotonic(), ""
    for number in range(100):
        text += f"line {number}\n"
        write(logs, f"line {number}\n".encode())
        await asyncio.sleep(0.001)
    over.set()
    assert set(await asyncio.gather(*everyone)) == {text}
    assert time.monotonic() - began < 10


@given(st.binary(max_size=100), st.lists(st.integers(0, 100), max_size=6))
def test_any_bytes_become_the_text_their_whole_would(data: bytes, cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail, "CHUNK", 7)
        logs, text, offset = LogFiles(Path(folder)), "", 0
        bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for start, end in pairwise(bounds):
            write(logs, data[start:end])
            for piece in logs.pieces("r", OUT, offset, final=False):
                text, offset = text + piece.text, piece.offset
        for piece in logs.pieces("r", OUT, offset, final=True):
            text, offset = text + piece.text, piece.offset
    assert offset == len(data)
    assert text == data.decode("utf-8", "replace")


def test_pieces_end_where_those_of_others_do(
    logs: LogFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "CHUNK", 10)
    write(logs, MIXED.encode())
    ends = {piece.offset for piece in logs.pieces("r", OUT, final=True)}
    source, view = PlainLog(logs.path("r", OUT)), View()
    for start in (1, 5, 8, 17):
        extract = view.extract(source, start, final=True)
        assert extract
        assert extract.offset in ends or extract.offset % 10 == 0
    source.close()
