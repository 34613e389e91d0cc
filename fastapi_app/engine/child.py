"""What the spawn helper keeps of a child until it ends: its logs, state file and standard input.

Like the helper, nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import time

_FASTEST = 2 * 1024**3  # bytes per second: a log does not grow faster than memory is copied
_LINE = 64  # bytes of each of the two lines of a state file


class Child:
    """What the helper remembers of a child until it ends."""

    __slots__ = (
        *("began", "began_at", "due", "input", "last_state", "log_limit", "logs", "pid"),
        *("run_id", "state", "ticks"),
    )

    def __init__(
        self,
        run_id: str,
        logs: tuple[str, str],
        log_limit: int | None,
        state: str | None,
        last_state: str | None,
    ) -> None:
        self.run_id = run_id
        self.logs = logs
        self.log_limit = log_limit
        self.state = state
        self.last_state = last_state
        self.input: Input | None = None
        self.pid = self.ticks = 0
        self.began, self.began_at = time.monotonic(), time.time()
        self.due = math.inf if log_limit is None else self.began + log_limit / _FASTEST

    def cut_logs(self, now: float) -> None:
        """Cut what has grown beyond the limit, and see when the next look is `due`."""
        if self.log_limit is None:
            return
        room = self.log_limit
        for path in self.logs:
            with contextlib.suppress(OSError):
                size = os.stat(path).st_size  # noqa: PTH116 - all of this runs at every look
                if size > self.log_limit + 1:
                    os.truncate(path, self.log_limit + 1)
                room = min(room, max(0, self.log_limit - size))
        self.due = now + room / _FASTEST

    def started_line(self) -> bytes:
        return _line(f"pid {self.pid} {self.ticks} {self.began_at}")

    def ended_line(self, code: int) -> bytes:
        # The wall clock may jump; how long a run took must not.
        return _line(f"exit {code} {self.began_at + time.monotonic() - self.began}")


class Input:
    """The named pipe that is the standard input of a child.

    The helper holds it open for writing, so that it does not end whenever a writer goes away.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._marker = marker_of(path)
        self.reader = self.writer = -1

    def open(self) -> None:
        """Make it, with nobody waiting for anybody: the reader is there before the writer."""
        self._unlink()
        os.mkfifo(self._path, 0o600)
        self.reader = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.writer = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(self.reader, True)

    def look(self) -> None:
        """Let the child read the end once somebody has asked for it."""
        if self.writer != -1 and os.path.exists(self._marker):  # noqa: PTH110
            self.writer = _closed(self.writer)

    def hand_over(self) -> None:
        """The child has its own descriptor now."""
        self.reader = _closed(self.reader)

    def remove(self) -> None:
        self.reader, self.writer = _closed(self.reader), _closed(self.writer)
        self._unlink()

    def _unlink(self) -> None:
        for path in (self._path, self._marker):
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108


def marker_of(path: str) -> str:
    """The file that asks for the end of a standard input: its `.in` as `.eof`."""
    return f"{path.rpartition('.')[0]}.eof"


class StateFile:
    """What tells the next server how a child fared. `None` for the path: nothing does.

    Raises:
        OSError: it exists already, or there is no room for all that will be written to it.
    """

    def __init__(self, path: str | None) -> None:
        self._fd = -1
        if path is None:
            return
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if os.write(self._fd, 2 * _line("")) < 2 * _LINE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.close(self._fd)
            os.unlink(path)  # noqa: PTH108
            raise

    def started(self, child: Child) -> None:
        if self._fd != -1:
            self._close_with(child.started_line(), 0)

    def refused(self, number: int) -> None:
        if self._fd != -1:
            self._close_with(_line(f"refused {number}"), _LINE)

    def _close_with(self, line: bytes, offset: int) -> None:
        with contextlib.suppress(OSError):  # a broken disk must not cost the child
            os.pwrite(self._fd, line, offset)
        os.close(self._fd)


def write_end(path: str, child: Child, code: int) -> None:
    """Write down how a child ended, in a state file it has or in a new one."""
    with contextlib.suppress(OSError):  # the server is told all the same
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, child.started_line() + child.ended_line(code), 0)
        finally:
            os.close(fd)


def _line(text: str) -> bytes:
    return text.encode().ljust(_LINE - 1) + b"\n"


def _closed(fd: int) -> int:
    """Close a descriptor unless it is closed; returns what stands for a closed one."""
    if fd != -1:
        os.close(fd)
    return -1
