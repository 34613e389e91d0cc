"""A unix socket of the old contract: for programs of this user, and safe from any browser."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastapi_app.errors import StartupError
from fastapi_app.serve import BACKLOG

LONGEST = 107
"""Bytes of a path that the system can take (unix(7): 108 with the zero at its end)."""
OWNER_ONLY = 0o600
SETTING = "choose another path with MCLI_LEGACY_SOCKET, or none with MCLI_LEGACY_SOCKET=off"


def is_too_long(path: Path) -> bool:
    """Whether no socket can have that path."""
    return len(os.fsencode(path)) > LONGEST


def check(path: Path) -> None:
    """See that a socket can have that path.

    Raises:
        StartupError: it is too long.
    """
    if is_too_long(path):
        raise StartupError(f"the unix socket {path} is longer than {LONGEST} bytes; {SETTING}.")


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A socket there that only its owner can reach; the file goes with it.

    The file of a server that was killed is replaced.

    Raises:
        StartupError: another server listens there, or no socket can be made.
    """
    check(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _alone_in(path.parent):
            _clear(path)
            # The file has the mode of its socket, from its first moment on.
            os.fchmod(listener.fileno(), OWNER_ONLY)
            listener.bind(str(path))
            listener.listen(BACKLOG)
            made = path.lstat()
    except OSError as error:
        listener.close()
        raise StartupError(
            f"the unix socket {path} cannot be made: {error.strerror}; {SETTING}."
        ) from error
    except StartupError:
        listener.close()
        raise
    try:
        yield listener
    finally:
        listener.close()
        with suppress(OSError):
            if os.path.samestat(path.lstat(), made):  # else it is another server's by now
                path.unlink()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Nobody else of us replaces a file in this folder meanwhile."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _clear(path: Path) -> None:
    """Remove what a killed server has left there.

    Raises:
        StartupError: it is no such thing.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StartupError(f"{path} exists and is no socket; {SETTING}.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full queue is a sign of life
        found = probe.connect_ex(str(path))
    if found != errno.ECONNREFUSED:
        raise StartupError(f"another server listens on the unix socket {path}; {SETTING}.")
    path.unlink()
