"""Processes as Linux names them: pid, start time, group, and when they are over."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import time
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
LONGEST_POLL_MS = 2**31 - 1  # what fits poll(2)


def start_ticks(pid: int) -> int | None:
    """Field 22 of `/proc/<pid>/stat`: clock ticks since boot; None when there is no such pid."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def owner() -> str:
    """Return the mark of this server: `<pid>:<start ticks>`."""
    return f"{os.getpid()}:{start_ticks(os.getpid())}"


def owner_is_alive(mark: str) -> bool:
    """Whether the server that left `mark` still runs."""
    pid, _, ticks = mark.partition(":")
    return ticks.isdigit() and pid.isdigit() and start_ticks(int(pid)) == int(ticks)


def is_alive(pid: int | None, ticks: int | None, boot_id: str | None) -> bool:
    """Whether exactly this process still runs (a zombie does not)."""
    if pid is None or boot_id != BOOT_ID:
        return False
    fields = _stat(pid)
    return fields is not None and int(fields[19]) == ticks and fields[0] not in "ZX"


def wait_for_end(pid: int, ticks: int | None, seconds: float | None) -> bool:
    """Wait until the process is over, child of ours or not; False after `seconds`.

    `ticks` is its start time; None for a child of ours that nobody has reaped yet.
    """
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        # Checked behind the open: from here on the descriptor names this very process.
        if ticks is not None and start_ticks(pid) != ticks:
            return True
        return _poll([fd], seconds)
    finally:
        os.close(fd)


def end_group(pid: int, ticks: int | None, grace: float) -> None:
    """SIGTERM to the group that `pid` leads, SIGKILL `grace` seconds later to what is left of it.

    A grace of 0 is SIGKILL at once. Returns when no member is alive.
    """
    deadline = time.monotonic() + grace
    signal_group(pid, signal.SIGTERM if grace > 0 else signal.SIGKILL)
    wait_for_end(pid, ticks, grace)
    while members := _members(pid):
        left = deadline - time.monotonic()
        if left <= 0:
            signal_group(pid, signal.SIGKILL)
        _wait_for_any(members, left if left > 0 else None)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to every member of the group, if there is one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _stat(pid: int) -> list[str] | None:
    """Fields 3 and up: state, parent, group, session, ...; 19 further on is the start time."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        # The program's name, in brackets, may itself hold brackets, blanks and any byte.
        return os.read(fd, 4096).rpartition(b")")[2].decode("ascii").split()
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)


def _members(group: int) -> list[int]:
    """List the pids in a process group that are not zombies."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return []
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names are all that is needed
        fields = _stat(int(entry)) if entry.isdigit() else None
        if fields and fields[2] == str(group) and fields[0] not in "ZX":
            found.append(int(entry))
    return found


def _wait_for_any(pids: list[int], seconds: float | None) -> None:
    fds = []
    try:
        for pid in pids:
            try:
                fds.append(os.pidfd_open(pid))
            except ProcessLookupError:
                return
        _poll(fds, seconds)
    finally:
        for fd in fds:
            os.close(fd)


def _poll(fds: list[int], seconds: float | None) -> bool:
    """Wait until one of the descriptors is readable; False after `seconds`."""
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    if seconds is None:
        poller.poll()
        return True
    deadline = time.monotonic() + seconds
    while True:
        left = max(0.0, deadline - time.monotonic())
        if poller.poll(min(math.ceil(left * 1000), LONGEST_POLL_MS)):
            return True
        if time.monotonic() >= deadline:
            return False
