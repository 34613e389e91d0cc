"""Standard input of a run, from the server's end of the named pipe the spawn helper made."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

from fastapi_app.engine.child import marker_of
from fastapi_app.errors import InputFullError, NoInputError

_PIECE = 64 * 1024


async def write_input(path: str, data: bytes, within: float) -> None:
    """Write all of `data`, waiting at most `within` seconds for room in the pipe (64 KiB).

    Two that write at the same time may mix what is longer than 4096 bytes (PIPE_BUF).

    Raises:
        NoInputError: nobody reads, or the end has been asked for.
        InputFullError: there was no room in time.
    """
    fd = _open(path)
    written = 0
    try:
        async with asyncio.timeout(within):
            while written < len(data):
                try:
                    written += os.write(fd, data[written : written + _PIECE])
                except BlockingIOError:
                    await _room(fd)
    except BrokenPipeError as error:
        closed = f"It closed its standard input; {written} of {len(data)} bytes went in."
        raise NoInputError(closed) from error
    except TimeoutError as error:
        raise InputFullError(written, len(data)) from error
    finally:
        os.close(fd)


def end_input(path: str) -> None:
    """Let the run read the end of its standard input, once it has read what is in the pipe.

    The spawn helper, which holds the pipe open, sees the request within a quarter of a second.
    """
    Path(marker_of(path)).touch(mode=0o600)


def _open(path: str) -> int:
    if os.path.exists(marker_of(path)):  # noqa: PTH110
        raise NoInputError("The end of its standard input has been asked for.")
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NoInputError("It is over.") from error
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise NoInputError("It closed its standard input.") from error


async def _room(fd: int) -> None:
    loop = asyncio.get_running_loop()
    there = asyncio.Event()
    loop.add_writer(fd, there.set)
    try:
        await there.wait()
    finally:
        loop.remove_writer(fd)
