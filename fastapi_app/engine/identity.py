"""Who a process is: pid, start time and boot id together, so that a reused pid fools nobody."""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path

from fastapi_app.engine.spawner import start_ticks


@cache
def boot_id() -> str:
    """Names this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@cache
def own_identity() -> str:
    """This server as the `owner` of a run: `<pid>:<start ticks>`."""
    return f"{os.getpid()}:{start_ticks(os.getpid())}"


def age(started: int) -> float:
    """Seconds since that many clock ticks after boot; no clock that is set shows in it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def is_alive(pid: int | None, started: int | None, boot: str | None) -> bool:
    """Whether exactly that process still runs (a zombie does not)."""
    if pid is None or started is None or boot != boot_id():
        return False
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat[0] not in {b"Z", b"X"} and int(stat[19]) == started


def owner_is_alive(owner: str | None) -> bool:
    """Whether the server that watches a run still runs, on this boot."""
    pid, _, ticks = (owner or "").partition(":")
    return pid.isdigit() and ticks.isdigit() and is_alive(int(pid), int(ticks), boot_id())
