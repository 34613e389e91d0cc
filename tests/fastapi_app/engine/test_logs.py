"""Logs: bytes in files, text to readers, never a character cut in two."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_app.engine import logs as module
from fastapi_app.engine import tail
from fastapi_app.engine.logs import LogFiles
from fastapi_app.models import Stream

if TYPE_CHECKING:
    from pathlib import Path

OUT, ERR = Stream.STDOUT, Stream.STDERR
MIXED = "añ€🎉" * 9


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LogFiles:
    """Logs read seven bytes at a time, so that characters are cut everywhere."""
    monkeypatch.setattr(tail, "CHUNK", 7)
    monkeypatch.setattr(module, "BACKWARDS", 7)
    return LogFiles(tmp_path)


def write(logs: LogFiles, data: bytes, stream: Stream = OUT) -> None:
    with open(logs.path("r", stream), "ab") as file:  # noqa: PTH123
        file.write(data)


def test_characters_are_never_cut(logs: LogFiles) -> None:
    write(logs, MIXED.encode())
    pieces = list(logs.pieces("r", OUT))
    assert "".join(piece.text for piece in pieces) == MIXED
    assert len(pieces) > 10
    assert all("\ufffd" not in piece.text for piece in pieces)
    assert pieces[-1].offset == len(MIXED.encode())


def test_each_offset_goes_on_where_its_piece_ended(logs: LogFiles) -> None:
    write(logs, MIXED.encode())
    text = ""
    for piece in list(logs.pieces("r", OUT)):
        text += piece.text
        rest = "".join(later.text for later in logs.pieces("r", OUT, piece.offset))
        assert text + rest == MIXED


def test_an_unfinished_character_waits_for_its_rest(logs: LogFiles) -> None:
    write(logs, b"ab\xe2\x82")
    assert [(p.text, p.offset) for p in logs.pieces("r", OUT)] == [("ab", 2)]
    assert list(logs.pieces("r", OUT, 2)) == []
    assert [(p.text, p.offset) for p in logs.pieces("r", OUT, 2, final=True)] == [("\ufffd", 4)]
    write(logs, b"\xac")
    assert [(p.text, p.offset) for p in logs.pieces("r", OUT, 2)] == [("€", 5)]


@pytest.mark.parametrize(
    ("data", "lines", "tail"),
    [
        (b"", 5, ""),
        (b"one", 5, "one"),
        (b"one\ntwo\nthree\n", 2, "two\nthree\n"),
        (b"one\ntwo\nthree", 2, "two\nthree"),
        (b"one\ntwo\nthree\n", 3, "one\ntwo\nthree\n"),
        (b"one\ntwo\nthree\n", 99, "one\ntwo\nthree\n"),
        (b"one\ntwo\n", 0, ""),
        (b"\n\n\n", 2, "\n\n"),
        (b"a\n\nb\n", 2, "\nb\n"),
        (b"x" * 50 + b"\n" + b"y" * 50, 1, "y" * 50),
        (b"a\n" + b"y" * 50 + b"\n", 1, "y" * 50 + "\n"),
        ("ä€\nö\n".encode(), 1, "ö\n"),
        (b"ok\n\xff\xfe\n", 1, "\ufffd\ufffd\n"),
        (b"a\r\nb\r\n", 1, "b\r\n"),
    ],
)
def test_tails(logs: LogFiles, data: bytes, lines: int, tail: str) -> None:
    write(logs, data)
    assert logs.tail_lines("r", OUT, lines) == tail


@given(st.binary(max_size=60).map(lambda b: b.replace(b"\r", b"\n")), st.integers(0, 9))
def test_a_tail_is_what_splitting_would_give(data: bytes, lines: int) -> None:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        logs = LogFiles(Path(folder))
        write(logs, data)
        before, module.BACKWARDS = module.BACKWARDS, 7
        try:
            last = logs.tail_lines("r", OUT, lines)
        finally:
            module.BACKWARDS = before
    # Only a newline ends a line: splitlines would know many more ends in bytes it cannot decode.
    whole = [line + b"\n" for line in data.split(b"\n")]
    whole[-1] = whole[-1][:-1]
    kept = [line for line in whole if line][-lines:] if lines else []
    assert last == b"".join(kept).decode("utf-8", "replace")


def test_a_tail_of_one_endless_line_is_bounded(
    logs: LogFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_TAIL", 20)
    write(logs, b"x\n" + b"y" * 50 + b"z")
    assert logs.tail_lines("r", OUT, 1) == "y" * 19 + "z"


def test_each_attempt_has_a_state_file_of_its_own(logs: LogFiles) -> None:
    paths = [logs.state("r"), logs.state("r", 1), logs.state("r", 2), logs.state("r", 10)]
    names = [path.removeprefix(f"{logs.folder}/") for path in paths]
    assert names == ["r.state", "r.state", "r.2.state", "r.10.state"]


def test_what_was_never_written_is_empty(logs: LogFiles) -> None:
    assert logs.size("r", OUT) == 0
    assert logs.head("r", OUT, 5) == b""
    assert list(logs.pieces("r", OUT)) == []
    assert logs.tail_lines("r", OUT, 5) == ""


def test_the_head_is_bounded(logs: LogFiles) -> None:
    write(logs, b"123456789")
    assert logs.head("r", OUT, 4) == b"1234"
    assert logs.head("r", OUT, 0) == b""
    assert logs.size("r", OUT) == 9


async def test_a_follower_comes_before_the_first_byte_and_misses_none(logs: LogFiles) -> None:
    over = asyncio.Event()
    seen: dict[Stream, str] = {OUT: "", ERR: ""}
    changed = asyncio.Event()

    async def follow() -> None:
        async for piece in logs.follow("r", {}, tuple(Stream), over):
            seen[piece.stream] += piece.text
            changed.set()

    async def until(out: str, err: str) -> None:
        while seen != {OUT: out, ERR: err}:
            changed.clear()
            await changed.wait()

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        write(logs, b"first")
        await until("first", "")
        write(logs, b"\xc3", ERR)
        write(logs, b"second")
        await until("firstsecond", "")
        write(logs, b"\xa4", ERR)
        await until("firstsecond", "ä")
        write(logs, b"last\xe2\x82")
        over.set()
        await following
    assert seen == {OUT: "firstsecondlast\ufffd", ERR: "ä"}


async def test_a_follower_may_go_on_from_an_offset_in_each_stream(logs: LogFiles) -> None:
    write(logs, b"0123456789abc")
    write(logs, b"error", ERR)
    over = asyncio.Event()
    over.set()
    pieces = [p async for p in logs.follow("r", {OUT: 9, ERR: 2}, tuple(Stream), over)]
    assert [(p.stream, p.text, p.offset) for p in pieces] == [(OUT, "9abc", 13), (ERR, "ror", 5)]
    assert [p async for p in logs.follow("r", {OUT: 10**18}, [OUT], over)] == []
