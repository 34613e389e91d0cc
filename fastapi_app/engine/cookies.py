"""Processes that left the session of their run, found by the cookie in their environment.

A process that started with another environment, or that this user may not look into, is not found.
Of a server that itself runs inside a run only the server is found, not its spawn helper nor what
that started: each run has its own cookie, and those are stopped by whoever started them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator

RUN_ID = "MCLI_RUN_ID"
"""Environment variable every child carries: finds what left its process group."""
KILLED_WITHIN = 2.0
"""Seconds all that belongs to a run gets to be gone once it is killed."""
_COOKIE = f"\0{RUN_ID}=".encode()
_POLL = 0.02
_SURE = 3


class _Census:
    """Who carries which cookie. Those who ask at the same time share one look at all processes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = 0.0
        self._marked: dict[str, list[int]] = {}

    def since(self, moment: float) -> dict[str, list[int]]:
        """The processes of each run, as seen after a monotonic time; blocks meanwhile."""
        with self._lock:
            if self._began <= moment:
                self._began = time.monotonic()
                self._marked = {}
                for pid in _pids():
                    if (run_id := _run_of(pid)) is not None:
                        self._marked.setdefault(run_id, []).append(pid)
            return self._marked


_census = _Census()


def find(run_id: str) -> list[int]:
    """The processes that carry the cookie of a run, but this one."""
    return _found_since(run_id, time.monotonic())


def signal_marked(run_id: str, number: signal.Signals, among: Iterable[int] | None = None) -> int:
    """Signal the processes that carry the cookie of a run; returns how many were signalled.

    All there are, or those `among` some pids. A reused pid is not hit.
    """
    return len(_signalled(run_id, number, _pids() if among is None else among))


async def sweep(run_id: str, *, kill_at: float) -> bool:
    """End all that carries the cookie of a run; returns whether nothing is left.

    SIGTERM at once, SIGKILL at the monotonic time `kill_at`, again and again until all are gone
    or `KILLED_WITHIN` seconds have passed.
    """
    told: set[int] = set()
    while found := await asyncio.to_thread(_found_since, run_id, time.monotonic()):
        if time.monotonic() >= kill_at:
            return await _kill(run_id)
        await asyncio.to_thread(signal_marked, run_id, signal.SIGTERM, set(found) - told)
        told.update(found)
        # While one of these is there it is too early for another look at all processes.
        while time.monotonic() < kill_at and any(_run_of(pid) == run_id for pid in found):
            await asyncio.sleep(_POLL)
    return True


async def _kill(run_id: str) -> bool:
    give_up = time.monotonic() + KILLED_WITHIN
    stopped: set[int] = set()
    # What is stopped forks no more: only then all can be killed before they are replaced.
    while (found := await _signal_all(run_id, signal.SIGSTOP)) - stopped:
        stopped |= found
        if time.monotonic() > give_up:
            break
    missed = 0
    # One look may miss a process that is just becoming another.
    while missed < _SURE:
        missed = 0 if await _signal_all(run_id, signal.SIGKILL) else missed + 1
        if time.monotonic() > give_up:
            return False
    return True


async def _signal_all(run_id: str, number: signal.Signals) -> set[int]:
    return await asyncio.to_thread(lambda: _signalled(run_id, number, _pids()))


def _signalled(run_id: str, number: signal.Signals, among: Iterable[int]) -> set[int]:
    signalled = set()
    for pid in among:
        # The second look, with the process held by a descriptor, is at the one that is signalled.
        if _run_of(pid) != run_id or (fd := _open(pid)) is None:
            continue
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if _run_of(pid) == run_id:
                signal.pidfd_send_signal(fd, number)
                signalled.add(pid)
        os.close(fd)
    return signalled


def _found_since(run_id: str, moment: float) -> list[int]:
    return _census.since(moment).get(run_id, [])


def _pids() -> Iterator[int]:
    """All but this one, the latest first: what forks again and again is caught at its end."""
    me = str(os.getpid())
    return (int(name) for name in reversed(os.listdir("/proc")) if name.isdigit() and name != me)  # noqa: PTH208


def _open(pid: int) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.pidfd_open(pid)
    return None


def _run_of(pid: int) -> str | None:
    """The run whose cookie a process carries; a zombie carries none."""
    environ = b"\0"
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb", buffering=0) as file:  # noqa: PTH123
        environ += file.readall()
    _, found, rest = environ.partition(_COOKIE)
    return rest.partition(b"\0")[0].decode("ascii", "replace") if found else None
