"""Old logs: compressed, then removed, and whatever happens on the way nothing is lost."""

from __future__ import annotations

import errno
import gzip
import os
import resource
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import pytest

from fastapi_app.engine import packed, retention
from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.packed import PackedLog, pack
from fastapi_app.engine.retention import Janitor, Limits, Swept, compress, remove
from fastapi_app.models import Stream
from fastapi_app.services.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

LINES = b"".join(b"line %d\n" % n for n in range(20_000))
KEEP_ALL = Limits()
HOUR = 3600.0


def left(folder: Path, age: float, out: bytes = LINES, *others: str) -> str:
    """The files of a run that ended so many seconds ago."""
    run_id = new_id()
    for suffix, data in {".out": out, ".err": b"", **dict.fromkeys(others, b"x")}.items():
        path = folder / f"{run_id}{suffix}"
        path.write_bytes(data)
        os.utime(path, (time.time() - age,) * 2)
    return run_id


def names(folder: Path, run_id: str) -> set[str]:
    return {path.name.removeprefix(run_id) for path in folder.glob(f"{run_id}*")}


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 250])
def test_a_compressed_log_is_read_from_any_position(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(packed, "MEMBER", 100)
    data = LINES[:size]
    (tmp_path / "a").write_bytes(data)
    pack(tmp_path / "a", tmp_path / "a.gz")
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == data
    log = PackedLog(str(tmp_path / "a.gz"))
    assert log.size() == size
    for offset in range(0, 300, 7):
        assert log.read(offset, 120) == data[offset : offset + 120]
    log.close()
    assert log.read(0, 1) == b""


async def test_old_logs_are_compressed_and_read_the_same(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path)
    old, new, small = left(tmp_path, 100), left(tmp_path, 30), left(tmp_path, 100, b"hi\n")
    active = left(tmp_path, 100)
    stranger = tmp_path / "notes.out"
    stranger.write_bytes(LINES)
    os.utime(stranger, (0, 0))
    before = (tmp_path / f"{old}.out").stat().st_mtime
    swept = await Janitor(tmp_path, Limits(compress_after=60)).run_once({active})
    assert (swept.compressed, swept.removed) == (1, 0)
    assert swept.bytes > len(LINES) // 2
    assert names(tmp_path, old) == {".out.gz", ".err"}
    assert (tmp_path / f"{old}.out.gz").stat().st_mtime == before
    for run_id in (new, small, active):
        assert names(tmp_path, run_id) == {".out", ".err"}
    assert stranger.exists()
    assert logs.size(old, Stream.STDOUT) == len(LINES)
    assert logs.head(old, Stream.STDOUT, 12) == LINES[:12]
    assert logs.tail_lines(old, Stream.STDOUT, 2) == "line 19998\nline 19999\n"
    pieces = list(logs.pieces(old, Stream.STDOUT, 100_001, final=True))
    assert "".join(piece.text for piece in pieces) == LINES[100_001:].decode()


async def test_the_oldest_logs_go(tmp_path: Path) -> None:
    ids = [left(tmp_path, age) for age in (500, 400, 300, 200)]
    assert await Janitor(tmp_path, KEEP_ALL).run_once(set()) == Swept()
    swept = await Janitor(tmp_path, Limits(max_age=450)).run_once(set())
    assert swept == Swept(removed=1, bytes=len(LINES))
    assert not names(tmp_path, ids[0])
    # An active run is neither counted nor touched, however old it is.
    swept = await Janitor(tmp_path, Limits(max_runs=1)).run_once({ids[1]})
    assert swept == Swept(removed=1, bytes=len(LINES))
    assert [bool(names(tmp_path, run_id)) for run_id in ids] == [False, True, False, True]
    # But what it takes counts.
    swept = await Janitor(tmp_path, Limits(max_bytes=len(LINES) + 1)).run_once({ids[1]})
    assert swept == Swept(removed=1, bytes=len(LINES))
    assert names(tmp_path, ids[1])


async def test_what_nobody_needs_goes_after_an_hour(tmp_path: Path) -> None:
    others = (".state", ".2.state", ".in", ".eof")
    old, new = left(tmp_path, HOUR + 60, LINES, *others), left(tmp_path, 60, LINES, *others)
    active = left(tmp_path, HOUR + 60, b"", *others)
    await Janitor(tmp_path, KEEP_ALL).run_once({active})
    assert names(tmp_path, old) == {".out"}
    assert names(tmp_path, new) == names(tmp_path, active) == {".out", ".err", *others}


async def test_a_run_that_has_just_begun_is_left_alone(tmp_path: Path) -> None:
    fresh = left(tmp_path, 0)
    swept = await Janitor(tmp_path, Limits(0, 0, 0, 0)).run_once(set())
    assert swept == Swept()
    assert names(tmp_path, fresh) == {".out", ".err"}


async def test_leftovers_of_a_crash_are_swept(tmp_path: Path) -> None:
    half, both = left(tmp_path, 60, LINES, ".out.gz.tmp"), left(tmp_path, 60, LINES, ".out.gz")
    await Janitor(tmp_path, KEEP_ALL).run_once(set())
    assert names(tmp_path, half) == names(tmp_path, both) == {".out", ".err"}
    await Janitor(tmp_path, Limits(compress_after=10)).run_once(set())
    assert names(tmp_path, half) == names(tmp_path, both) == {".out.gz", ".err"}


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may become larger than a block; pytest's own output may, so only for a moment."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


async def test_on_a_full_disk_the_plain_log_stays(tmp_path: Path) -> None:
    run_id, log = new_id(), os.urandom(4096)
    path = tmp_path / f"{run_id}.out"
    path.write_bytes(log)  # which compression can only make larger
    with full_disk(), pytest.raises(OSError, match="File too large") as error:
        compress(path)
    assert error.value.errno == errno.EFBIG
    os.utime(path, (0, 0))
    with full_disk():
        swept = await Janitor(tmp_path, Limits(compress_after=10)).run_once(set())
    assert swept == Swept()
    assert names(tmp_path, run_id) == {".out"}
    assert LogFiles(tmp_path).head(run_id, Stream.STDOUT, 9999) == log


def test_every_file_of_a_run_is_removed(tmp_path: Path) -> None:
    run_id = left(tmp_path, 0, LINES, ".state", ".2.state", ".3.state", ".in", ".eof", ".err.gz")
    other = left(tmp_path, 0)
    assert remove(tmp_path, run_id) == len(LINES) + 6
    assert not names(tmp_path, run_id)
    assert names(tmp_path, other) == {".out", ".err"}
    assert remove(tmp_path, run_id) == 0


def test_a_log_that_is_removed_while_it_is_compressed_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = left(tmp_path, 60)

    def pack_and_lose(source: Path, target: Path) -> None:
        pack(source, target)
        source.unlink()

    monkeypatch.setattr(retention, "pack", pack_and_lose)
    compress(tmp_path / f"{run_id}.out")
    assert names(tmp_path, run_id) == {".err"}


async def test_the_loop_goes_on_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id, threads = left(tmp_path, 60), set()

    def noted(work: Callable[..., T]) -> Callable[..., T]:
        def note(*args: object) -> T:
            threads.add(threading.current_thread())
            return work(*args)

        return note

    for name in ("scan", "superfluous", "pack", "_unlink"):
        monkeypatch.setattr(retention, name, noted(getattr(retention, name)))
    await Janitor(tmp_path, Limits(compress_after=30)).run_once(set())
    assert names(tmp_path, run_id) == {".out.gz", ".err"}
    assert threads
    assert threading.main_thread() not in threads
