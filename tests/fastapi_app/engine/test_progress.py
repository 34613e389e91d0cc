"""Lines that tell how far a run is."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.masking import Mask
from fastapi_app.engine.progress import WINDOW, Progress, ProgressTail, Scanner, latest
from fastapi_app.models import Stream

if TYPE_CHECKING:
    from pathlib import Path

HALF = "hi\n::progress 10\n::progress 50.5 half way\nmore\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("::progress 42", Progress(42)),
        ("::progress 42 some message ", Progress(42, "some message")),
        ("::progress\t42%\tx", Progress(42, "x")),
        ("::progress 12.5\r", Progress(12.5)),
        ("::progress -3", Progress(0)),
        ("::progress 1000", Progress(100)),
        ("::progress " + "9" * 400, Progress(100)),
        ("::progress 5 ü✓", Progress(5, "ü✓")),
        ("::progress", None),
        ("::progress x", None),
        ("::progress nan", None),
        ("::progress 5x", None),
        ("::progressive 5", None),
        (" ::progress 5", None),
        ("a ::progress 5", None),
    ],
)
def test_lines(line: str, told: Progress | None) -> None:
    assert Scanner().feed(f"{line}\n") == ([] if told is None else [told])


@given(st.lists(st.integers(0, len(HALF))))
def test_lines_may_be_cut_anywhere(cuts: list[int]) -> None:
    scanner, found = Scanner(), []
    bounds = [0, *sorted(cuts), len(HALF)]
    for start, end in pairwise(bounds):
        found += scanner.feed(HALF[start:end])
    assert found == [Progress(10), Progress(50.5, "half way")]


def test_a_line_without_end_takes_no_memory() -> None:
    scanner = Scanner()
    for _ in range(1000):
        assert scanner.feed("x" * 10_000) == []
    assert len(scanner._line) < 100
    assert scanner.feed("\n::progress 7 " + "y" * 5000) == []
    for _ in range(1000):
        assert scanner.feed("y" * 10_000) == []
    assert len(scanner._line) < 5000
    (told,) = scanner.feed("\n")
    assert told.percent == 7
    assert 0 < len(told.message) < 5000


def test_a_scanner_that_starts_within_a_line_waits_for_the_next() -> None:
    assert Scanner(inside=True).feed("::progress 5\n::progress 6\n") == [Progress(6)]


def test_the_latest_is_told_without_its_secrets(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path)
    path = tmp_path / "r.out"
    assert latest(logs, "r") is None
    tail = ProgressTail(logs, "r", Mask(["hunter2!"]))
    path.write_text("::progress 1\n::progress 2 with hunter2!\nother\n::progr")
    assert latest(logs, "r") == Progress(2, "with hunter2!")
    assert tail.poll() == Progress(2, "with ***")
    assert tail.poll() is None
    with path.open("a") as file:
        file.write("ess 3\n")
    assert tail.poll() == Progress(3)
    with path.open("a") as file:
        file.write("z" * 2 * WINDOW + "\n::progress 4\n")
    assert tail.poll() == Progress(4)
    with path.open("a") as file:
        file.write("\n" * 2 * WINDOW)
    assert tail.poll() is None
    assert logs.size("r", Stream.STDOUT) > 4 * WINDOW
