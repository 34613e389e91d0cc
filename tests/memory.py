"""How much memory a process takes while something is done to it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024


@contextmanager
def growing_less_than(size: int, pid: int) -> Iterator[None]:
    """The process must not take so many bytes more at any moment of the context."""
    process = psutil.Process(pid)
    before = peak = process.memory_info().rss
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
    assert peak - before < size, f"{(peak - before) / MIB:.0f} MiB"
